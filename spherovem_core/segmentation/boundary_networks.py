"""Probability of boundaries between objects in a volume, by networks that were learned from labelled slices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.errors import NetworkError
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.resample import resample
from spherovem_core.utils.torch_device import torch_threads

REACHES = (1, 4)
"""Pixels on both sides of a pixel that are compared: whether they belong to different objects is what is learned."""
AXES_IN_PLANE = 2
TILE = 128
"""Side of the tiles, which start at multiples of it in the grid of the flows: a voxel's result does not depend on blocks."""
TILE_MARGIN = 32
"""Pixels around a tile that the networks see."""
BATCH_PIXELS = 2**19
"""Pixels that a network sees at a time."""
MULTIPLE = 16
"""Sides of an image are multiples of this."""
LEVELS = 255
"""Probabilities are rounded to 1/255, so that the last bits of a sum decide nothing."""

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class BoundaryNetworks:
    """Networks whose mean is the probability of a boundary.

    Attributes
    ----------
    states
        Weights of each `CompactNetwork`, whose outputs tell boundaries along rows and columns of a plane; without any, there is
        no boundary anywhere.
    planes
        Axes across the planes in which they are used.
    """

    states: tuple[State, ...] = ()
    planes: tuple[int, ...] = (0, 1, 2)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return all arrays by names that start with the prefix."""
        found = {
            f"{prefix}.{number}.{name}": value
            for number, state in enumerate(self.states)
            for name, value in state.items()
        }
        return found | {f"{prefix}.planes": np.array(self.planes, np.int64)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> "BoundaryNetworks":
        """Take the arrays of `arrays`, and check that they are networks of this version.

        Raises
        ------
        NetworkError
            If arrays are missing or do not fit.
        """
        parts: dict[int, State] = {}
        try:
            planes = tuple(arrays[f"{prefix}.planes"].tolist())
        except KeyError as error:
            raise NetworkError(f"array {error} is missing") from error
        for key, value in arrays.items():
            kind, _, rest = key.partition(".")
            number, _, name = rest.partition(".")
            if kind == prefix and number.isdigit():
                parts.setdefault(int(number), {})[name] = value
        found = cls(tuple(parts[number] for number in sorted(parts)), planes)
        if not set(planes) <= {0, 1, 2} or not planes:
            raise NetworkError(
                f"{prefix} is for planes across the axes {planes}, expected some of 0, 1 and 2"
            )
        try:
            found.networks()
        except (RuntimeError, KeyError) as error:
            raise NetworkError(f"{prefix} holds no networks of this version") from error
        return found

    def networks(self) -> list[Any]:
        """Return the networks in evaluation mode, on the CPU."""
        import torch

        from spherovem_core.segmentation.compact_network import CompactNetwork, widths_of

        found = []
        for state in self.states:
            tensors = {name: torch.from_numpy(value) for name, value in state.items()}
            network = CompactNetwork(len(REACHES) * AXES_IN_PLANE, widths_of(tensors))
            network.load_state_dict(tensors)
            found.append(network.to(memory_format=torch.channels_last).eval())
        return found

    def probability(
        self, region: Region, inputs: MaskInputs, intensities: tuple[float, float]
    ) -> NDArray[np.uint8]:
        """Return the probability (2, z, y, x) times 255 that objects end, in a region of the grid of the flows.

        The first map compares the voxels beside each voxel, the second those 4 away, both along the axis where they differ most:
        the mean of all networks and of the planes that hold the axis. They run on the CPU. Memory is bounded by a tile, and by
        two bytes a voxel of the region.
        """
        networks = self.networks()
        found = np.zeros((len(REACHES), *(s.stop - s.start for s in region)), np.uint8)
        with torch_threads(numba.get_num_threads()):
            for tile in _tiles(region, inputs.grid.shape):
                total = np.zeros((len(REACHES), 3, *(s.stop - s.start for s in tile)), np.float32)
                for across in self.planes:
                    total += _in_planes(networks, across, tile, inputs, intensities)
                passes = [len(networks) * sum(axis != across for across in self.planes) for axis in range(3)]
                known = [axis for axis in range(3) if passes[axis]]
                mean = total[:, known] / np.array(passes, np.float32)[known][:, None, None, None]
                kept = tuple(
                    slice(max(s.start, r.start), min(s.stop, r.stop))
                    for s, r in zip(tile, region, strict=True)
                )
                found[(slice(None), *inside(kept, region))] = np.rint(
                    LEVELS * mean.max(axis=1, initial=0.0)[(slice(None), *inside(kept, tile))]
                )
        return found


NO_NETWORKS = BoundaryNetworks()


def image_on_flows(
    place: Region, inputs: MaskInputs, intensities: tuple[float, float]
) -> NDArray[np.float32]:
    """Return the image, 0 and 1 at the two intensities, in a region of the grid of the flows; zeros without an image."""
    low, high = intensities
    if inputs.image is None:
        return np.zeros([s.stop - s.start for s in place], np.float32)
    image = resample(inputs.image, inputs.target, inputs.grid, place)
    return (image - np.float32(low)) / np.float32(max(high - low, 1e-6))


def inside(region: Region, outer: Region) -> Region:
    """Return where a region lies in an outer one."""
    return tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, outer, strict=True))


def _in_planes(
    networks: Sequence[Any], across: int, tile: Region, inputs: MaskInputs, intensities: tuple[float, float]
) -> NDArray[np.float32]:
    """Return the sum over all networks of the maps (2, 3, z, y, x) of a tile in the planes across an axis, 0 along it."""
    import torch

    outer = tuple(
        s if n == across else slice(max(0, s.start - TILE_MARGIN), min(size, s.stop + TILE_MARGIN))
        for n, (s, size) in enumerate(zip(tile, inputs.grid.shape, strict=True))
    )
    planes = np.moveaxis(image_on_flows(outer, inputs, intensities), across, 0)
    padded = np.pad(planes, [(0, 0), *((0, -n % MULTIPLE) for n in planes.shape[1:])], mode="edge")
    rows, columns = (n for n in range(3) if n != across)
    kept = tuple(s for n, s in enumerate(inside(tile, outer)) if n != across)
    found = np.zeros((len(REACHES), 3, *(s.stop - s.start for s in tile)), np.float32)
    by_plane = np.moveaxis(found, 2 + across, 2)
    step = max(1, BATCH_PIXELS // (padded.shape[1] * padded.shape[2]))
    with torch.no_grad():
        for start in range(0, len(padded), step):
            batch = torch.from_numpy(padded[start : start + step, None])
            batch = batch.contiguous(memory_format=torch.channels_last)
            for network in networks:
                maps = torch.sigmoid(network(batch)[0]).numpy()[(slice(None), slice(None), *kept)]
                for number in range(len(REACHES)):
                    for output, axis in enumerate((rows, columns)):
                        by_plane[number, axis, start : start + step] += maps[
                            :, AXES_IN_PLANE * number + output
                        ]
    return found


def _tiles(region: Region, shape: tuple[int, int, int]) -> Iterator[Region]:
    """Yield the tiles of the volume that overlap a region."""
    starts = [range(s.start // TILE * TILE, s.stop, TILE) for s in region]
    for corner in product(*starts):
        yield tuple(slice(start, min(start + TILE, n)) for start, n in zip(corner, shape, strict=True))
