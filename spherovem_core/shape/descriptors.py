"""Descriptors of one label: surface area, curvatures and fractal dimension, each at a smoothing that suits it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.shape.border_extension import extend_beyond_border
from spherovem_core.shape.device_surface import sample_surface_on, signed_distance_on
from spherovem_core.shape.fractal import NO_FIT, Domain, FractalFit, fit_tube_scaling
from spherovem_core.shape.label_grid import LabelBox, LabelGrid, fill_grid, plan_grid
from spherovem_core.shape.signed_distance import TAIL, signed_distance
from spherovem_core.shape.smoothing_scales import SmoothingScales
from spherovem_core.shape.surface import Surface, sample_surface, undo_smoothing
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.accelerator import Accelerator

NAN = float("nan")
# Fraction of a label's voxels that must lie inside its smoothed surface for the surface to represent the label.
MIN_INSIDE = 0.5
# Smoothing takes total mean curvature off corners alone, a little faster than in proportion to its width.
CORNER_POWER = 1.1
# A smaller ratio of largest to smallest tube radius gives no reliable slope.
MIN_TUBE_RATIO = 1.3


@dataclass(frozen=True)
class SurfaceDescriptors:
    """Descriptors of a surface in nm; NaN where `note` gives the reason."""

    area: float = NAN
    mean_curvature_mean: float = NAN
    mean_curvature_std: float = NAN
    gaussian_curvature_mean: float = NAN
    gaussian_curvature_std: float = NAN
    shape_index_mean: float = NAN
    shape_index_std: float = NAN
    curvedness_mean: float = NAN
    curvedness_std: float = NAN
    fractal: FractalFit = field(default_factory=lambda: NO_FIT)
    note: str = ""


@dataclass(frozen=True)
class SmoothedSurface:
    """A label's surface at one smoothing.

    Attributes
    ----------
    grid, distance
        The signed distance and its grid.
    level : (N, 3) ndarray of float64
        Positions of the surface's points on the smoothed level, in nm.
    everywhere
        All N points, also those beyond the volume's border, moved to where they were before the smoothing.
    inside : (N,) ndarray of bool
        True for each point that lies in the volume.
    """

    grid: LabelGrid
    distance: NDArray[np.float32]
    level: NDArray[np.float64]
    everywhere: Surface
    inside: NDArray[np.bool_]

    @property
    def visible(self) -> Surface:
        """Points in the volume."""
        return self.everywhere if self.inside.all() else self.everywhere.select(self.inside)


def describe_surface(
    labels: ArrayLike,
    box: LabelBox,
    spacing_nm: SpacingNm,
    scales: SmoothingScales,
    volume_nm3: float,
    gpu: Accelerator,
) -> tuple[SurfaceDescriptors, SmoothedSurface | None]:
    """Measure one label's surface.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Only the label's bounding box is read.
    box, spacing_nm, volume_nm3
        Bounding box, voxel size and volume of the label.
    scales
        Smoothings and cells of its grids.
    gpu
        Namespaces of the device.

    Returns
    -------
    SurfaceDescriptors, SmoothedSurface or None
        The surface at the smoothing of the curvatures, for a mesh; None where the label is too thin for it.
    """
    domain = _domain(box, spacing_nm)
    fine = find_surface(labels, box, spacing_nm, scales.area_cell, scales.area_smoothing, gpu)
    coarse = find_surface(labels, box, spacing_nm, scales.curvature_cell, scales.curvature_smoothing, gpu)
    sharp, smooth = fine.visible, coarse.visible
    lost = _enclosed_volume(fine, domain, spacing_nm) < MIN_INSIDE * volume_nm3
    if lost or len(sharp) == 0 or len(smooth) == 0:
        smoothings = f"{scales.area_smoothing:.0f} to {scales.curvature_smoothing:.0f} nm"
        return SurfaceDescriptors(note=f"mostly thinner than the smoothing of {smoothings}"), None

    fine_total, coarse_total = (s.integrate(s.mean_curvature) for s in (sharp, smooth))
    edges = scales.edge_fraction(*(s.integrate(s.mean_curvature**2) for s in (sharp, smooth)))
    area = scales.extrapolate(sharp.total, smooth.total, edges)
    total_mean = scales.extrapolate(fine_total, coarse_total, edges, CORNER_POWER)
    total_gaussian = smooth.integrate(smooth.gaussian_curvature)
    fractal = _fit_fractal(fine, scales, total_gaussian, domain)
    means = total_mean / area, total_gaussian / area
    if not coarse.inside.all():
        smooth = _away_from_border(smooth, domain, 2 * scales.curvature_smoothing)
        mean, gaussian = smooth.mean_curvature, smooth.gaussian_curvature
        means = smooth.integrate(mean) / smooth.total, smooth.integrate(gaussian) / smooth.total
    return _summarise(smooth, area, means, fractal, scales), coarse


def find_surface(
    labels: ArrayLike,
    box: LabelBox,
    spacing_nm: SpacingNm,
    cell_nm: float,
    smoothing_nm: float,
    gpu: Accelerator,
) -> SmoothedSurface:
    """Find a label's surface at one smoothing."""
    grid = plan_grid(box, spacing_nm, cell_nm, TAIL * smoothing_nm)
    occupancy = fill_grid(labels, box, grid)
    extend_beyond_border(occupancy, box, grid)
    distance, surface = _sample(occupancy, grid, spacing_nm, smoothing_nm, gpu)
    inside = np.ones(len(surface), np.bool_)
    if any(box.cut_low) or any(box.cut_high):
        inside = _lies_in(surface.position, _domain(box, spacing_nm), 0.0)
    return SmoothedSurface(grid, distance, surface.position, undo_smoothing(surface, smoothing_nm), inside)


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


