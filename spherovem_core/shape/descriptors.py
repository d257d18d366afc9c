"""Descriptors of one label: surface, curvatures and fractal dimension, each at the scale that suits it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.shape.border import extend_beyond_border
from spherovem_core.shape.fractal import NO_FIT, Domain, FractalFit, fit_tube_scaling
from spherovem_core.shape.occupancy import Grid, LabelBox, fill_grid, plan_grid
from spherovem_core.shape.on_device import sample_surface_on, signed_distance_on
from spherovem_core.shape.scales import Scales
from spherovem_core.shape.signed_distance import TAIL, signed_distance
from spherovem_core.shape.surface import Surface, sample_surface, undo_smoothing
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.accelerator import Accelerator

NAN = float("nan")
# Share of a label's voxels that must lie inside its smoothed surface for the surface to stand for the label.
MIN_INSIDE = 0.5
# Total mean curvature is lost at corners alone, a little faster than in proportion to the smoothing.
CORNER_POWER = 1.1
# A tube narrower than this ratio of its radii has no slope worth the name.
MIN_TUBE_RATIO = 1.3


@dataclass(frozen=True)
class SurfaceDescriptors:
    """What the surface tells, in nm; NaN where `note` says why."""

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
class Layer:
    """A label's surface at one smoothing.

    Attributes
    ----------
    grid, distance
        The signed distance that it comes from.
    level
        Where its points lie on the smoothed level, one row a point, in nm.
    everywhere
        All its points, those beyond the volume's border included, where they were before the smoothing.
    inside
        Which of them lie in the volume.
    """

    grid: Grid
    distance: NDArray[np.float32]
    level: NDArray[np.float64]
    everywhere: Surface
    inside: NDArray[np.bool_]

    @property
    def visible(self) -> Surface:
        """The points in the volume."""
        return self.everywhere if self.inside.all() else self.everywhere.select(self.inside)


def describe_surface(
    labels: ArrayLike,
    box: LabelBox,
    spacing_nm: SpacingNm,
    scales: Scales,
    volume_nm3: float,
    gpu: Accelerator,
) -> tuple[SurfaceDescriptors, Layer | None]:
    """Measure one label's surface.

    Returns
    -------
    SurfaceDescriptors, Layer or None
        The layer is that of the curvatures, for a mesh; None where there is no surface.
    """
    domain = _domain(box, spacing_nm)
    fine = make_layer(labels, box, spacing_nm, scales.area_cell, scales.area_smoothing, gpu)
    coarse = make_layer(labels, box, spacing_nm, scales.curvature_cell, scales.curvature_smoothing, gpu)
    sharp, smooth = fine.visible, coarse.visible
    lost = _enclosed_volume(fine, domain, spacing_nm) < MIN_INSIDE * volume_nm3
    if lost or len(sharp) == 0 or len(smooth) == 0:
        smoothings = f"{scales.area_smoothing:.0f} to {scales.curvature_smoothing:.0f} nm"
        return SurfaceDescriptors(note=f"mostly thinner than the smoothing of {smoothings}"), None

    fine_bending, coarse_bending = (s.integrate(s.mean_curvature) for s in (sharp, smooth))
    edges = scales.edge_share(*(s.integrate(s.mean_curvature**2) for s in (sharp, smooth)))
    area = scales.extrapolate(sharp.total, smooth.total, edges)
    bending = scales.extrapolate(fine_bending, coarse_bending, edges, CORNER_POWER)
    turning = smooth.integrate(smooth.gaussian_curvature)
    fractal = _fit_fractal(fine, scales, turning, domain)
    means = bending / area, turning / area
    if not coarse.inside.all():
        smooth = _away_from_border(smooth, domain, 2 * scales.curvature_smoothing)
        mean, gaussian = smooth.mean_curvature, smooth.gaussian_curvature
        means = smooth.integrate(mean) / smooth.total, smooth.integrate(gaussian) / smooth.total
    return _summarise(smooth, area, means, fractal, scales), coarse


def make_layer(
    labels: ArrayLike,
    box: LabelBox,
    spacing_nm: SpacingNm,
    cell_nm: float,
    smoothing_nm: float,
    gpu: Accelerator,
) -> Layer:
    """Find a label's surface at one smoothing."""
    grid = plan_grid(box, spacing_nm, cell_nm, TAIL * smoothing_nm)
    occupancy = fill_grid(labels, box, grid)
    extend_beyond_border(occupancy, box, grid)
    distance, surface = _sample(occupancy, grid, spacing_nm, smoothing_nm, gpu)
    inside = np.ones(len(surface), np.bool_)
    if any(box.cut_low) or any(box.cut_high):
        inside = _lies_in(surface.position, _domain(box, spacing_nm), 0.0)
    return Layer(grid, distance, surface.position, undo_smoothing(surface, smoothing_nm), inside)


