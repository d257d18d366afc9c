"""The coarse grid on which objects are examined: labels, boundary gradient, flows and nuclei, all at the same voxels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region, block_grid
from spherovem_core.boundary_gradient import MARGIN as GRADIENT_MARGIN
from spherovem_core.boundary_gradient import boundary_gradient
from spherovem_core.known_blocks import KnownResults
from spherovem_core.spacing import NM_PER_UM, SpacingNm

LARGEST_READ_VOXELS = 1 << 22
"""Voxels of an image that are read at once."""

FINENESS = 0.7
"""Along each axis, the level that is read has voxels of at most this fraction of the wanted ones, or as the finest level."""

STEPS_PER_DOUBLING = 4
"""Steps of the wanted voxel size per factor of two: few corrections change the grid, and with it all that was measured."""

MOST_FINE_VOXELS = 64
"""Voxels of the finest level per voxel of the grid up to which labels are read from the finest level."""

SAMPLED_BLOCKS, SAMPLED_EDGE = 3, 32
"""Blocks along each axis, and voxels along their sides, from which the usual length of flows is taken."""


USUAL_LENGTH = "usual length of flows"


class PlacedField(ArrayLike, Protocol):
    """A field (C, Z, Y, X) that knows its voxel size and the position of its first voxel."""

    @property
    def spacing_nm(self) -> SpacingNm:
        """Voxel size in nm."""

    @property
    def origin_nm(self) -> SpacingNm:
        """Position of the centre of voxel (0, 0, 0) in nm."""


@dataclass(frozen=True)
class ReviewLevel:
    """Arrays of one level of the pyramid, all on one grid.

    Attributes
    ----------
    labels : (Z, Y, X) array of unsigned integers
        The objects that are reviewed.
    spacing_nm, origin_nm
        Voxel size, and position of the centre of voxel (0, 0, 0).
    image : (Z, Y, X) array, optional
        Registered image.
    nuclei : (Z, Y, X) array, optional
        Labels of nuclei, for a review of cells.
    """

    labels: ArrayLike
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)
    image: ArrayLike | None = None
    nuclei: ArrayLike | None = None


@dataclass(frozen=True)
class ReviewGrid:
    """A grid of blocks of voxels of one level; labels are those of each block's middle voxel, gradients are means.

    All objects are examined on one grid, so that what lies at a voxel does not depend on the object in whose view it is read. A
    large object is examined on a `coarser` one. Half a block at the far ends of the volume may be left out.

    Attributes
    ----------
    level
        Labels and nuclei.
    factors
        Voxels of the level per voxel of the grid, before `times`.
    flows : (4, Z, Y, X) array, optional
        dz, dy, dx and the logit.
    flow_length
        Usual length of the flows in objects.
    times
        Power of two by which the grid is coarser. Its labels are among those of the grid with 1.
    ratio
        Voxels of the level per voxel of the image, which may be that of a coarser level.
    image : (Z, Y, X) array, optional
        Image.
    """

    level: ReviewLevel
    factors: tuple[int, int, int]
    flows: PlacedField | None = None
    flow_length: float = 1.0
    times: int = 1
    ratio: tuple[int, int, int] = (1, 1, 1)
    image: ArrayLike | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along z, y, x."""
        sides = zip(self.level.labels.shape, self._offsets, self._steps, strict=True)
        return tuple(max(0, n - 1 - offset) // step + 1 for n, offset, step in sides)

    @property
    def spacing_um(self) -> NDArray[np.float64]:
        """Sides of a voxel in µm."""
        return np.array(self.level.spacing_nm) * self._steps / NM_PER_UM

    @property
    def _steps(self) -> tuple[int, ...]:
        return tuple(factor * self.times for factor in self.factors)

    @property
    def _image_steps(self) -> tuple[int, ...]:
        return tuple(step // r for step, r in zip(self._steps, self.ratio, strict=True))

    @property
    def _offsets(self) -> tuple[int, ...]:
        """Middle of the first block, in voxels of the level."""
        sides = zip(self.factors, self.level.labels.shape, strict=True)
        return tuple(min(f // 2 + f * (self.times // 2), n - 1) for f, n in sides)

    @property
    def signature(self) -> str:
        """All that determines the grid but the values of the arrays."""
        level = self.level
        sources = (self.image is not None, level.nuclei is not None, self.flows is not None)
        return str(
            (
                level.labels.shape,
                level.spacing_nm,
                level.origin_nm,
                self.factors,
                self.times,
                self.ratio,
                sources,
            )
        )

    def coarser(self, times: int) -> "ReviewGrid":
        """Return the grid with voxels that are larger by a power of two."""
        return replace(self, times=times)

    def place(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Return the positions in µm of voxel indices (..., 3); halves are between voxels."""
        voxels = np.array(self._offsets) + np.asarray(indices) * np.array(self._steps)
        return np.asarray((np.array(self.level.origin_nm) + voxels * self.level.spacing_nm) / NM_PER_UM)

    def level_region(self, region: Region) -> Region:
        """Return the voxels of the level from the first to the last that `sample` reads for a region."""
        sides = zip(region, self._offsets, self._steps, strict=True)
        return tuple(slice(s.start * step + o, (s.stop - 1) * step + o + 1) for s, o, step in sides)

    def sample(self, array: ArrayLike, region: Region) -> NDArray[Any]:
        """Read labels of the level at the voxels of a region."""
        shape = tuple(s.stop - s.start for s in region)
        values = np.empty(shape, array.dtype)
        for block in block_grid(shape, _fitting_edges(shape, self._steps)):
            own = (
                slice(s.start + c.start, s.start + c.stop) for s, c in zip(region, block.core, strict=True)
            )
            places = self.level_region(tuple(own))
            # Read without a step, which is faster, and then thinned out.
            values[block.core] = array[places][tuple(slice(None, None, step) for step in self._steps)]
        return values

    def gradient(self, region: Region) -> NDArray[np.float32] | None:
        """Read the image and average its boundary gradient over the blocks of a region."""
        if self.image is None:
            return None
        shape = tuple(s.stop - s.start for s in region)
        values = np.empty(shape, np.float32)
        for block in block_grid(shape, _fitting_edges(shape, self._image_steps)):
            own = tuple(
                slice(s.start + c.start, s.start + c.stop) for s, c in zip(region, block.core, strict=True)
            )
            values[block.core] = self._block_gradient(self.image, own)
        return values

    def _block_gradient(self, image: ArrayLike, region: Region) -> NDArray[np.float32]:
        core = [
            (s.start * step, min(s.stop * step, n))
            for s, step, n in zip(region, self._image_steps, image.shape, strict=True)
        ]
        outer = [
            (max(0, a - GRADIENT_MARGIN), min(n, b + GRADIENT_MARGIN))
            for (a, b), n in zip(core, image.shape, strict=True)
        ]
        found = boundary_gradient(np.asarray(image[tuple(slice(a, b) for a, b in outer)]))
        inner = tuple(slice(c[0] - o[0], c[1] - o[0]) for c, o in zip(core, outer, strict=True))
        return _block_means(found[inner], self._image_steps)

    def flow_field(self, region: Region) -> NDArray[np.float32] | None:
        """Read the flows' voxels nearest to those of a region."""
        if self.flows is None:
            return None
        indices, sides = [], []
        for axis, side in enumerate(region):
            corner = np.zeros((side.stop - side.start, 3))
            corner[:, axis] = np.arange(side.start, side.stop)
            places = self.place(corner)[:, axis] * NM_PER_UM
            index = np.rint((places - self.flows.origin_nm[axis]) / self.flows.spacing_nm[axis]).astype(int)
            index = np.clip(index, 0, self.flows.shape[1 + axis] - 1)
            indices.append(index - index[0])
            sides.append(slice(int(index[0]), int(index[-1]) + 1))
        values = np.asarray(self.flows[(slice(None), *sides)])
        return values[:, *np.ix_(*indices)].astype(np.float32)


@dataclass(frozen=True)
class CoarseLabels:
    """Labels on a `ReviewGrid` as an array."""

    grid: ReviewGrid
    array: ArrayLike

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return self.array.dtype

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return self.grid.sample(self.array, region)


def choose_grid(
    levels: Sequence[ReviewLevel],
    flows: PlacedField | None,
    voxel_nm: float,
    known: KnownResults | None = None,
) -> ReviewGrid:
    """Choose the coarsest level with voxels fine enough, and blocks of it with about the wanted side.

    Parameters
    ----------
    levels
        Levels of the pyramid, the finest first.
    flows : (4, Z, Y, X) array, optional
        dz, dy, dx and the logit.
    voxel_nm
        Wanted side of the grid's voxels; rounded to steps of a geometric series.
    known
        What was measured before on the same flows; their usual length is taken from it.
    """
    voxel_nm = 2 ** (round(math.log2(voxel_nm) * STEPS_PER_DOUBLING) / STEPS_PER_DOUBLING)
    chosen = levels[0]
    for level in levels[1:]:
        finest = np.maximum(FINENESS * voxel_nm, levels[0].spacing_nm)
        if (np.array(level.spacing_nm) <= finest).all():
            chosen = level
    factors = np.maximum(1, np.rint(voxel_nm / np.array(chosen.spacing_nm))).astype(int)
    # A voxel of a coarser level gets the label with the most voxels in it, so that it changes with the labels around. Labels are
    # read from the finest level where that is cheap.
    level, ratio = chosen, np.ones(3, int)
    exact = np.array(chosen.spacing_nm) / np.array(levels[0].spacing_nm)
    whole = np.rint(exact).astype(int)
    if np.allclose(exact, whole, rtol=1e-6) and np.prod(whole * factors) <= MOST_FINE_VOXELS:
        level, ratio = levels[0], whole
    z, y, x = (factors * ratio).tolist()
    r = ratio.tolist()
    length = known_length(flows, KnownResults() if known is None else known)
    return ReviewGrid(level, (z, y, x), flows, length, 1, (r[0], r[1], r[2]), chosen.image)


def known_length(flows: PlacedField | None, known: KnownResults) -> float:
    """Return the usual length of flows; those that were discarded are not read for it."""
    found = None if flows is None else known.find(USUAL_LENGTH)
    if not isinstance(found, float):
        found = _usual_length(flows)
        known.add(USUAL_LENGTH, found)
    return found


def _usual_length(flows: PlacedField | None) -> float:
    """Return the median length of flows with a positive logit in some blocks all over the field; 1 where there are none."""
    if flows is None:
        return 1.0
    lengths = []
    starts = [
        np.unique(np.linspace(0, max(0, n - SAMPLED_EDGE), SAMPLED_BLOCKS).astype(int)).tolist()
        for n in flows.shape[1:]
    ]
    for place in np.stack(np.meshgrid(*starts), axis=-1).reshape(-1, 3).tolist():
        sides = tuple(slice(start, start + SAMPLED_EDGE) for start in place)
        values = np.asarray(flows[(slice(None), *sides)]).astype(np.float32)
        lengths.append(np.linalg.norm(values[:3], axis=0)[values[3] > 0])
    found = np.concatenate(lengths)
    return float(np.median(found)) if len(found) else 1.0


def _fitting_edges(shape: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    """Halve the longest side of a region until its image can be read at once."""
    edges = list(shape)
    while math.prod(n * step for n, step in zip(edges, steps, strict=True)) > LARGEST_READ_VOXELS:
        longest = max(range(3), key=lambda axis: edges[axis] * steps[axis])
        if edges[longest] == 1:
            break
        edges[longest] = -(-edges[longest] // 2)
    return tuple(edges)


def _block_means(values: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """Average every block of `factors` voxels; the last block may be smaller."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, values.shape[axis], factor)
            counts = np.minimum(starts + factor, values.shape[axis]) - starts
            shape = [-1 if a == axis else 1 for a in range(3)]
            sums = np.add.reduceat(values, starts, axis=axis)
            values = np.asarray(sums / counts.reshape(shape).astype(np.float32), np.float32)
    return values
