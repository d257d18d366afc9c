"""Smooth trend of a series with known steps, as stiff as its noise lets it be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded

Floats = NDArray[np.float64]

SPREAD_OF_HALF = 1.1774
"""A Gaussian window passes half of a wave whose angular frequency is this over its standard deviation."""
STIFFNESS_STEP = 4.0
SOFTEST_WINDOW, STIFFEST_WINDOW = 4.0, 1000.0
NEARLY_A_LINE = 0.2
ROUNDS = 2
BISQUARE = 6.0
WEIGHTLESS = 1e-6
NEGLIGIBLE = 1e-3
FEWEST = 3


@dataclass(frozen=True)
class SmoothTrend:
    """Smooth part of series.

    Attributes
    ----------
    values : (n, k) ndarray
        Trend of each series, without the steps.
    heights : (s, k) ndarray
        Heights of the steps, fitted together with the trend.
    """

    values: Floats
    heights: Floats


def smooth_trend(
    values: Floats, window: float, without: NDArray[np.bool_], steps: Sequence[int], floor: float
) -> SmoothTrend:
    """Fit smooth trends and steps to series together.

    A trend is a spline that resists bending [1]: it minimises the squared residuals plus the stiffness times its squared second
    differences. Splines of all stiffnesses, up to a straight line, are averaged with the odds that restricted likelihood [2]
    gives each of them. Where the series bends no more than its jitter makes it seem to, the trend is nearly a line
    and the steps are known from all of the series. The steps are free in each fit, so that an error of their estimated heights
    does not bend the trend.

    Splines that follow changes faster than the window give the steps their heights, but their place in the mean is taken by
    local straight lines of that window (`local_lines`): faster changes are no part of the trend, however sure they are.

    Parameters
    ----------
    values : (n, k) ndarray
        One value a slice and series.
    window
        Length in slices of the fastest changes that belong to the trend.
    without : (n,) ndarray of bool
        Values without influence. Others get bisquare weights, so that single outliers have none.
    steps
        First value after each step.
    floor
        Standard deviation below which residuals say nothing.

    References
    ----------
    [1] P. H. C. Eilers, "A perfect smoother", *Analytical Chemistry* 75, 3631-3636 (2003).
    [2] H. D. Patterson, R. Thompson, "Recovery of inter-block information when block sizes are unequal", *Biometrika* 58,
    545-554 (1971).
    """
    count = len(values)
    known = np.where(without & (np.count_nonzero(~without) >= FEWEST), WEIGHTLESS, 1.0)
    if count < FEWEST:
        mean = (known[:, None] * values).sum(0) / known.sum()
        return SmoothTrend(np.broadcast_to(mean, values.shape), np.zeros((len(steps), values.shape[1])))
    levels = [(np.arange(count) >= step).astype(np.float64) for step in steps]
    design = np.stack(levels, 1) if levels else np.zeros((count, 0))
    found = [_fit_series(series, known, design, window, floor) for series in values.T]
    return SmoothTrend(np.stack([trend for trend, _ in found], 1), np.stack([h for _, h in found], 1))


def _stiffness(window: float) -> float:
    return (window / 3.0 / SPREAD_OF_HALF) ** 4


def _stiffnesses(count: int, window: float) -> list[float]:
    """List stiffnesses in steps from the softest to nearly a line; that of the window is one of them."""
    least, most = (
        np.log(limit / _stiffness(window)) / np.log(STIFFNESS_STEP)
        for limit in (
            _stiffness(SOFTEST_WINDOW),
            min(NEARLY_A_LINE * count**4, _stiffness(STIFFEST_WINDOW)),
        )
    )
    steps = np.arange(min(int(np.ceil(least)), 0), max(int(np.ceil(most)), 0) + 1)
    return [float(_stiffness(window) * STIFFNESS_STEP**k) for k in steps]


def _fit_series(
    series: Floats, known: Floats, design: Floats, window: float, floor: float
) -> tuple[Floats, Floats]:
    """Return the trend of one series and the heights of its steps."""
    stiffnesses = _stiffnesses(len(series), window)
    weights = known
    for _ in range(ROUNDS + 1):
        fits = [_fit_spline(series, weights, stiffness, design, floor) for stiffness in stiffnesses]
        likelihood = np.array([fit.likelihood for fit in fits])
        odds = np.exp(likelihood - likelihood.max())
        odds /= odds.sum()
        steps = np.stack([fit.heights for fit in fits])
        heights = odds @ steps
        fast = np.array(stiffnesses) <= _stiffness(window)
        trends = np.stack([fit.trend for fit in fits])
        if odds @ fast > NEGLIGIBLE:
            soft = odds[fast] @ steps[fast] / (odds @ fast)
            trends[fast] = local_lines((series - design @ soft)[:, None], window, weights[:, None])[:, 0]
        trend = odds @ trends
        residual = np.abs(series - trend - design @ heights)
        limit = BISQUARE * max(float(np.median(residual[known == 1.0])), floor)
        weights = np.maximum(known * np.clip(1.0 - (residual / limit) ** 2, 0.0, None) ** 2, WEIGHTLESS)
    return trend, heights


def local_lines(values: Floats, window: float, weights: Floats) -> Floats:
    """Fit a straight line with Gaussian weights of the standard deviation `window` / 3 around each of (n, k) values.

    Returns the value of each line at the centre of its neighbourhood (Cleveland 1979).
    """
    count, deviation = len(values), window / 3.0
    smooth = np.empty_like(values)
    reach = int(np.ceil(4.0 * deviation))
    for z in range(count):
        near = slice(max(0, z - reach), min(count, z + reach + 1))
        offset = np.arange(near.start, near.stop)[:, None] - z
        weight = weights[near] * np.exp(-0.5 * (offset / deviation) ** 2)
        s0, s1, s2 = ((weight * offset**power).sum(0) for power in range(3))
        determinant = s0 * s2 - s1 * s1
        level = (weight * values[near]).sum(0) / s0
        line = (weight * (s2 - s1 * offset) * values[near]).sum(0) / np.where(
            determinant > 0.0, determinant, 1.0
        )
        smooth[z] = np.where(determinant > 1e-9 * s0 * s0, line, level)
    return smooth


@dataclass(frozen=True)
class _Fit:
    trend: Floats
    heights: Floats
    likelihood: float


def _fit_spline(series: Floats, weights: Floats, stiffness: float, design: Floats, floor: float) -> _Fit:
    """Fit a spline of one stiffness, and steps beside it; the likelihood is the logarithm of the restricted one."""
    bands = stiffness * _bending(len(weights))
    bands[2] += weights
    factor = cholesky_banded(bands)
    both = np.concatenate([design, series[:, None]], 1)
    weighted = weights[:, None] * both
    smoothed = cho_solve_banded((factor, False), weighted)
    # Products with the inverse covariance of trend and noise together, less its two free straight lines.
    products = both.T @ weighted - weighted.T @ smoothed
    normal, target = products[:-1, :-1], products[:-1, -1]
    heights = np.linalg.pinv(normal, hermitian=True) @ target
    trend = smoothed[:, -1] - smoothed[:, :-1] @ heights
    known = int((weights > WEIGHTLESS).sum())
    degrees = max(known - 2 - design.shape[1], 1)
    misfit = max(float(products[-1, -1] - heights @ target), 0.0) + degrees * floor**2
    curvature = 2.0 * float(np.log(factor[-1]).sum()) - (len(series) - 2) * np.log(stiffness)
    steps = float(np.linalg.slogdet(normal + 1e-12 * np.eye(len(normal)))[1]) if len(normal) else 0.0
    return _Fit(trend, heights, -0.5 * (degrees * float(np.log(misfit)) + curvature + steps))


def _bending(count: int) -> Floats:
    """Return the products of the second differences of `count` values, as the upper bands of a symmetric matrix."""
    bands = np.zeros((3, count))
    weights = (1.0, -2.0, 1.0)
    for i in range(3):
        for j in range(i, 3):
            bands[2 - (j - i), j : count - 2 + j] += weights[i] * weights[j]
    return bands
