"""Counts of all cells, summed as they come, and what of each cell its rows and intervals need."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from spherovem_core.spatial.random_comparison import CellCounts
from spherovem_core.spatial.random_envelopes import pointwise_envelope

Floats = NDArray[np.float64]

RESAMPLES = 400
LEAST_CELLS = 5
"""Cells below which their scatter says nothing."""


@dataclass(frozen=True, eq=False)
class CellVolumes:
    """Particle volume of one cell by bin of the distance to the nucleus: measured, and at random places.

    Attributes
    ----------
    measured, random, low, high : (B,) ndarray of float64
        Volume in µm³; mean of the random patterns and their pointwise 95 % envelope.
    rank, rank_low, rank_high
        Mean rank of the particle volume in the cytoplasm, and the 95 % range of random patterns; NaN without one.
    """

    measured: Floats
    random: Floats
    low: Floats
    high: Floats
    rank: float
    rank_low: float
    rank_high: float


@dataclass(eq=False)
class Curves:
    """A statistic of all cells: sums of the measured pattern (row 0) and random ones, and the parts of each cell.

    Attributes
    ----------
    sums : (S + 1, R) ndarray of float64
    measured, random : (C, R) ndarray of float64
        Parts of each cell, measured and mean of the random patterns.
    """

    sums: Floats
    measured: Floats
    random: Floats


@dataclass(frozen=True, eq=False)
class Summary:
    """All cells.

    Attributes
    ----------
    particle_count, cell_count
        Particles that are compared, and cells with any.
    forced_fraction
        Fraction of random places that did not meet the rule.
    pairs, nearest
        Pairs and nearest neighbours within each radius, in cells with two particles or more.
    volumes
        Particle volume by bin of distance, the nucleus first.
    ranks : (S + 1, 2), and (C, 2) of each cell
        Sum of volume times rank in the cytoplasm, and of that volume.
    by_cell
        By label, cells with a nucleus alone.
    neighbour_count
        Particles in cells with two or more.
    """

    particle_count: int
    cell_count: int
    forced_fraction: float
    pairs: Curves
    nearest: Curves
    volumes: Curves
    ranks: Floats
    cell_ranks: Floats
    by_cell: dict[int, CellVolumes]
    neighbour_count: int
    neighbour_cells: int


def summarise(cells: Iterable[CellCounts], simulations: int, radii: int) -> Summary:
    """Sum the counts of cells."""
    rows = simulations + 1
    pairs, nearest = np.zeros((2, rows, radii))
    volumes = np.zeros((rows, 0))
    ranks = np.zeros((rows, 2))
    own_pairs: list[tuple[Floats, Floats]] = []
    own_nearest: list[tuple[Floats, Floats]] = []
    own_volumes: list[tuple[Floats, Floats]] = []
    own_ranks: list[Floats] = []
    by_cell = {}
    particles = count = forced = neighbours = 0
    for cell in cells:
        particles, count, forced = particles + cell.particles, count + 1, forced + cell.forced
        if cell.particles > 1:
            neighbours += cell.particles
            for total, own, parts in (
                (pairs, cell.pairs, own_pairs),
                (nearest, cell.nearest, own_nearest),
            ):
                within = own.cumsum(axis=1, dtype=np.float64)
                total += within
                parts.append((within[0], within[1:].mean(axis=0)))
        if cell.volumes.shape[1]:
            by_bin = cell.volumes.astype(np.float64)
            lacking = by_bin.shape[1] - volumes.shape[1]
            volumes = np.pad(volumes, ((0, 0), (0, max(0, lacking))))
            volumes[:, : by_bin.shape[1]] += by_bin
            own_volumes.append((by_bin[0], by_bin[1:].mean(axis=0)))
            ranked = rank_sums(by_bin)
            ranks += ranked
            own_ranks.append(ranked[0])
            by_cell[cell.label] = _cell_volumes(by_bin, ranked)
    placed = particles * simulations
    return Summary(
        particles,
        count,
        forced / placed if placed else 0.0,
        _curves(pairs, own_pairs),
        _curves(nearest, own_nearest),
        _curves(volumes, own_volumes),
        ranks,
        np.array(own_ranks).reshape(-1, 2),
        by_cell,
        neighbours,
        len(own_pairs),
    )


def rank_sums(volumes: Floats) -> Floats:
    """Sum the ranks of the particle volume in the cytoplasm of one cell.

    The rank of a place is the fraction of particle volume nearer to the nucleus over all patterns, its own bin counted half (the
    Mann-Whitney statistic): 0.5 on average for random places of the same particles.

    Parameters
    ----------
    volumes : (S + 1, B) ndarray
        Volume by bin; bin 0 is the nucleus.

    Returns
    -------
    (S + 1, 2) ndarray
        Sum of volume times rank, and of that volume.
    """
    outside = volumes[:, 1:]
    offered = outside.mean(axis=0)
    total = offered.sum()
    if not total > 0:
        return np.zeros((len(volumes), 2))
    rank = (offered.cumsum() - offered / 2) / total
    return np.stack([outside @ rank, outside.sum(axis=1)], axis=1)


def _cell_volumes(volumes: Floats, ranked: Floats) -> CellVolumes:
    low, high = pointwise_envelope(volumes[1:])
    mean = ranked[:, 0] / np.where(ranked[:, 1] > 0, ranked[:, 1], np.nan)
    known = np.isfinite(mean[1:]).all()
    rank_low, rank_high = pointwise_envelope(mean[1:, None]) if known else (np.array([np.nan]),) * 2
    return CellVolumes(
        volumes[0],
        volumes[1:].mean(axis=0),
        low,
        high,
        float(mean[0]),
        float(rank_low[0]),
        float(rank_high[0]),
    )


def _curves(sums: Floats, parts: list[tuple[Floats, Floats]]) -> Curves:
    width = sums.shape[1]
    measured, random = np.zeros((2, len(parts), width))
    for row, (own, mean) in enumerate(parts):
        measured[row, : len(own)], random[row, : len(mean)] = own, mean
    return Curves(sums, measured, random)


def ratio_interval(measured: Floats, random: Floats) -> tuple[Floats, Floats]:
    """Compute the 95 % interval of a ratio of sums over cells.

    The standard error is that of the ratio estimator [1]_: from the residuals of the cells about the common ratio, with the
    quantile of Student's t for their number. It takes cells for a sample, so that particles of one cell may depend on each other.

    Parameters
    ----------
    measured, random : (C, R) ndarray of float64
        Numerators and denominators of the cells.

    Returns
    -------
    (R,) ndarrays of float64
        Lower and upper ends, not below 0; NaN where fewer than 5 cells have a denominator.

    References
    ----------
    .. [1] W. G. Cochran, "Sampling Techniques", 3rd edition, Wiley (1977), chapter 6.
    """
    cells = (random > 0).sum(axis=0)
    total = np.where(cells >= LEAST_CELLS, random.sum(axis=0), np.nan)
    ratio = measured.sum(axis=0) / total
    count = np.maximum(cells, 2)
    squares = ((measured - ratio * random) ** 2).sum(axis=0)
    half = stdtrit(count - 1, 0.975) * np.sqrt(squares * count / (count - 1)) / total
    return np.maximum(ratio - half, 0.0), ratio + half


def ratio_samples(curves: Curves, seed: int) -> Floats | None:
    """Return measured over random in bootstrap samples of the cells (B, R); None for fewer than 5 cells."""
    cells = len(curves.measured)
    if cells < LEAST_CELLS:
        return None
    rng = np.random.default_rng([seed, cells])
    weights = rng.multinomial(cells, np.full(cells, 1 / cells), RESAMPLES).astype(np.float64)
    random = weights @ curves.random
    return np.asarray(weights @ curves.measured / np.where(random > 0, random, np.nan))
