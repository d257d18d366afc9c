"""Expectation maximisation of the distribution of nanoparticles, for a fixed background."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.distributions import normal_moments, normal_pmf

_MIN_SD = 0.3


@dataclass(frozen=True)
class MixtureComponents:
    """Distributions that the intensity of a voxel may come from.

    Attributes
    ----------
    background : (bins,) ndarray
        Fixed probabilities of the background.
    edges : (2, bins) ndarray
        Fixed probabilities of the outer and of the inner half of particles' edges.
    mean, sd
        Mean and standard deviation, in bins, of voxels wholly inside a nanoparticle; they are normally distributed.
    mix : (3,) ndarray
        Fractions of outer edge, inner edge and whole voxels in the foreground; sums to 1.
    """

    background: NDArray[np.float64]
    edges: NDArray[np.float64]
    mean: float
    sd: float
    mix: NDArray[np.float64]

    @property
    def parts(self) -> NDArray[np.float64]:
        """Probabilities (3, bins) of outer edge, inner edge and whole voxels."""
        return np.vstack([self.edges, normal_pmf(self.mean, self.sd, len(self.background))])

    @property
    def foreground(self) -> NDArray[np.float64]:
        """Probabilities (bins,) of the foreground: all that is not background."""
        return np.asarray(self.mix @ self.parts)

    def updated(self, weighted: NDArray[np.float64], prior_counts: NDArray[np.float64]) -> Self:
        """Fit the distributions to voxels (bins,) weighted by their probability of being foreground."""
        found = self.mix[:, None] * self.parts * (weighted / self.foreground)
        counts = found.sum(axis=1) + prior_counts
        if counts.sum() <= 0:
            return self
        first, second = normal_moments(self.mean, self.sd, len(weighted))
        whole = max(float(found[2].sum()), 1e-300)
        mean = float(found[2] @ first) / whole if whole > 1e-300 else self.mean
        variance = float(found[2] @ second) / whole - mean**2
        sd = float(np.sqrt(max(variance, _MIN_SD**2)))
        return replace(self, mean=mean, sd=sd, mix=counts / counts.sum())


@dataclass(frozen=True)
class Estimate:
    """Result of expectation maximisation.

    Attributes
    ----------
    components
        The fitted distributions.
    fraction
        Fraction of the voxels that is foreground.
    objective
        Mean log-likelihood per voxel (with the log-prior of the mix) before the first iteration and after each one; never
        falls.
    converged
        True if the last iteration gained less than the tolerance.
    """

    components: MixtureComponents
    fraction: float
    objective: list[float] = field(repr=False)
    converged: bool


def maximise_likelihood(
    counts: NDArray[np.float64],
    start: MixtureComponents,
    fraction: float,
    prior_counts: NDArray[np.float64],
    max_iterations: int,
    tolerance: float,
    clipped: NDArray[np.float64] | None = None,
) -> Estimate:
    """Fit the mean, the spread and the fraction of nanoparticles, and the fractions of their edges.

    Binned and censored data are treated exactly: the moments are those of the normal distribution within each bin, and
    clipped voxels are spread over the bins that they may lie in by the current fit. The objective therefore cannot fall
    (Dempster, Laird and Rubin 1977; McLachlan and Jones 1988 for binned data).

    Parameters
    ----------
    counts : (bins,) ndarray
        Number of voxels that may be nanoparticle.
    start, fraction
        Distributions and foreground fraction of the first iteration.
    prior_counts : (3,) ndarray
        Prior counts of outer edge, inner edge and whole voxels (a Dirichlet prior of the mix).
    max_iterations, tolerance
        Stop after this number of iterations, or when the objective gains less than the tolerance.
    clipped : (bins,) ndarray, optional
        Number of voxels known only to lie in a bin or above it.
    """
    clipped = np.zeros_like(counts) if clipped is None else clipped
    components, total = start, float(counts.sum() + clipped.sum())

    def density() -> NDArray[np.float64]:
        return np.asarray(fraction * components.foreground + (1 - fraction) * components.background)

    def objective() -> float:
        prior = prior_counts @ np.log(np.maximum(components.mix, 1e-300))
        return (log_likelihood(counts, clipped, density()) + float(prior)) / total

    path = [objective()]
    converged = False
    while not converged and len(path) <= max_iterations:
        chance = responsibility(components.background, components.foreground, np.array([fraction]))[0]
        weighted = (counts + spread_clipped(clipped, density())) * chance
        fraction = float(weighted.sum()) / total
        components = components.updated(weighted, prior_counts)
        path.append(objective())
        converged = path[-1] - path[-2] < tolerance
    return Estimate(components, fraction, path, converged)


def survival(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the probability of each bin and all bins above it."""
    return np.asarray(np.cumsum(density[::-1])[::-1])


def log_likelihood(
    counts: NDArray[np.float64], clipped: NDArray[np.float64], density: NDArray[np.float64]
) -> float:
    """Compute the log-likelihood of voxels in their bins, and of clipped voxels in their bin or above; all (bins,)."""
    return float(counts @ np.log(density) + clipped @ np.log(survival(density)))


def spread_clipped(clipped: NDArray[np.float64], density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread voxels known only to lie in a bin or above it over these bins; returns expected counts (bins,)."""
    return np.asarray(density * np.cumsum(clipped / survival(density)))


def with_clipped(density: NDArray[np.float64], limits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Append the probability of all bins from each slice's limit on as a last column; returns (Z, bins + 1)."""
    return np.column_stack([np.broadcast_to(density, (len(limits), len(density))), survival(density)[limits]])


def responsibility(
    background: NDArray[np.float64], foreground: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the probability (Z, bins) that a voxel is foreground; distributions are (bins,) or (Z, bins)."""
    ahead = fractions[:, None] * foreground
    return np.asarray(ahead / (ahead + (1 - fractions[:, None]) * background))


def estimate_fractions(
    counts: NDArray[np.float64],
    background: NDArray[np.float64],
    foreground: NDArray[np.float64],
    prior_fraction: float,
    prior_strength: float,
    max_iterations: int = 1000,
    tolerance: float = 1e-8,
) -> NDArray[np.float64]:
    """Estimate the foreground fraction of each slice, for known distributions, by MAP under a Beta prior.

    The prior is Beta(1 + n p, 1 + n (1 - p)) for a strength of n voxels and the fraction p. Its mode is p, and it weighs as
    much as n voxels. The objective is concave in each fraction, so that expectation maximisation finds its only maximum. A
    strength of 0 gives the maximum-likelihood fractions.

    Parameters
    ----------
    counts : (Z, bins) ndarray
    background, foreground : (bins,) or (Z, bins) ndarray
        Probabilities, for all slices or for each.
    prior_fraction, prior_strength
        The fraction p and the strength n.
    max_iterations, tolerance
        Stop after this number of iterations, or when no fraction moves by more than the tolerance.

    Returns
    -------
    (Z,) ndarray
        The fraction of the prior for a slice without voxels.
    """
    totals = counts.sum(axis=1) + prior_strength
    safe = np.where(totals > 0, totals, 1.0)
    fractions = np.full(len(counts), prior_fraction)
    for _ in range(max_iterations):
        found = (counts * responsibility(background, foreground, fractions)).sum(axis=1)
        moved = np.where(totals > 0, (found + prior_strength * prior_fraction) / safe, prior_fraction)
        step = float(np.max(np.abs(moved - fractions), initial=0.0))
        fractions = moved
        if step < tolerance:
            break
    return fractions
