"""Draws of what particles may truly be there, given those that were found and how sure each is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.output.cell_doubts import CellDoubts
from spherovem_core.output.particle_error_weights import (
    BODY_SIZE_SD,
    COMMON_SIZE_SD,
    FEWEST_MISSED,
    JUDGED_ODDS_SD,
    MISSED_SIZE,
    ODDS_SD,
    RECALL,
    SLIVER_SHAPE,
)
from spherovem_core.output.unexplained_bodies import Bodies, no_bodies

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

DRAWS = 1000
"""Draws from which the ends of intervals come."""
SEED = 21


@dataclass(frozen=True)
class Grouping:
    """Groups, such as cells, to which N rows of particles and M bodies count.

    Attributes
    ----------
    owner : (N,) ndarray of int64
        Index of the group (a cell, the acquisition) to which each row counts.
    groups
        Number of groups.
    bodies, body_owner
        Other objects that may be particles, and the group of each.
    slivers : (groups,) ndarray or None
        Particles of which the border leaves too little to be found, expected per particle of the group.
    cells
        Doubts about the cells that the groups are; None for the acquisition.
    outside, body_outside : (N,) and (M,) ndarray of bool
        True for what lies in no cell, where only particles in cells count: an unknown fraction lies in cells that were not
        found, or before a surface that lies too far in. None: all count.
    """

    owner: Labels
    groups: int
    bodies: Bodies = field(default_factory=no_bodies)
    body_owner: Labels = field(default_factory=lambda: np.zeros(0, np.int64))
    slivers: Floats | None = None
    cells: CellDoubts | None = None
    outside: NDArray[np.bool_] | None = None
    body_outside: NDArray[np.bool_] | None = None

    def sums(self, values: NDArray[Any]) -> Floats:
        """Sum values of the rows by group."""
        return _sums(self.owner, values, self.groups)


@dataclass(frozen=True)
class FoundParticles:
    """N rows of particles that were found, the groups to which they count, and what else says how many there are.

    Attributes
    ----------
    grouping
        Groups to which they count.
    confidence : (N,) ndarray
        Probability that it is a particle.
    volume_um3, volume_error : (N,) ndarray
        Volume, and the standard deviation of its logarithm.
    usual_um3
        Volume of a particle of the acquisition, for those that were missed where none was found; NaN if unknown.
    number : (N,) ndarray
        Particles that a row stands for, more than 1 for a clump that is not told apart; None: 1 each.
    explained
        Numbers of single particles and of agglomerates of several that were found in the acquisition.
    """

    grouping: Grouping
    confidence: Floats
    volume_um3: Floats
    volume_error: Floats
    usual_um3: float = float("nan")
    number: Floats | None = None
    explained: tuple[int, int] = (0, 0)


def draw_particles(
    found: FoundParticles, draws: int = DRAWS, seed: int = SEED
) -> Iterator[tuple[Floats, Floats]]:
    """Draw true numbers and volumes of particles, by group.

    - Each found object is a particle with the probability that its confidence states; all odds of an acquisition are off by one
      factor, and so are all volumes.
    - Other objects that look like particles but for their form (`unexplained_bodies`) are none, some or all of them particles:
      what fraction nobody knows (Jeffreys' prior), but not many more clumps stay unexplained than were explained.
    - The border cuts particles, and of some too little is left: as many as lie in a layer as thick as the cap that can just be
      found.
    - Of those that left no trace, a negative binomial number, by a recall drawn from a beta distribution once per draw.
    - Where only particles in cells count, a fraction of those in none counts, on average a third (a triangular distribution).
    - A cell may be wrong, and its surface lies too far out or in (`CellDoubts`).

    Yields
    ------
    count, volume_um3 : (groups,) ndarray
        Number of true particles, and their volume.
    """
    rng = np.random.default_rng(seed)
    grouping = found.grouping
    odds = np.clip(found.confidence, 1e-6, 1 - 1e-6)
    logit = np.log(odds / (1 - odds))
    size = float(found.volume_um3.mean()) if len(found.volume_um3) else found.usual_um3
    number = np.ones(len(logit)) if found.number is None else found.number
    several = number > 1
    for _ in range(draws):
        shift = ODDS_SD * rng.standard_normal()
        chance = 1 / (1 + np.exp(-(logit + shift)))
        real = rng.random(len(chance)) < np.where(found.confidence >= 1, 1.0, chance)
        volume = found.volume_um3 * np.exp(found.volume_error * rng.standard_normal(len(chance)))
        if grouping.cells is not None:
            real &= grouping.cells.draw_inside(rng)
        in_cells = 1 - np.sqrt(rng.random())
        if grouping.outside is not None:
            real &= ~grouping.outside | (rng.random(len(real)) < in_cells)
        held = np.where(several, _rounded(number, rng), 1.0) if several.any() else number
        count = grouping.sums(real * held)
        sums = grouping.sums(real * volume)
        more, volumes = _draw_bodies(found, in_cells, rng)
        count, sums = count + more, sums + volumes
        recall = max(rng.beta(*RECALL), 1e-3)
        missed = rng.negative_binomial(count + FEWEST_MISSED, recall).astype(np.float64)
        if grouping.cells is not None:
            missed += grouping.cells.draw_entered(rng)
        slivers = np.zeros(grouping.groups)
        if grouping.slivers is not None:
            uneven = rng.gamma(SLIVER_SHAPE, 1 / SLIVER_SHAPE, grouping.groups)
            slivers = rng.poisson(uneven * (count + FEWEST_MISSED) * grouping.slivers).astype(np.float64)
        count = count + missed + slivers
        sums = sums + missed * size * MISSED_SIZE + slivers * size * rng.random() * MISSED_SIZE
        if grouping.cells is not None:
            count, sums = grouping.cells.draw_right(count, sums, rng)
        yield count, np.asarray(sums * np.exp(COMMON_SIZE_SD * rng.standard_normal()), np.float64)


def _sums(owner: Labels, values: NDArray[Any], groups: int) -> Floats:
    """Sum values by group."""
    return np.asarray(np.bincount(owner, values, groups), np.float64)


def _rounded(number: Floats, rng: np.random.Generator) -> Floats:
    """Draw whole numbers of particles about what a volume amounts to, at least 1."""
    spread = np.exp(BODY_SIZE_SD * rng.standard_normal(len(number)))
    return np.asarray(np.maximum(np.rint(number * spread), 1.0))


def _draw_bodies(found: FoundParticles, in_cells: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw which bodies are particles, and sum their numbers and volumes by group."""
    grouping = found.grouping
    bodies = grouping.bodies
    if not len(bodies):
        return np.zeros(grouping.groups), np.zeros(grouping.groups)
    clump = bodies.number >= 1.5
    odds = np.clip(bodies.chance, 1e-6, 1 - 1e-6)
    shift = JUDGED_ODDS_SD * rng.standard_normal()
    chance = np.where(bodies.judged, 1 / (1 + np.exp(-(np.log(odds / (1 - odds)) + shift))), bodies.chance)
    for several, explained in zip((False, True), found.explained, strict=True):
        own = (clump == several) & ~bodies.judged
        total = float(chance[own].sum())
        # At least half of the clumps that there are, more likely than not, were explained.
        most = (explained + 0.5) * (1 / np.sqrt(rng.random()) - 1) / max(total, 1e-9)
        chance[own] *= min(rng.beta(0.5, 0.5), most)
    if grouping.body_outside is not None:
        chance[grouping.body_outside] *= in_cells
    real = rng.random(len(chance)) < chance
    held = _rounded(bodies.number, rng)
    count = _sums(grouping.body_owner, real * held, grouping.groups)
    volume = bodies.volume_um3 * held / bodies.number
    return count, _sums(grouping.body_owner, real * volume, grouping.groups)


def particle_intervals(found: FoundParticles, draws: int = DRAWS, seed: int = SEED) -> dict[str, Floats]:
    """Compute the 95 % intervals of number and volume of the true particles of each group.

    An interval holds what was found: nothing says that something must have been missed.

    Returns
    -------
    dict
        ``count_low``, ``count_high``, ``volume_low``, ``volume_high`` (µm³), each (groups,). Volumes are NaN without any
        particle that shows how large missed ones are.
    """
    grouping = found.grouping
    counts, volumes = (
        np.empty((draws, grouping.groups), np.float32),
        np.empty((draws, grouping.groups), np.float32),
    )
    for n, (count, volume) in enumerate(draw_particles(found, draws, seed)):
        counts[n], volumes[n] = count, volume
    ends = (0.025, 0.975)
    # Whole numbers: the ends of a count are values that it can take.
    low, high = (
        np.quantile(counts, ends[0], axis=0, method="lower"),
        np.quantile(counts, ends[1], axis=0, method="higher"),
    )
    least, most = np.quantile(volumes, ends, axis=0)
    counts_here = np.ones(len(grouping.owner)) if grouping.outside is None else ~grouping.outside
    rows = grouping.sums(counts_here)
    sizes = grouping.sums(counts_here * found.volume_um3)
    return {
        "count_low": np.minimum(low.astype(np.float64), rows),
        "count_high": np.maximum(high.astype(np.float64), rows),
        "volume_low": np.minimum(least.astype(np.float64), sizes),
        "volume_high": np.maximum(most.astype(np.float64), sizes),
    }
