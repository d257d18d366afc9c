"""Descriptors of one label: area, curvatures, solidity, harmonics and fractal dimension, each at a smoothing that suits it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from spherovem_core.blocks import ArrayLike
from spherovem_core.shape.curvature_spread import (
    UNRESOLVED,
    CurvatureSpread,
    extrapolate_spread,
    surface_moments,
)
from spherovem_core.shape.fractal import NO_FIT, Domain, FractalFit, fit_tube_scaling
from spherovem_core.shape.harmonics import DEGREES, harmonic_power
from spherovem_core.shape.label_grid import LabelBox
from spherovem_core.shape.smoothed_surface import (
    LabelSurfaces,
    SmoothedSurface,
    away_from_border,
    domain_of,
    enclosed_volume,
)
from spherovem_core.shape.smoothing_scales import CELLS_FOR_SPREAD, SmoothingScales
from spherovem_core.shape.solidity import solidity
from spherovem_core.shape.surface import Surface
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.accelerator import Accelerator

NAN = float("nan")
# Fraction of a label's voxels that must lie inside its smoothed surface for the surface to represent the label.
MIN_INSIDE = 0.5
# Smoothing takes total mean curvature off corners alone, a little faster than in proportion to its width.
CORNER_POWER = 1.1
# A smaller ratio of largest to smallest tube radius gives no reliable slope.
MIN_TUBE_RATIO = 1.3
# A surface is rough if its integral of H² grows faster than that of edges when it is smoothed less, or nearly as fast while the
# gain of area rises. Edges lose area in proportion to the smoothing, and their gain falls with it; that of a rough one does not.
ROUGH, MAYBE_ROUGH, FALLING = 1.05, 0.3, 0.95
# Without roughness the dimension is 2; another one comes from tubes that meet inside thin parts, or from edges.
SMOOTH_DEVIATION = 0.03
# Fraction of the volume by which a surface may fall short of the voxels before a note says so.
LOST_VOLUME = 0.03


@dataclass(frozen=True)
class AtScale:
    """Descriptors of a surface smoothed with a Gaussian of a stated width; NaN where that is below `low` or above `high`.

    Attributes
    ----------
    low, high
        Least and greatest width in nm that the label's voxels and its thickness allow.
    """

    low: float = NAN
    high: float = NAN
    area: float = NAN
    mean_curvature_std: float = NAN
    curvedness_mean: float = NAN
    shape_index_mean: float = NAN


@dataclass(frozen=True)
class SurfaceDescriptors:
    """Descriptors of a surface in nm; NaN where `note` gives the reason."""

    area: float = NAN
    mean_curvature_mean: float = NAN
    gaussian_curvature_mean: float = NAN
    spread: CurvatureSpread = field(default_factory=CurvatureSpread)
    at_scale: AtScale = AtScale()
    solidity: float = NAN
    harmonic_power: tuple[float, ...] = (NAN,) * DEGREES
    fractal: FractalFit = NO_FIT
    note: str = ""


def describe_surface(
    labels: ArrayLike,
    box: LabelBox,
    spacing_nm: SpacingNm,
    scales: SmoothingScales,
    volume_nm3: float,
    gpu: Accelerator,
    curvature_scale_nm: float,
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
    curvature_scale_nm
        Gaussian width of the descriptors that compare between cells and voxels of any size.

    Returns
    -------
    SurfaceDescriptors, SmoothedSurface or None
        The surface at the smoothing of the curvatures, for a mesh; None where the label is too thin for it.
    """
    domain = domain_of(box, spacing_nm)
    scaled = scales.spread_smoothing <= curvature_scale_nm <= scales.largest_smoothing
    surfaces = LabelSurfaces(
        labels, box, spacing_nm, max(scales.smoothings + (curvature_scale_nm,) * scaled), gpu
    )
    fine = surfaces.at(scales.area_smoothing, scales.area_cell)
    finer = []
    if scales.resolves_spread:
        finer = [surfaces.at(width, width / CELLS_FOR_SPREAD) for width in scales.spread_smoothings]
    coarse = surfaces.at(scales.curvature_smoothing, scales.curvature_cell)
    sharp, smooth = fine.visible, coarse.visible
    lost = enclosed_volume(fine, domain, spacing_nm) < MIN_INSIDE * volume_nm3
    if lost or len(sharp) == 0 or len(smooth) == 0:
        smoothings = f"{scales.area_smoothing:.0f} to {scales.curvature_smoothing:.0f} nm"
        return SurfaceDescriptors(note=f"mostly thinner than the smoothing of {smoothings}"), None

    whole = not (any(box.cut_low) or any(box.cut_high))
    # The grid is still that of the coarse surface, which need not be filled again.
    power = _power(surfaces, scales) if whole else (NAN,) * DEGREES
    fine_total, coarse_total = (s.integrate(s.mean_curvature) for s in (sharp, smooth))
    edges = scales.edge_fraction(*(s.integrate(s.mean_curvature**2) for s in (sharp, smooth)))
    area = scales.extrapolate(sharp.total, smooth.total, edges)
    total_mean = scales.extrapolate(fine_total, coarse_total, edges, CORNER_POWER)
    total_gaussian = smooth.integrate(smooth.gaussian_curvature)
    means = total_mean / area, total_gaussian / area
    margin = 2 * scales.curvature_smoothing

    def unbent(surface: SmoothedSurface) -> Surface:
        return surface.visible if surface.inside.all() else away_from_border(surface.visible, domain, margin)

    levels = [fine, *finer, coarse]
    moments = [surface_moments(unbent(level)) for level in levels if len(level.visible)]
    spread = CurvatureSpread(note=f"{UNRESOLVED}: too few voxels across")
    if len(moments) == 4:
        spread = extrapolate_spread(scales.smoothings, moments, edges)
    if not coarse.inside.all():
        bent = unbent(coarse)
        means = bent.integrate(bent.mean_curvature) / bent.total, moments[-1].gaussian_mean
    areas = [level.visible.total for level in levels]
    fractal, rough = _fit_fractal(fine, scales, total_gaussian, domain, areas, edges)
    short = 1 - fine.everywhere.enclosed / volume_nm3 if whole else 0.0
    notes = [
        f"measured on a grid {scales.coarsened:.1f} times coarser for its size"
        if scales.coarsened > 1.01
        else "",
        f"thin: smoothing takes {100 * short:.0f} % of its volume, and some of its area"
        if short > LOST_VOLUME
        else "",
        spread.note,
        rough,
    ]
    return (
        SurfaceDescriptors(
            area=area,
            mean_curvature_mean=means[0],
            gaussian_curvature_mean=means[1],
            spread=spread,
            at_scale=_describe_at_scale(surfaces, unbent, scales, curvature_scale_nm if scaled else None),
            solidity=solidity(fine.level) if whole else NAN,
            harmonic_power=power,
            fractal=fractal,
            note="; ".join(filter(None, notes)),
        ),
        coarse,
    )