def _away_from_border(surface: Surface, domain: Domain, margin: float) -> Surface:
    """Select the part of a cut surface that smoothing across the border does not bend, or all of it if there is none."""
    away = _lies_in(surface.position, domain, margin)
    return surface.select(away) if away.any() else surface


def _lies_in(position: NDArray[np.float64], domain: Domain, margin: float) -> NDArray[np.bool_]:
    """Return whether each point lies in the domain and at least a margin away from its borders."""
    inside: NDArray[np.bool_] = np.all(
        (position >= domain.low + margin) & (position <= domain.high - margin), axis=1
    )
    return inside


def _domain(box: LabelBox, spacing_nm: SpacingNm) -> Domain:
    spacing = np.array(spacing_nm)
    low = np.where(box.cut_low, -0.5 * spacing, -np.inf)
    high = np.where(box.cut_high, (np.array(box.volume_shape) - 0.5) * spacing, np.inf)
    return Domain(low, high)


def _enclosed_volume(surface: SmoothedSurface, domain: Domain, spacing_nm: SpacingNm) -> float:
    """Measure the volume in nm³ inside the smoothed surface, in whole cells."""
    cells = surface.grid.spacing_nm
    inside = surface.distance < 0
    first = surface.grid.centre_of_first_cell(spacing_nm)
    for axis in range(3):
        centres = first[axis] + cells[axis] * np.arange(inside.shape[axis])
        keep = (centres > domain.low[axis]) & (centres < domain.high[axis])
        inside = inside.compress(keep, axis=axis) if not keep.all() else inside
    return float(np.count_nonzero(inside) * np.prod(cells))


def _fit_fractal(
    surface: SmoothedSurface, scales: SmoothingScales, total_curvature: float, domain: Domain
) -> FractalFit:
    low, high = scales.tube
    if high < MIN_TUBE_RATIO * low:
        return FractalFit(NAN, NAN, low, high)
    return fit_tube_scaling(
        surface.everywhere, max(surface.grid.spacing_nm), scales.tube, total_curvature, domain
    )


def _summarise(
    surface: Surface, area: float, means: tuple[float, float], fractal: FractalFit, scales: SmoothingScales
) -> SurfaceDescriptors:
    mean, gaussian = surface.mean_curvature, surface.gaussian_curvature
    index_mean, index_std = _moments(shape_index(mean, gaussian), surface)
    curved_mean, curved_std = _moments(curvedness(mean, gaussian), surface)
    coarsened = scales.coarsened > 1.01
    return SurfaceDescriptors(
        area=area,
        mean_curvature_mean=means[0],
        mean_curvature_std=_moments(mean, surface)[1],
        gaussian_curvature_mean=means[1],
        gaussian_curvature_std=_moments(gaussian, surface)[1],
        shape_index_mean=index_mean,
        shape_index_std=index_std,
        curvedness_mean=curved_mean,
        curvedness_std=curved_std,
        fractal=fractal,
        note=f"measured on a grid {scales.coarsened:.1f} times coarser for its size" if coarsened else "",
    )


def shape_index(mean: NDArray[np.float64], gaussian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the shape index of Koenderink and van Doorn (1992) from mean and Gaussian curvature.

    It is 1 on a ball, 0.5 on a ridge, 0 on a saddle and -1 in a cup.
    """
    half_difference = np.sqrt(np.maximum(mean**2 - gaussian, 0))
    index: NDArray[np.float64] = 2 / np.pi * np.arctan2(mean, half_difference)
    return index


def curvedness(mean: NDArray[np.float64], gaussian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the curvedness of Koenderink and van Doorn (1992): the root mean square of the principal curvatures."""
    curved: NDArray[np.float64] = np.sqrt(np.maximum(2 * mean**2 - gaussian, 0))
    return curved


def _moments(values: NDArray[np.float64], surface: Surface) -> tuple[float, float]:
    """Compute mean and standard deviation of values over a surface."""
    mean = surface.integrate(values) / surface.total
    return mean, float(np.sqrt(surface.integrate((values - mean) ** 2) / surface.total))
