"""One label on a grid that suits the smoothing: the fraction of each cell that it fills, in nearly equal cells."""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.spacing import SpacingNm

T = TypeVar("T")

# Cells around the bounding box: the second derivatives of the surface reach two cells past its crossings.
RIM = 3
SLAB_BYTES = 128 << 20
MAX_SPLIT = 3
MAX_SPLIT_CELLS = 1 << 22


@dataclass(frozen=True)
class LabelBox:
    """Bounding box of one label in its volume, in voxels; `high` is exclusive."""

    label: int
    low: tuple[int, int, int]
    high: tuple[int, int, int]
    volume_shape: tuple[int, int, int]

    @property
    def cut_low(self) -> tuple[bool, ...]:
        """True for each axis along which the label touches the volume's first plane."""
        return tuple(low == 0 for low in self.low)

    @property
    def cut_high(self) -> tuple[bool, ...]:
        """True for each axis along which the label touches the volume's last plane."""
        return tuple(high == size for high, size in zip(self.high, self.volume_shape, strict=True))


@dataclass(frozen=True)
class LabelGrid:
    """A grid of cells that covers a label and a rim around it.

    Attributes
    ----------
    factors
        Voxels per cell along z, y, x.
    splits
        Cells per voxel; where this is more than 1, the factor is 1.
    start
        Voxel index at which the first cell begins; negative where the rim lies beyond the volume.
    shape
        Cells along z, y, x.
    spacing_nm
        Cell size.
    """

    factors: tuple[int, int, int]
    splits: tuple[int, int, int]
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing_nm: SpacingNm

    def centre_of_first_cell(self, spacing_nm: SpacingNm) -> NDArray[np.float64]:
        """Return the position of cell (0, 0, 0) in nm relative to voxel (0, 0, 0)."""
        corner = (np.array(self.start) - 0.5) * np.array(spacing_nm)
        position: NDArray[np.float64] = corner + 0.5 * np.array(self.spacing_nm)
        return position

    def span(self, box: LabelBox, axis: int) -> tuple[int, int]:
        """Return the first cell of the label's bounding box along an axis, and the first cell after it."""
        factor, split, start = self.factors[axis], self.splits[axis], self.start[axis]
        return (box.low[axis] - start) * split // factor, -((start - box.high[axis]) * split // factor)

    @property
    def averaging_variance(self) -> NDArray[np.float64]:
        """Variance in cells of the smoothing that cells cause by averaging voxels or by splitting one."""
        variance: NDArray[np.float64] = (1 - 1 / np.array(self.factors) ** 2) / 12
        return variance + (np.array(self.splits) ** 2 - 1) / 12


