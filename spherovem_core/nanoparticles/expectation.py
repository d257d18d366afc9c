"""Expectation maximisation of the nanoparticles' distribution, the background being fixed."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.distributions import normal_moments, normal_pmf

_MIN_SD = 0.3


@dataclass(frozen=True)
class Components:
    """The distributions that a voxel's intensity may come from.

    Attributes
    ----------
    background : (bins,) ndarray
        Fixed probabilities of the background.
    edges : (2, bins) ndarray
        Fixed probabilities of the outer and of the inner half of particles' edges.
    mean, sd
        Of voxels whole in a nanoparticle, normally distributed, in bins.
    mix : (3,) ndarray
        Shares of outer edge, inner edge and whole voxels in all that is not background; sums to 1.
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
        """Probabilities (bins,) of all that is not background."""
        return np.asarray(self.mix @ self.parts)

    def updated(self, weighted: NDArray[np.float64], prior_counts: NDArray[np.float64]) -> Self:
        """Distributions that fit voxels (bins,) found to be foreground best."""
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
    """Where expectation maximisation arrived.

    Attributes
    ----------
    components
        The fitted distributions.
    share
        Share of the voxels that is not background.
    objective
        Mean log-likelihood of a voxel (with the log-prior of the mix) before the first and after each
        iteration; never falls.
    converged
        Whether the last iteration gained less than the tolerance.
    """

    components: Components
    share: float
    objective: list[float] = field(repr=False)
    converged: bool


def maximise(
    counts: NDArray[np.float64],
    start: Components,
    share: float,
    prior_counts: NDArray[np.float64],
    max_iterations: int,
    tolerance: float,
    clipped: NDArray[np.float64] | None = None,
) -> Estimate:
    """Fit the nanoparticles' mean, spread and share, and the shares of their edges.

    Binned and censored data are treated exactly (moments of the normal distribution within each bin; clipped voxels
    spread over the bins they may be in, as the current fit has them), so that the objective cannot fall (Dempster, Laird and
    Rubin 1977; McLachlan and Jones 1988 for binned data).

    Parameters
    ----------
    counts : (bins,) ndarray
        Voxels that may be nanoparticle.
    start, share
        Where to begin.
    prior_counts : (3,) ndarray
        Voxels of outer edge, inner edge and whole that are believed beforehand (a Dirichlet prior of the mix).
    max_iterations, tolerance
        The end: so many iterations, or a gain of the objective below the tolerance.
    clipped : (bins,) ndarray, optional
        Voxels of which no more is known than that they lie in a bin or above it.
    """
    clipped = np.zeros_like(counts) if clipped is None else clipped
    components, total = start, float(counts.sum() + clipped.sum())

    def density() -> NDArray[np.float64]:
        return np.asarray(share * components.foreground + (1 - share) * components.background)

    def objective() -> float:
        prior = prior_counts @ np.log(np.maximum(components.mix, 1e-300))
        return (log_likelihood(counts, clipped, density()) + float(prior)) / total

    path = [objective()]
    converged = False
    while not converged and len(path) <= max_iterations:
        chance = responsibility(components.background, components.foreground, np.array([share]))[0]
        weighted = (counts + spread_clipped(clipped, density())) * chance
        share = float(weighted.sum()) / total
        components = components.updated(weighted, prior_counts)
        path.append(objective())
        converged = path[-1] - path[-2] < tolerance
    return Estimate(components, share, path, converged)


def survival(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of each bin and all above it."""
    return np.asarray(np.cumsum(density[::-1])[::-1])


def log_likelihood(
    counts: NDArray[np.float64], clipped: NDArray[np.float64], density: NDArray[np.float64]
) -> float:
    """Log-likelihood of voxels in their bins, and of clipped ones in theirs or above; all (bins,)."""
    return float(counts @ np.log(density) + clipped @ np.log(survival(density)))


def spread_clipped(clipped: NDArray[np.float64], density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected voxels (bins,) of each bin, of those known to be in a bin or above it."""
    return np.asarray(density * np.cumsum(clipped / survival(density)))


def with_clipped(density: NDArray[np.float64], limits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities (Z, bins + 1) of the bins and, in the last column, of all from each slice's limit on."""
    return np.column_stack([np.broadcast_to(density, (len(limits), len(density))), survival(density)[limits]])


def responsibility(
    background: NDArray[np.float64], foreground: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability (Z, bins) that a voxel of a slice and a bin is not background; distributions are (bins,) or (Z, bins)."""
    ahead = shares[:, None] * foreground
    return np.asarray(ahead / (ahead + (1 - shares[:, None]) * background))


def estimate_shares(
    counts: NDArray[np.float64],
    background: NDArray[np.float64],
    foreground: NDArray[np.float64],
    prior_share: float,
    prior_strength: float,
    max_iterations: int = 1000,
    tolerance: float = 1e-8,
) -> NDArray[np.float64]:
    """Share of each slice's voxels that a known foreground explains, by MAP under a Beta prior.

    The prior is Beta(1 + n p, 1 + n (1 - p)) for a strength of n voxels and the share p: its mode is p, and it
    weighs as n voxels would. The objective is concave in each share, so that expectation maximisation finds its one
    maximum; a strength of 0 gives the maximum-likelihood shares.

    Parameters
    ----------
    counts : (Z, bins) ndarray
    background, foreground : (bins,) or (Z, bins) ndarray
        Probabilities, of all slices or of each.
    prior_share, prior_strength
        p and n.
    max_iterations, tolerance
        The end: so many iterations, or no share moves by more than the tolerance.

    Returns
    -------
    (Z,) ndarray
        The prior's share for a slice without voxels.
    """
    totals = counts.sum(axis=1) + prior_strength
    safe = np.where(totals > 0, totals, 1.0)
    shares = np.full(len(counts), prior_share)
    for _ in range(max_iterations):
        found = (counts * responsibility(background, foreground, shares)).sum(axis=1)
        moved = np.where(totals > 0, (found + prior_strength * prior_share) / safe, prior_share)
        step = float(np.max(np.abs(moved - shares), initial=0.0))
        shares = moved
        if step < tolerance:
            break
    return shares
