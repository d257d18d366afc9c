"""Populations: particles of one kind, alike in contrast and size, told apart by a mixture of Gaussians."""

import itertools
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MOST = 4
# A population has at least this many particles, and this fraction of them.
_FEWEST, _SMALLEST = 8, 0.03
# Least spreads of a population: of its intensity in units of the contrast, and of the logarithm of its diameter.
_MIN_SPREAD = (0.05, 0.05)
# Two populations this many standard deviations apart are two; closer ones are one with a broad distribution.
_APART = 2.5
# Steps of a fit at most, and movement of its means at which it ends.
_MOST_STEPS, _STILL = 300, 1e-6
# Closer than this the particles of two populations are mixed up, and a warning says so.
_CLEAR = 4.0


@dataclass(frozen=True)
class Population:
    """Particles of one kind.

    Attributes
    ----------
    number
        From 1, the brightest first.
    count, fraction
        Number of particles, and their fraction of all.
    contrast, contrast_sd
        Mean and standard deviation of the height above the surroundings, in grey values.
    intensity
        Mean intensity in grey values of the stack.
    diameter_nm, diameter_sd_nm
        Mean and standard deviation of the diameter.
    separation
        Distance to the nearest other population in standard deviations; None for the only one.
    """

    number: int
    count: int
    fraction: float
    contrast: float
    contrast_sd: float
    intensity: float
    diameter_nm: float
    diameter_sd_nm: float
    separation: float | None


