"""Draws of what particles may truly be there, given those that were found and how sure each is."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.output.particle_error_weights import (
    COMMON_SIZE_SD,
    FEWEST_MISSED,
    MISSED_SIZE,
    ODDS_SD,
    RECALL,
)

Floats = NDArray[np.float64]

DRAWS = 1000
"""Draws from which the ends of intervals come."""
SEED = 21


@dataclass(frozen=True)
class FoundParticles:
    """N particles that were found.

    Attributes
    ----------
    owner : (N,) ndarray of int64
        Index of the group (a cell, the acquisition) to which each counts.
    groups
        Number of groups.
    confidence : (N,) ndarray
        Probability that it is a particle.
    volume_um3, volume_error : (N,) ndarray
        Volume, and the standard deviation of its logarithm.
    usual_um3
        Volume of a particle of the acquisition, for those that were missed where none was found; NaN if unknown.
    """

    owner: NDArray[np.int64]
    groups: int
    confidence: Floats
    volume_um3: Floats
    volume_error: Floats
    usual_um3: float = float("nan")


def draw_particles(
    found: FoundParticles, draws: int = DRAWS, seed: int = SEED
) -> Iterator[tuple[Floats, Floats]]:
    """Draw true numbers and volumes of particles, by group.

    Each found object is a particle with the probability that its confidence states; all odds of an acquisition are off by one
    factor, and so are all volumes. For those that are real, others were missed: a negative binomial number, by a recall drawn
    from a beta distribution, once per draw. Recall, factors and the relative size of missed particles are those of phantoms
    (``benchmarks/intervals.py --parts objects``).

    Yields
    ------
    count, volume_um3 : (groups,) ndarray
        Number of true particles, and their volume.
    """
    rng = np.random.default_rng(seed)
    odds = np.clip(found.confidence, 1e-6, 1 - 1e-6)
    logit = np.log(odds / (1 - odds))
    size = float(found.volume_um3.mean()) if len(found.volume_um3) else found.usual_um3
    for _ in range(draws):
        chance = 1 / (1 + np.exp(-(logit + ODDS_SD * rng.standard_normal())))
        real = rng.random(len(chance)) < np.where(found.confidence >= 1, 1.0, chance)
        volume = found.volume_um3 * np.exp(found.volume_error * rng.standard_normal(len(chance)))
        right = np.bincount(found.owner, real, found.groups)
        sums = np.bincount(found.owner, real * volume, found.groups)
        recall = max(rng.beta(*RECALL), 1e-3)
        missed = rng.negative_binomial(right + FEWEST_MISSED, recall)
        sums = sums + missed * size * MISSED_SIZE
        yield (
            np.asarray(right + missed, np.float64),
            np.asarray(sums * np.exp(COMMON_SIZE_SD * rng.standard_normal()), np.float64),
        )


def particle_intervals(found: FoundParticles, draws: int = DRAWS, seed: int = SEED) -> dict[str, Floats]:
    """Compute the 95 % intervals of number and volume of the true particles of each group.

    Returns
    -------
    dict
        ``count_low``, ``count_high``, ``volume_low``, ``volume_high`` (µm³), each (groups,). Volumes are NaN without any
        particle that shows how large missed ones are.
    """
    counts, volumes = np.empty((draws, found.groups), np.float32), np.empty((draws, found.groups), np.float32)
    for n, (count, volume) in enumerate(draw_particles(found, draws, seed)):
        counts[n], volumes[n] = count, volume
    ends = (0.025, 0.975)
    # Whole numbers: the ends of a count are values that it can take.
    low, high = (
        np.quantile(counts, ends[0], axis=0, method="lower"),
        np.quantile(counts, ends[1], axis=0, method="higher"),
    )
    least, most = np.quantile(volumes, ends, axis=0)
    return {
        "count_low": low.astype(np.float64),
        "count_high": high.astype(np.float64),
        "volume_low": least.astype(np.float64),
        "volume_high": most.astype(np.float64),
    }
