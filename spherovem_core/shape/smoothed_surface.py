"""A label's surface at one smoothing, in the volume and beyond its border."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.shape.border_extension import extend_beyond_border
from spherovem_core.shape.device_surface import sample_surface_on, signed_distance_on
from spherovem_core.shape.fractal import Domain
from spherovem_core.shape.label_grid import LabelBox, LabelGrid, fill_grid, plan_grid
from spherovem_core.shape.signed_distance import TAIL, signed_distance
from spherovem_core.shape.surface import Surface, sample_surface, undo_smoothing
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.accelerator import Accelerator


@dataclass(frozen=True)
class SmoothedSurface:
    """A label's surface at one smoothing.

    Attributes
    ----------
    grid, distance
        The signed distance and its grid.
    level
        The surface's N points on the smoothed level.
    everywhere
        All N points, also those beyond the volume's border, moved to where they were before the smoothing.
    inside : (N,) ndarray of bool
        True for each point that lies in the volume.
    """

    grid: LabelGrid
    distance: NDArray[np.float32]
    level: Surface
    everywhere: Surface
    inside: NDArray[np.bool_]

    @property
    def visible(self) -> Surface:
        """Points in the volume."""
        return self.everywhere if self.inside.all() else self.everywhere.select(self.inside)


class LabelSurfaces:
    """Surfaces of one label at several smoothings; neighbouring ones with the same grid read the label once.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Only the label's bounding box is read.
    box, spacing_nm
        Bounding box and voxel size of the label.
    largest_smoothing_nm
        Largest smoothing that will be asked for: beyond a border that cuts the label, the grids reach as far as it needs.
    gpu
        Namespaces of the device.
    """

    def __init__(
        self,
        labels: ArrayLike,
        box: LabelBox,
        spacing_nm: SpacingNm,
        largest_smoothing_nm: float,
        gpu: Accelerator,
    ) -> None:
        self.box, self.spacing_nm = box, spacing_nm
        self._labels, self._reach, self._gpu = labels, TAIL * largest_smoothing_nm, gpu
        self._filled: tuple[LabelGrid, NDArray[np.float32]] | None = None

    def occupancy(self, cell_nm: float) -> tuple[LabelGrid, NDArray[np.float32]]:
        """Return a grid and the fraction of each cell that the label fills, continued beyond the volume's border."""
        grid = plan_grid(self.box, self.spacing_nm, cell_nm, self._reach)
        if self._filled is None or self._filled[0] != grid:
            self._filled = None
            occupancy = fill_grid(self._labels, self.box, grid)
            extend_beyond_border(occupancy, self.box, grid)
            self._filled = grid, occupancy
        return self._filled

    def at(self, smoothing_nm: float, cell_nm: float) -> SmoothedSurface:
        """Find the label's surface at one smoothing."""
        grid, occupancy = self.occupancy(cell_nm)
        distance, surface = _sample(occupancy.copy(), grid, self.spacing_nm, smoothing_nm, self._gpu)
        inside = np.ones(len(surface), np.bool_)
        if any(self.box.cut_low) or any(self.box.cut_high):
            inside = lies_in(surface.position, domain_of(self.box, self.spacing_nm), 0.0)
        return SmoothedSurface(grid, distance, surface, undo_smoothing(surface, smoothing_nm), inside)


def _sample(
    occupancy: NDArray[np.float32],
    grid: LabelGrid,
    spacing_nm: SpacingNm,
    smoothing_nm: float,
    gpu: Accelerator,
) -> tuple[NDArray[np.float32], Surface]:
    """Compute signed distance and its zero level, by compiled loops on the CPU and by array operations on a GPU."""
    first = grid.centre_of_first_cell(spacing_nm)
    if not gpu.on_gpu:
        distance = signed_distance(occupancy, grid, smoothing_nm)
        return distance, sample_surface(distance, grid.spacing_nm, first)
    with gpu.active():
        values = signed_distance_on(gpu, occupancy, grid, smoothing_nm)
        return gpu.to_host(values), sample_surface_on(gpu, values, grid.spacing_nm, first)


def away_from_border(surface: Surface, domain: Domain, margin: float) -> Surface:
    """Select the part of a cut surface that smoothing across the border does not bend, or all of it if there is none."""
    away = lies_in(surface.position, domain, margin)
    return surface.select(away) if away.any() else surface


def lies_in(position: NDArray[np.float64], domain: Domain, margin: float) -> NDArray[np.bool_]:
    """Return whether each point lies in the domain and at least a margin away from its borders."""
    inside: NDArray[np.bool_] = np.all(
        (position >= domain.low + margin) & (position <= domain.high - margin), axis=1
    )
    return inside


def domain_of(box: LabelBox, spacing_nm: SpacingNm) -> Domain:
    """Return the part of space that the volume covers, open where its border does not cut the label."""
    spacing = np.array(spacing_nm)
    low = np.where(box.cut_low, -0.5 * spacing, -np.inf)
    high = np.where(box.cut_high, (np.array(box.volume_shape) - 0.5) * spacing, np.inf)
    return Domain(low, high)


def enclosed_volume(surface: SmoothedSurface, domain: Domain, spacing_nm: SpacingNm) -> float:
    """Measure the volume in nm³ inside the smoothed surface, in whole cells."""
    cells = surface.grid.spacing_nm
    inside = surface.distance < 0
    first = surface.grid.centre_of_first_cell(spacing_nm)
    for axis in range(3):
        centres = first[axis] + cells[axis] * np.arange(inside.shape[axis])
        keep = (centres > domain.low[axis]) & (centres < domain.high[axis])
        inside = inside.compress(keep, axis=axis) if not keep.all() else inside
    return float(np.count_nonzero(inside) * np.prod(cells))
