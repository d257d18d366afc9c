"""Spread of curvature over a surface, extrapolated from several smoothings to none.

A Gaussian of width s damps a wave of the surface with the wave number k by ``exp(-k²s²/2)``, so that columns taken at one
smoothing depend on the sizes of cells and voxels: waves that go four times around a cell lose 18 % of their curvature at one size
and 54 % at another. The logarithm of a variance of curvature is a straight line over s² for one wave, and a slightly bent one for
several. It is followed from three smoothings to zero. Voxels add a variance of their own, which falls with the sixth power of s;
it follows from a fourth, finer smoothing, at which it outweighs the rest. Where the way to zero is long or the line bends, the
surface has structure that the voxels do not resolve, and there is no value.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.shape.surface import Surface

NOISE_POWER = 6
"""A variance of curvature that voxels cause falls with this power of the smoothing."""
ROUNDS, SETTLED = 60, 1e-8
"""Rounds in which noise and line follow from each other, at most, and change of the noise by the variance at which they end."""
MAX_GAIN = 0.3
"""Largest accepted logarithm of the curvature's standard deviation without smoothing over that at the finest of the three."""
MAX_BEND = 0.05
"""Largest accepted difference of that logarithm between a straight and a bent line."""
MAX_TIP_BEND = 0.024
"""Largest accepted positive difference, for each variance by itself. Lines of waves bend down or hardly; at tips and rims of few
voxels they bend up, and what a parabola misses grows: 3 % at 0.02, 6 to 8 % at 0.03, 13 % at 0.05."""
MAX_NOISE = 0.5
"""Largest fraction of the variance at the finest of the three smoothings that may be noise, if its line is to be followed."""
SMALL_SPREAD, TINY_SPREAD = 0.12, 0.06
"""Below this fraction of the curvedness, a spread of mean curvature that is noise alone, or any spread, is left at its noise."""
NOISY, TOO_STEEP = 0.4, 1.3
"""A spread is noise alone if noise is more than this fraction of it, or if its line falls or rises more than that of waves."""
MAX_EDGES = 0.5
"""Largest accepted fraction of bending at edges: the curvature of an edge is not finite."""
MAX_INDEX_CHANGE = 0.12
"""Largest accepted change of the shape index, or of its standard deviation, on the way to no smoothing."""
UNRESOLVED = "spread of curvature not resolved"
NAN = float("nan")


@dataclass(frozen=True)
class Moments:
    """Means and variances of curvature over a surface, in powers of 1/nm; those of the shape index have no unit."""

    mean_variance: float
    gaussian_mean: float
    gaussian_variance: float
    curvedness: float
    curvedness_variance: float
    shape_index: float
    shape_index_variance: float


@dataclass(frozen=True)
class CurvatureSpread:
    """Mean and spread of curvature over a surface without smoothing; NaN where `note` gives the reason.

    Lengths are in nm; the shape index has no unit.
    """

    mean_curvature_std: float = NAN
    gaussian_curvature_std: float = NAN
    curvedness_mean: float = NAN
    curvedness_std: float = NAN
    shape_index_mean: float = NAN
    shape_index_std: float = NAN
    note: str = ""


def surface_moments(surface: Surface) -> Moments:
    """Compute means and variances of curvature over a surface, weighted by area."""
    mean, gaussian = surface.mean_curvature, surface.gaussian_curvature
    curved, index = curvedness(mean, gaussian), shape_index(mean, gaussian)
    gaussian_mean, gaussian_variance = _moments(gaussian, surface)
    curved_mean, curved_variance = _moments(curved, surface)
    index_mean, index_variance = _moments(index, surface)
    return Moments(
        _moments(mean, surface)[1],
        gaussian_mean,
        gaussian_variance,
        curved_mean,
        curved_variance,
        index_mean,
        index_variance,
    )