def _sample(
    occupancy: NDArray[np.float32],
    grid: Grid,
    spacing_nm: SpacingNm,
    smoothing_nm: float,
    gpu: Accelerator,
) -> tuple[NDArray[np.float32], Surface]:
    """Signed distance and its zero level, by compiled loops on the CPU and by array operations on a GPU."""
    first = grid.centre_of_first_cell(spacing_nm)
    if not gpu.on_gpu:
        distance = signed_distance(occupancy, grid, smoothing_nm)
        return distance, sample_surface(distance, grid.spacing_nm, first)
    with gpu.active():
        values = signed_distance_on(gpu, occupancy, grid, smoothing_nm)
        return gpu.to_host(values), sample_surface_on(gpu, values, grid.spacing_nm, first)


def _away_from_border(surface: Surface, domain: Domain, margin: float) -> Surface:
    """The part of a cut surface that the smoothing across the border does not bend, or all of it if that is none."""
    away = _lies_in(surface.position, domain, margin)
    return surface.select(away) if away.any() else surface


def _lies_in(position: NDArray[np.float64], domain: Domain, margin: float) -> NDArray[np.bool_]:
    """Which points lie in the domain and at least a margin away from its borders."""
    inside: NDArray[np.bool_] = np.all(
        (position >= domain.low + margin) & (position <= domain.high - margin), axis=1
    )
    return inside


def _domain(box: LabelBox, spacing_nm: SpacingNm) -> Domain:
    spacing = np.array(spacing_nm)
    low = np.where(box.cut_low, -0.5 * spacing, -np.inf)
    high = np.where(box.cut_high, (np.array(box.volume_shape) - 0.5) * spacing, np.inf)
    return Domain(low, high)


def _enclosed_volume(layer: Layer, domain: Domain, spacing_nm: SpacingNm) -> float:
    """Volume in nm³ inside the smoothed surface, in whole cells."""
    cells = layer.grid.spacing_nm
    inside = layer.distance < 0
    first = layer.grid.centre_of_first_cell(spacing_nm)
    for axis in range(3):
        centres = first[axis] + cells[axis] * np.arange(inside.shape[axis])
        keep = (centres > domain.low[axis]) & (centres < domain.high[axis])
        inside = inside.compress(keep, axis=axis) if not keep.all() else inside
    return float(np.count_nonzero(inside) * np.prod(cells))


def _fit_fractal(layer: Layer, scales: Scales, total_curvature: float, domain: Domain) -> FractalFit:
    low, high = scales.tube
    if high < MIN_TUBE_RATIO * low:
        return FractalFit(NAN, NAN, low, high)
    return fit_tube_scaling(
        layer.everywhere, max(layer.grid.spacing_nm), scales.tube, total_curvature, domain
    )


def _summarise(
    surface: Surface, area: float, means: tuple[float, float], fractal: FractalFit, scales: Scales
) -> SurfaceDescriptors:
    bent = np.sqrt(np.maximum(2 * surface.mean_curvature**2 - surface.gaussian_curvature, 0))
    index = shape_index(surface.mean_curvature, surface.gaussian_curvature)
    index_mean, index_std = _moments(index, surface)
    curved_mean, curved_std = _moments(bent, surface)
    coarsened = scales.coarsened > 1.01
    return SurfaceDescriptors(
        area=area,
        mean_curvature_mean=means[0],
        mean_curvature_std=_moments(surface.mean_curvature, surface)[1],
        gaussian_curvature_mean=means[1],
        gaussian_curvature_std=_moments(surface.gaussian_curvature, surface)[1],
        shape_index_mean=index_mean,
        shape_index_std=index_std,
        curvedness_mean=curved_mean,
        curvedness_std=curved_std,
        fractal=fractal,
        note=f"measured on a grid {scales.coarsened:.1f} times coarser for its size" if coarsened else "",
    )


def shape_index(mean: NDArray[np.float64], gaussian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape index of Koenderink and van Doorn (1992): 1 on a ball, 0.5 on a ridge, 0 on a saddle, -1 in a cup."""
    half_difference = np.sqrt(np.maximum(mean**2 - gaussian, 0))
    index: NDArray[np.float64] = 2 / np.pi * np.arctan2(mean, half_difference)
    return index


def _moments(values: NDArray[np.float64], surface: Surface) -> tuple[float, float]:
    """Mean and standard deviation over a surface."""
    mean = surface.integrate(values) / surface.total
    return mean, float(np.sqrt(surface.integrate((values - mean) ** 2) / surface.total))