def plan_grid(box: LabelBox, spacing_nm: SpacingNm, cell_nm: float, reach_nm: float) -> LabelGrid:
    """Choose the grid of a label.

    Parameters
    ----------
    cell_nm
        Largest cell side. Larger voxels are split as long as the grid stays below 4 million cells.
    reach_nm
        Reach of the smoothing: where the volume's border cuts the label, the grid extends this far beyond the border.
    """
    factors = _triple([max(1, int(cell_nm / side + 1e-6)) for side in spacing_nm])
    splits = _triple([min(MAX_SPLIT, math.ceil(side / cell_nm - 1e-6)) for side in spacing_nm])
    extents = [high - low for low, high in zip(box.low, box.high, strict=True)]
    wanted = math.prod(
        extent * split / factor for extent, split, factor in zip(extents, splits, factors, strict=True)
    )
    if wanted > MAX_SPLIT_CELLS:
        splits = (1, 1, 1)
    start, shape, cut_low, cut_high = [], [], box.cut_low, box.cut_high
    for axis, factor in enumerate(factors):
        beyond = math.ceil(reach_nm / (factor * spacing_nm[axis])) + RIM
        before, after = beyond if cut_low[axis] else RIM, beyond if cut_high[axis] else RIM
        cells = before + -(-extents[axis] // factor) + after
        # The border of the volume that cuts the label must fall between two cells, so the grid begins there.
        at_end = cut_high[axis] and not cut_low[axis]
        start.append(box.high[axis] + (after - cells) * factor if at_end else box.low[axis] - before * factor)
        shape.append(cells * splits[axis])
    sides = [f * side / n for f, side, n in zip(factors, spacing_nm, splits, strict=True)]
    return LabelGrid(factors, splits, _triple(start), _triple(shape), _triple(sides))


def fill_grid(labels: ArrayLike, box: LabelBox, grid: LabelGrid) -> NDArray[np.float32]:
    """Measure the fraction of each cell that the label fills, slab by slab; runs on the CPU.

    Returns
    -------
    ndarray of float32
        0 to 1; 0 outside the label's bounding box.
    """
    whole = [cells // split for cells, split in zip(grid.shape, grid.splits, strict=True)]
    occupancy = np.zeros(whole, np.float32)
    sources = [_source_indices(box, grid, axis, whole[axis]) for axis in range(3)]
    rest = tuple(slice(low, high) for low, high in zip(box.low[1:], box.high[1:], strict=True))
    slice_bytes = labels.dtype.itemsize * math.prod(s.stop - s.start for s in rest)
    depth = max(1, SLAB_BYTES // slice_bytes)
    scale = np.float32(1 / math.prod(grid.factors))
    for z in range(box.low[0], box.high[0], depth):
        slab = labels[(slice(z, min(z + depth, box.high[0])), *rest)]
        in_slab = sources[0] - (z - box.low[0])
        in_slab[(sources[0] < 0) | (in_slab >= len(slab))] = -1
        label, shift = slab.dtype.type(box.label), box.low[2] - grid.start[2]
        _add_slab(slab, label, in_slab, sources[1], sources[2], shift, grid.factors, occupancy, scale)
    for axis, split in enumerate(grid.splits):
        if split > 1:
            occupancy = np.repeat(occupancy, split, axis=axis)
    return occupancy


def _source_indices(box: LabelBox, grid: LabelGrid, axis: int, cells: int) -> NDArray[np.int64]:
    """Find the row of the bounding box for each voxel row of the grid; -1 where there is none."""
    low, high = box.low[axis], box.high[axis]
    voxel = grid.start[axis] + np.arange(cells * grid.factors[axis])
    source: NDArray[np.int64] = np.where((voxel >= low) & (voxel < high), voxel - low, -1)
    return source


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_slab(
    slab: Any,
    label: Any,
    from_z: Any,
    from_y: Any,
    from_x: Any,
    straight: int,
    factors: Any,
    occupancy: Any,
    scale: Any,
) -> None:
    """Add the label's voxels of a slab; from position `straight` along x on, voxels follow each other as in the slab."""
    fz, fy, fx = factors
    depth, height, width = occupancy.shape
    first = -(-straight // fx)
    last = max(first, min(width, (straight + slab.shape[2]) // fx))
    for z in range(depth * fz):
        if from_z[z] < 0:
            continue
        for y in range(height * fy):
            if from_y[y] < 0:
                continue
            row = slab[from_z[z], from_y[y]]
            out = occupancy[z // fz, y // fy]
            if fx == 1:
                shift = first - straight
                for x in range(first, last):
                    out[x] += scale * (row[x - first + shift] == label)
            else:
                for x in range(first, last):
                    count = np.int32(0)
                    for i in range(x * fx - straight, (x + 1) * fx - straight):
                        count += row[i] == label
                    out[x] += scale * count
            for side in range(2):
                for x in range(0 if side == 0 else last * fx, first * fx if side == 0 else width * fx):
                    if from_x[x] >= 0 and row[from_x[x]] == label:
                        out[x // fx] += scale


def _triple(values: list[T]) -> tuple[T, T, T]:
    a, b, c = values
    return a, b, c