def _describe_at_scale(
    surfaces: LabelSurfaces,
    unbent: Callable[[SmoothedSurface], Surface],
    scales: SmoothingScales,
    width: float | None,
) -> AtScale:
    """Measure the surface at a smoothing of stated width; None where voxels or thickness of the label do not allow it."""
    low, high = scales.spread_smoothing, scales.largest_smoothing
    surface = None if width is None else surfaces.at(width, width / CELLS_FOR_SPREAD)
    if surface is None or len(surface.visible) == 0:
        return AtScale(low, high)
    found = surface_moments(unbent(surface))
    return AtScale(
        low,
        high,
        surface.visible.total,
        math.sqrt(found.mean_variance),
        found.curvedness,
        found.shape_index,
    )


def _power(surfaces: LabelSurfaces, scales: SmoothingScales) -> tuple[float, ...]:
    grid, occupancy = surfaces.occupancy(scales.curvature_cell)
    return tuple(harmonic_power(occupancy, grid.spacing_nm).tolist())


def _fit_fractal(
    surface: SmoothedSurface,
    scales: SmoothingScales,
    total_curvature: float,
    domain: Domain,
    areas: Sequence[float],
    edges: float,
) -> tuple[FractalFit, str]:
    """Fit the dimension of a surface that is smooth at its finest scales; say so where it is not.

    The radii span less than a decade. A rough surface grows into a fractal over scales that the voxels do not resolve, and a line
    through the resolved ones is straight and wrong: that of a Koch solid of dimension 2.33 gives 2.13, with r² 0.9995.
    """
    low, high = scales.tube
    if high < MIN_TUBE_RATIO * low:
        return FractalFit(NAN, NAN, low, high), "fractal dimension not resolved: too thin"
    gains = scales.area_gains(areas)
    if not gains:
        return FractalFit(NAN, NAN, low, high), "fractal dimension not resolved: too few voxels across"
    if edges > ROUGH or (edges > MAYBE_ROUGH and gains[-1] < FALLING * gains[0]):
        return FractalFit(NAN, NAN, low, high), "fractal dimension not resolved: rough surface"
    fit = fit_tube_scaling(
        surface.everywhere, max(surface.grid.spacing_nm), scales.tube, total_curvature, domain
    )
    if not abs(fit.dimension - 2) <= SMOOTH_DEVIATION:
        return FractalFit(NAN, NAN, low, high), "fractal dimension not resolved: thin or sharp parts"
    return fit, ""