def extrapolate_spread(
    smoothings_nm: Sequence[float], moments: Sequence[Moments], edge_fraction: float = 0.0
) -> CurvatureSpread:
    """Follow the spread of curvature from four smoothings to none.

    Parameters
    ----------
    smoothings_nm
        Four rising Gaussian widths. At the first, noise of voxels outweighs the surface; the others are followed.
    moments
        Moments of the surface at each of them.
    edge_fraction
        Fraction of the surface's bending that lies at edges.
    """
    widths = np.asarray(smoothings_nm, np.float64)
    mean = _Line.through(widths, [m.mean_variance for m in moments])
    finest, coarsest = moments[1], moments[-1]
    gaussian = _Line.through(widths, [m.gaussian_variance for m in moments])
    curved = _Line.through(widths, [m.curvedness_variance for m in moments])
    if edge_fraction > MAX_EDGES:
        return CurvatureSpread(note=f"{UNRESOLVED}: edges or roughness")
    followed = abs(mean.gain) <= MAX_GAIN and abs(mean.bend) <= MAX_BEND and mean.noise <= MAX_NOISE
    if not followed:
        # On a surface as even as voxels can tell, the coarsest smoothing has the least noise, and there is nothing to follow.
        noisy = mean.noise > NOISY or not 0 <= mean.gain <= TOO_STEEP
        limit = SMALL_SPREAD if noisy else TINY_SPREAD
        if math.sqrt(finest.mean_variance) < limit * finest.curvedness:
            return CurvatureSpread(
                _root(mean.quiet),
                _root(gaussian.quiet),
                coarsest.curvedness,
                _root(curved.quiet),
                coarsest.shape_index,
                math.sqrt(coarsest.shape_index_variance),
            )
        return CurvatureSpread(note=f"{UNRESOLVED}: structure too fine for the voxels")
    squares = (widths[1:] ** 2).tolist()
    indices = [m.shape_index for m in moments[1:]]
    index_stds = [math.sqrt(m.shape_index_variance) for m in moments[1:]]
    index, index_std = _to_zero(squares, indices)[0], _to_zero(squares, index_stds)[0]
    resolved = max(abs(index - indices[0]), abs(index_std - index_stds[0])) <= MAX_INDEX_CHANGE
    tips = any(line.bend > MAX_TIP_BEND for line in (mean, gaussian, curved))
    notes = [
        "curvature of tips or rims not resolved" if tips else "",
        "" if resolved else "shape index not resolved",
    ]
    return CurvatureSpread(
        mean.spread,
        gaussian.spread,
        _to_zero(squares, [m.curvedness for m in moments[1:]])[0],
        curved.spread,
        min(1.0, max(-1.0, index)) if resolved else NAN,
        max(0.0, index_std) if resolved else NAN,
        "; ".join(filter(None, notes)),
    )


@dataclass(frozen=True)
class _Line:
    """A variance over the square of the smoothing, after its noise was taken off.

    Attributes
    ----------
    variance
        Variance without smoothing.
    quiet
        Variance at the finest of the three smoothings without its noise; not below 0.
    gain
        Half the logarithm of `variance` over the variance without noise at that smoothing.
    bend
        How much of the gain comes from the bend of the line.
    noise
        Fraction of the variance at that smoothing that is noise.
    """

    variance: float
    quiet: float
    gain: float
    bend: float
    noise: float

    @property
    def spread(self) -> float:
        """Standard deviation without smoothing; NaN where the line bends up too much to be followed."""
        return _root(self.variance) if self.bend <= MAX_TIP_BEND else NAN

    @classmethod
    def through(cls, widths: NDArray[np.float64], variances: Sequence[float]) -> "_Line":
        """Find noise and line that explain the variances at four smoothings; the two follow from each other in turns."""
        # Plain numbers: arrays of three take ten times as long.
        found = [float(variance) for variance in variances]
        squares, fall = (widths**2).tolist(), (widths**-NOISE_POWER).tolist()
        # More noise than was found cannot be taken off.
        least = [1e-3 * variance + 1e-300 for variance in found]
        step = squares[0] - squares[1]
        noise, logs = 0.0, [0.0] * 3
        for _ in range(ROUNDS):
            logs = [math.log(max(found[n] - noise * fall[n], least[n])) for n in (1, 2, 3)]
            level, slope, curve = _parabola(squares[1:], logs)
            expected = math.exp(level + slope * step + curve * step * (squares[0] - squares[2]))
            before, noise = noise, 0.5 * (noise + max(found[0] - expected, 0.0) / fall[0])
            if abs(noise - before) * fall[0] <= SETTLED * found[0]:
                break
        at_zero, straight = _to_zero(squares[1:], logs)
        return cls(
            math.exp(at_zero),
            max(0.0, found[1] - noise * fall[1]),
            (at_zero - logs[0]) / 2,
            (at_zero - straight) / 2,
            noise * fall[1] / max(found[1], 1e-300),
        )


def _parabola(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Compute Newton's divided differences of three points."""
    first = (y[1] - y[0]) / (x[1] - x[0])
    second = (y[2] - y[1]) / (x[2] - x[1])
    return y[0], first, (second - first) / (x[2] - x[0])


def _to_zero(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Extrapolate three values to x = 0: by the parabola through them, and by the line through the first two."""
    level, slope, curve = _parabola(x, y)
    straight = level - slope * x[0]
    return straight + curve * x[0] * x[1], straight


def _root(variance: float) -> float:
    return math.sqrt(max(variance, 0.0))


def _moments(values: NDArray[np.float64], surface: Surface) -> tuple[float, float]:
    """Compute mean and variance of values over a surface."""
    mean = surface.integrate(values) / surface.total
    return mean, surface.integrate((values - mean) ** 2) / surface.total


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
