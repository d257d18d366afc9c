"""Flows of a volume: the network on whole planes in the three orthogonal directions, slab by slab."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, BlockSink, Region, block_grid
from spherovem_core.execution import Execution
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.parameters import FlowParameters
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.planes import WINDOW_VOXELS, PlaneTiles, predict_planes
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.scratch import Files, MemoryScratch, Scratch, slab_files
from spherovem_core.segmentation.tile_counts import TILE, tile_side
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.torch_device import torch_threads

BYTES_PER_TILE = {"cpu": 400e6, "cuda": 1.2e9}
"""Memory of one 256 x 256 tile in a forward pass of Cellpose-SAM, rounded up."""

SLAB = 16
"""Planes whose tiles share batches: the unit of work that a killed run repeats."""

IMAGE = "image"
IMAGE_SIDE = 512
"""Side of the blocks in which the image is averaged onto the grid."""


@dataclass(frozen=True)
class Pass:
    """The network in all planes of one direction.

    Attributes
    ----------
    name
        Of its sums so far among the scratch arrays.
    axis
        Across the planes.
    channels
        Those of the flows to which its three maps are added.
    factors
        By which the maps are multiplied before.
    following
        Axis of the next pass, which reads the sums; None for the last one.
    """

    name: str
    axis: int
    channels: tuple[int, int, int]
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    following: int | None = None

    @property
    def rows(self) -> int:
        """Axis along which the rows of a plane follow each other."""
        return 1 if self.axis == 0 else 0

    @property
    def columns(self) -> int:
        """Axis along a row of a plane."""
        return 1 if self.axis == 2 else 2


# The last pass writes the flows, which later stages read by slices and cubes.
ALL_PLANES = (
    Pass("xz", 1, (0, 2, 3), following=2),
    Pass("yz", 2, (0, 1, 3), following=0),
    Pass("xy", 0, (1, 2, 3)),
)
# No flow across sections, the others as large as the sum of three planes.
SECTIONS = (Pass("xy", 0, (1, 2, 3), (2.0, 2.0, 3.0)),)


def predict_flows(
    source: ArrayLike,
    source_spacing_nm: SpacingNm,
    grid: Grid,
    network: Any,
    sink: BlockSink,
    parameters: FlowParameters,
    execution: Execution,
    *,
    source_origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    intensities: tuple[float, float] | None = None,
    scratch: Scratch | None = None,
) -> None:
    """Run a network over a volume along its three axes and write flows and probability.

    The volume is averaged onto the grid and normalised by percentiles of the whole source. The network then sees whole planes,
    tile by tile, of one direction after another, and the predictions of the three are added, as ``cellpose.core.run_3D`` does
    with a volume in memory. There are no blocks, hence no seams: the flows are those of `run_3D` up to the rounding of each sum
    to float16. With `planes` xy, the network sees each section by itself. Tiles without specimen are not computed.

    Work goes on slab by slab, of 16 planes, and within a slab a few rows of tiles at a time. Peak memory is `slab_bytes` and one
    batch of tiles, however many slices there are. Slabs that were finished before a kill are not computed again, and results do
    not depend on memory or threads.

    Parameters
    ----------
    source : (Z, Y, X) array
        The registered image at a resolution at least as fine as the grid (see `source_level`).
    source_spacing_nm, source_origin_nm
        Its voxel size, and the position of the centre of its voxel (0, 0, 0).
    grid
        Grid of the flows, from `flow_grid`.
    network
        From `load_network`.
    sink
        Takes slabs along z of a (4, Z, Y, X) array of float16, see `flow_files`: dz, dy, dx in voxels of the grid times 5 to
        10, and the logit. Slabs already in the sink are not computed again.
    parameters, execution
        `execution.workers` is the number of threads of torch.
    intensities
        Values that become 0 and 1; by default those of `volume_percentile_range`.
    scratch
        Holds the averaged image and the sums of two passes, 20 bytes per voxel of the grid; by default memory.
    """
    scratch = scratch or MemoryScratch()
    passes = SECTIONS if parameters.planes == "xy" else ALL_PLANES
    work = _unfinished(passes, grid.shape, sink, scratch)
    total = sum(-(-grid.shape[each.axis] // SLAB) for each in passes)
    done = total - sum(len(each.slabs) for each in work)
    if done == total:
        return
    # A kill may have left sums that those of the next pass hold.
    for each in passes[: len(passes) - len(work)]:
        scratch.discard(each.name)
    source_grid = Grid(
        (source.shape[0], source.shape[1], source.shape[2]), source_spacing_nm, source_origin_nm
    )
    image: ArrayLike = _Averaged(source, source_grid, grid, parameters, intensities)
    network.eval()
    before: _Work | None = None
    with torch_threads(execution.workers):
        if len(passes) > 1:
            image = _store(image, scratch, lambda: execution.report(done, total))
        for own in work:
            predictor = _SlabPredictor(own.direction, grid.shape, network, parameters)
            for blocks in own.slabs:
                execution.report(done, total)
                predictor.write(image, None if before is None else before.sink.array, blocks, own.sink)
                done += 1
            if before is not None:
                # Its sums are in those of this pass.
                scratch.discard(before.direction.name)
            before = own
    execution.report(total, total)


@dataclass(frozen=True)
class _Work:
    """Unfinished slabs of one pass, each as the blocks that are not yet written, and the array of the sums up to that pass."""

    direction: Pass
    sink: Any
    slabs: list[list[Block]]


def _unfinished(
    passes: Sequence[Pass], shape: Sequence[int], sink: BlockSink, scratch: Scratch
) -> list[_Work]:
    """Find what is left to do, from the last pass back to one that is finished, whose sums hold all before it."""
    work: list[_Work] = []
    for direction in reversed(passes):
        files = sum_files(direction, shape)
        own = scratch.open(direction.name, (4, *shape), "float16", files) if work else sink
        sides = [
            n if axis == direction.columns else s
            for axis, (n, s) in enumerate(zip(shape, files.shards[1:], strict=True))
        ]
        pending = own.pending(block_grid((4, *shape), (4, *sides)))
        slabs = groupby(
            sorted(pending, key=lambda block: block.index[direction.axis + 1]),
            key=lambda block: block.index[direction.axis + 1],
        )
        work.insert(0, _Work(direction, own, [list(blocks) for _, blocks in slabs]))
        if not pending:
            break
    return work


def flow_files(shape: Sequence[int]) -> Files:
    """Return the files of a field (C, Z, Y, X): slabs along z, in chunks of which cubes and slices meet few."""
    return slab_files(shape, (shape[0], SLAB, 64, 64), (shape[0], SLAB, 256, 256))


def slab_bytes(shape: Sequence[int]) -> int:
    """Return the most bytes of a slab in work, for flows of a volume (Z, Y, X): it grows with the longest row of a plane alone.

    Each voxel of the rows of tiles in work takes 28 bytes (image 4, weighted sums of the three maps 12, maps 12), and each of
    the up to 256 rows that are written at once 8.
    """
    most = 0
    for each in ALL_PLANES:
        rows, row = shape[each.rows], min(SLAB, shape[each.axis]) * shape[each.columns]
        most = max(most, row * (28 * min(rows, max(TILE, WINDOW_VOXELS // row)) + 8 * min(rows, 256)))
    return most


def sum_files(direction: Pass, shape: Sequence[int]) -> Files:
    """Return the files of the sums of a pass, written by its own slabs and read by those of the next pass."""
    if direction.following is None:
        return flow_files((4, *shape))
    chunks = [SLAB if axis in (direction.axis, direction.following) else 64 for axis in range(3)]
    shards = [SLAB if axis == direction.axis else 256 for axis in range(3)]
    return slab_files((4, *shape), (4, *chunks), (4, *shards))


class _Averaged:
    """The source averaged onto the grid and normalised, computed where it is read.

    Parameters
    ----------
    intensities
        Values that become 0 and 1; None for those of the whole source.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        source: ArrayLike,
        source_grid: Grid,
        grid: Grid,
        parameters: FlowParameters,
        intensities: tuple[float, float] | None,
    ) -> None:
        self._source, self._source_grid, self._grid = source, source_grid, grid
        self._percentiles, self._intensities = parameters.normalise_percentiles, intensities
        self.shape = grid.shape

    def __getitem__(self, region: Region, /) -> NDArray[np.float32]:
        """Average a region, in pieces that bound the memory."""
        found = np.empty([s.stop - s.start for s in region], np.float32)
        for piece in block_grid(found.shape, (SLAB, IMAGE_SIDE, IMAGE_SIDE)):
            place = tuple(
                slice(p.start + s.start, p.stop + s.start) for p, s in zip(piece.core, region, strict=True)
            )
            found[piece.core] = self._normalised(place)
        return found

    def _normalised(self, region: Region) -> NDArray[np.float32]:
        if self._intensities is None:
            self._intensities = volume_percentile_range(self._source, self._percentiles)
        low, high = self._intensities
        if high <= low:
            # Rounding of the resampling, scaled up, would look like a specimen.
            return np.zeros([s.stop - s.start for s in region], np.float32)
        # On the same grid, `resample` returns the memory of a source in memory, which is the caller's.
        image = resample(self._source, self._source_grid, self._grid, region) - np.float32(low)
        image /= max(high - low, 1e-6)
        return image