def find_populations(
    level: NDArray[np.float64],
    contrast: NDArray[np.float64],
    diameter_nm: NDArray[np.float64],
    sure: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Sort particles into populations by intensity and diameter.

    Mixtures of one to four Gaussians with diagonal covariance are fitted to the intensity and the logarithm of the diameter
    (scikit-learn's EM would be one more dependency for two dimensions and a thousand points); the Bayesian information
    criterion (Schwarz 1978) chooses. Components that overlap are merged, because a skewed distribution asks for several
    Gaussians, and not for several kinds of particle.

    Parameters
    ----------
    level, contrast, diameter_nm : (N,) ndarray
        Intensity, height above the surroundings, and diameter of the particles.
    sure : (N,) ndarray of bool
        Particles large enough to show their own intensity. The others join a population, and make none.

    Returns
    -------
    (N,) ndarray of int64
        Population of each particle, from 1, the brightest first.
    """
    if sure.sum() < 2 * _FEWEST:
        return np.ones(len(contrast), np.int64)
    everything = _coordinates(level, diameter_nm, float(np.median(contrast[sure])))
    points = everything[sure]
    best, best_score = None, np.inf
    for count in range(1, min(_MOST, len(points) // _FEWEST) + 1):
        for start in range(2):
            fit = _fit(points, count, start)
            score = _criterion(points, fit)
            if score < best_score - 10:
                best, best_score = fit, score
    assert best is not None
    return _merge(points, best, everything)


@dataclass(frozen=True, eq=False)
class _Fit:
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def log_parts(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the weighted log-density of each component; (N, components)."""
        away = (points[:, None] - self.means) / self.spreads
        norm = np.log(self.weights) - np.log(2 * np.pi * self.spreads.prod(axis=1))
        return np.asarray(norm - 0.5 * (away**2).sum(axis=2))

    def distance(self, a: int, b: int) -> float:
        """Compute the distance of two components; see `_distance`."""
        return _distance(self.means, self.spreads, a, b)


def _fit(points: NDArray[np.float64], count: int, axis: int) -> _Fit:
    """Fit a mixture, started at quantiles along one axis."""
    order = np.argsort(points[:, axis], kind="stable")
    parts = np.array_split(points[order], count)
    fit = _Fit(
        np.full(count, 1 / count),
        np.stack([np.median(part, axis=0) for part in parts]),
        np.stack([np.maximum(part.std(axis=0), _MIN_SPREAD) for part in parts]),
    )
    _maximise(points, fit.weights, fit.means, fit.spreads, np.array(_MIN_SPREAD))
    return fit


@njit(cache=True, nogil=True)
def _maximise(points, weights, means, spreads, least):  # type: ignore[no-untyped-def]
    """Take steps of expectation and maximisation, in place, until the means are still."""
    number, axes = means.shape
    logs, norm = np.empty(number), np.empty(number)
    totals, sums, squares = np.empty(number), np.empty((number, axes)), np.empty((number, axes))
    for _ in range(_MOST_STEPS):
        for c in range(number):
            norm[c] = np.log(weights[c]) - np.log(2 * np.pi * spreads[c].prod())
        totals[:], sums[:], squares[:] = 0.0, 0.0, 0.0
        for p in range(len(points)):
            for c in range(number):
                logs[c] = norm[c]
                for a in range(axes):
                    logs[c] -= 0.5 * ((points[p, a] - means[c, a]) / spreads[c, a]) ** 2
            chance = np.exp(logs - logs.max())
            chance /= chance.sum()
            for c in range(number):
                totals[c] += chance[c]
                for a in range(axes):
                    away = points[p, a] - means[c, a]
                    sums[c, a] += chance[c] * away
                    squares[c, a] += chance[c] * away * away
        moved = 0.0
        for c in range(number):
            total = max(totals[c], 1e-9)
            weights[c] = total / len(points)
            for a in range(axes):
                shift = sums[c, a] / total
                spreads[c, a] = max(np.sqrt(max(squares[c, a] / total - shift * shift, 0.0)), least[a])
                means[c, a] += shift
                moved = max(moved, abs(shift))
        if moved < _STILL:
            break


def _criterion(points: NDArray[np.float64], fit: _Fit) -> float:
    logs = fit.log_parts(points)
    top = logs.max(axis=1)
    likelihood = float((top + np.log(np.exp(logs - top[:, None]).sum(axis=1))).sum())
    return float((5 * len(fit.weights) - 1) * np.log(len(points)) - 2 * likelihood)


def _merge(points: NDArray[np.float64], fit: _Fit, everything: NDArray[np.float64]) -> NDArray[np.int64]:
    """Merge components that overlap or are too small, and number the rest by intensity; returns the group of everything."""
    group = np.arange(len(fit.weights))
    for a, b in itertools.combinations(range(len(group)), 2):
        if fit.distance(a, b) < _APART:
            group[group == group[b]] = group[a]
    component = fit.log_parts(points).argmax(axis=1)
    least = max(_FEWEST, _SMALLEST * len(points))
    while True:
        counts = np.bincount(group[component], minlength=len(group))
        present = np.flatnonzero(np.isin(np.arange(len(group)), group))
        small = present[counts[present] < least]
        if len(present) == 1 or not len(small):
            break
        smallest = int(small[counts[small].argmin()])
        others = [n for n in range(len(group)) if group[n] != smallest]
        members = np.flatnonzero(group == smallest)
        group[members] = group[min(others, key=lambda n: min(fit.distance(int(m), n) for m in members))]
    levels = {
        int(g): float(np.average(fit.means[group == g, 0], weights=fit.weights[group == g])) for g in present
    }
    order = sorted(levels, key=lambda g: -levels[g])
    rank = np.zeros(len(group), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return np.asarray(rank[group[fit.log_parts(everything).argmax(axis=1)]])


def _coordinates(
    level: NDArray[np.float64], diameter_nm: NDArray[np.float64], unit: float
) -> NDArray[np.float64]:
    """Place particles (N, 2) by their intensity, in units of the usual contrast, and the logarithm of their diameter."""
    return np.stack([level / max(unit, 1e-3), np.log(np.maximum(diameter_nm, 1.0))], axis=1)


def _distance(means: NDArray[np.float64], spreads: NDArray[np.float64], a: int, b: int) -> float:
    """Compute the distance of two groups in standard deviations, along the axis that parts them best."""
    spread = np.sqrt((spreads[a] ** 2 + spreads[b] ** 2) / 2)
    return float((np.abs(means[a] - means[b]) / spread).max())


def nearest_population(
    intensity: NDArray[np.float64], known: NDArray[np.float64], population: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose for each object the population whose mean intensity is nearest.

    Parameters
    ----------
    intensity : (N,) ndarray
        Levels of the objects.
    known, population : (M,) ndarray
        Levels and populations of the particles that are told apart.
    """
    numbers = np.unique(population)
    means = np.array([known[population == n].mean() for n in numbers])
    return np.asarray(numbers[np.abs(intensity[:, None] - means).argmin(axis=1)], np.int64)


def describe_populations(
    population: NDArray[np.int64],
    contrast: NDArray[np.float64],
    intensity: NDArray[np.float64],
    diameter_nm: NDArray[np.float64],
) -> list[Population]:
    """Describe the populations, the brightest first."""
    if not len(population):
        return []
    numbers = [int(n) for n in np.unique(population)]
    points = _coordinates(intensity, diameter_nm, float(np.median(contrast)))
    means = np.stack([points[population == n].mean(axis=0) for n in numbers])
    spreads = np.stack([np.maximum(points[population == n].std(axis=0), _MIN_SPREAD) for n in numbers])
    others = range(len(numbers))
    return [
        Population(
            n,
            int((chosen := population == n).sum()),
            float(chosen.mean()),
            float(contrast[chosen].mean()),
            float(contrast[chosen].std()),
            float(intensity[chosen].mean()),
            float(diameter_nm[chosen].mean()),
            float(diameter_nm[chosen].std()),
            min((_distance(means, spreads, row, m) for m in others if m != row), default=None),
        )
        for row, n in enumerate(numbers)
    ]


def overlap_warning(populations: list[Population]) -> str | None:
    """Return a warning if two populations are too alike to be told apart for every particle."""
    near = [p for p in populations if p.separation is not None and p.separation < _CLEAR]
    if not near:
        return None
    kinds = " and ".join(
        f"population {p.number} ({p.contrast:.0f} grey values, {p.diameter_nm:.0f} nm)" for p in near
    )
    apart = min(p.separation for p in near if p.separation is not None)
    return (
        f"{kinds} lie {apart:.1f} standard deviations apart: single particles may be in the wrong one; "
        "quote them together, or set expected_diameter_nm to one of them"
    )