def _store(image: ArrayLike, scratch: Scratch, report: Callable[[], None]) -> ArrayLike:
    """Write an image that is read in three directions to scratch, and return the array."""
    files = slab_files(image.shape, (SLAB, 32, 32), (SLAB, IMAGE_SIDE, IMAGE_SIDE))
    stored = scratch.open(IMAGE, image.shape, image.dtype, files)
    for block in stored.pending(block_grid(image.shape, files.shards)):
        report()
        stored.write(block, image[block.core])
    return stored.array


class _SlabPredictor:
    """Adds the predictions in the planes of one direction to the sums so far."""

    def __init__(
        self, direction: Pass, shape: Sequence[int], network: Any, parameters: FlowParameters
    ) -> None:
        self._direction, self._network = direction, network
        self._least_contrast = parameters.min_tile_contrast
        plane = [n for axis, n in enumerate(shape) if axis != direction.axis]
        # Of the whole volume, as cellpose takes one side for all planes.
        longest = plane if parameters.planes == "xy" else shape
        self._tiles = PlaneTiles(plane, tile_size(network, longest), parameters.tile_overlap)
        self._batch = batch_size(network.device)

    def write(
        self, image: ArrayLike, before: ArrayLike | None, blocks: Sequence[Block], sink: BlockSink
    ) -> None:
        """Write blocks of the sums (4, z, y, x) of one slab after this pass."""
        own = self._direction
        slab = blocks[0].core[own.axis + 1]

        def read(rows: slice) -> NDArray[np.float32]:
            region = [slice(0, n) for n in image.shape]
            region[own.axis], region[own.rows] = slab, rows
            return np.moveaxis(np.asarray(image[tuple(region)]), own.axis, 0)

        waiting, sums = deque(blocks), None
        found = predict_planes(
            self._network, read, slab.stop - slab.start, self._tiles, self._least_contrast, self._batch
        )
        for rows, maps in found:
            while waiting and (core := waiting[0].core[own.rows + 1]).start < rows.stop:
                if sums is None:
                    sums = _sums_before(before, waiting[0])
                low, high = max(rows.start, core.start), min(rows.stop, core.stop)
                self._add(
                    sums,
                    slice(low - core.start, high - core.start),
                    maps[:, :, low - rows.start : high - rows.start],
                )
                if rows.stop < core.stop:
                    break
                sink.write(waiting.popleft(), sums)
                sums = None
            del maps

    def _add(self, sums: NDArray[np.float16], rows: slice, maps: NDArray[np.float32]) -> None:
        """Add maps (3, planes, rows, columns) to some rows of the sums (4, z, y, x)."""
        own = self._direction
        part = np.moveaxis(sums, own.axis + 1, 1)[:, :, rows]
        for channel, factor, values in zip(own.channels, own.factors, maps, strict=True):
            part[channel] += factor * values


def _sums_before(before: ArrayLike | None, block: Block) -> NDArray[np.float16]:
    if before is None:
        return np.zeros([s.stop - s.start for s in block.core], np.float16)
    return np.array(before[block.core], np.float16)


def tile_size(network: Any, shape: Sequence[int]) -> int:
    """Return the side of a network's tiles in pixels, see `tile_side`."""
    return tile_side(shape, getattr(network, "tile_multiple", 256))


def batch_size(device: Any) -> int:
    """Return the number of tiles in one forward pass: 2 to 8 for a quarter of the free memory, 1 to 64 of that of a GPU.

    On a GPU its whole memory counts, so that every run on it has the same batches, hence the same last bits; a batch that does
    not fit beside other programs is split. On a CPU the bits are the same for any batch of two tiles or more.
    """
    if device.type == "cuda":
        import torch

        return int(np.clip(torch.cuda.mem_get_info(device)[1] / 4 / BYTES_PER_TILE["cuda"], 1, 64))
    import psutil

    return int(np.clip(psutil.virtual_memory().available / 4 / BYTES_PER_TILE["cpu"], 2, 8))
