"""Measured rule of admissible places: distances of particles from nucleus, cell surface and each other, in their radii.

Labels of cells have coarser voxels than particles, membranes are drawn by a network, and some particles do cross them. A rule
that random places must keep, and that the particles themselves do not keep, would call random particles clustered or enriched. So
the rule is measured on the particles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from spherovem_core.spatial.random_places import CONTACT_STEP, Box, Pattern, draw_places, points_in
from spherovem_core.spatial.random_space import Admission, CellSpace, Floats, OpenSpace

SAMPLED_PLACES = 20_000
"""Random places of a cell by which the volume with enough room is measured."""

DISTANCE_BINS = 128
STEP = 0.025
MOST_CLEARANCE = 1.25
"""Largest clearance that is tried, in radii."""

LOSS = 2.0
"""Logarithm of the odds that a particle breaks the rule: its edge comes to lie where there is half of the density beside."""

NEAR_ONE, PRIOR = 0.974, 5.0
"""Before anything is measured, rules from this radius on have a larger weight than others, as the logarithm of a factor: about
three particles must break a rule before it is given up."""

CONTACTS = 21
COARSEST = 0.125
TRIALS = 8


@dataclass(frozen=True, eq=False)
class Clearances:
    """Room in a cell, and the distances of its particles.

    Attributes
    ----------
    volumes : (D + 1, D + 1) ndarray of float32
        Fraction of the space at least n / D of the reach away from the nucleus and m / D from the surface.
    to_nucleus, to_surface, radii : (N,) ndarray of float64
        Distances of the particles and their radii in µm.
    """

    volumes: NDArray[np.float32]
    to_nucleus: Floats
    to_surface: Floats
    radii: Floats


def measure_clearances(space: CellSpace, pattern: Pattern, rng: np.random.Generator) -> Clearances:
    """Measure the distances of particles, and the volume of the space by distance at random places."""
    voxels = space.order(Admission(from_nucleus=0.0, from_surface=0.0), 0.0)
    points = points_in(
        space, voxels, voxels.counts_from(np.zeros(1, np.int64)), rng.random((SAMPLED_PLACES, 4))
    )
    far = [
        np.minimum(found / float(space.reach) * DISTANCE_BINS, DISTANCE_BINS).astype(np.int64)
        for found in space.measure(points)
    ]
    counted = np.zeros((DISTANCE_BINS + 1,) * 2)
    np.add.at(counted, tuple(far), 1)
    volumes = counted[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1] / SAMPLED_PLACES
    to_nucleus, to_surface = space.measure(pattern.points_um)
    return Clearances(volumes.astype(np.float32), to_nucleus, to_surface, pattern.radii_um)


def fit_clearances(measured: Sequence[Clearances], reach_um: float, part_um: float) -> tuple[float, float]:
    """Estimate the distances from nucleus and surface, in radii, that particles keep.

    Mean over rules, weighted by the likelihood of the particles' places if they are uniform where there is enough room, with few
    exceptions: each particle that breaks a rule costs as much as two that are expected outside of it and are not there. Without
    evidence it is nearly 1: a particle lies whole in the space.

    Parameters
    ----------
    measured
        Distances in some cells.
    reach_um
        Reach of these.
    part_um
        Part of a voxel's side by which the edge of what is drawn may be further away than one radius.

    Returns
    -------
    float, float
        Between 0 and `MOST_CLEARANCE`, in steps of `STEP`, so that few corrections of cells change the rule.
    """
    radii = np.concatenate([each.radii for each in measured] or [np.empty(0)])
    if not radii.size or not radii.max() > 0:
        return 1.0, 1.0
    largest = min(MOST_CLEARANCE, 1 + part_um / float(np.median(radii[radii > 0])))
    tried = np.append(np.arange(0, largest, STEP), largest)
    score = np.zeros((len(tried), len(tried)))
    for cell in measured:
        for to_nucleus, to_surface, radius in zip(cell.to_nucleus, cell.to_surface, cell.radii, strict=True):
            need = tried * radius
            place = np.minimum(np.rint(need / reach_um * DISTANCE_BINS), DISTANCE_BINS).astype(np.int64)
            volume = cell.volumes[np.ix_(place, place)]
            kept = (to_nucleus >= need)[:, None] & (to_surface >= need)[None, :]
            score += np.where(kept & (volume > 0), -np.log(np.maximum(volume, 1e-9)), -LOSS)
    prior = _prior(tried)
    weights = score + prior[:, None] + prior
    weights = np.exp(weights - weights.max())
    weights /= weights.sum()
    return _on_steps(weights.sum(axis=1) @ tried), _on_steps(weights.sum(axis=0) @ tried)


def _on_steps(clearance: float) -> float:
    return float(round(clearance / STEP) / round(1 / STEP))


def _prior(tried: Floats) -> Floats:
    return np.where(tried >= NEAR_ONE, PRIOR, 0.0)


def contact_counts(
    space: CellSpace | OpenSpace, pattern: Pattern, admission: Admission, box: Box, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Count pairs by their distance in sums of their radii: of the particles, and at random places that may overlap.

    Returns
    -------
    (2, C) ndarray of int64
        Pairs in steps of 0.05: of the particles, and in `TRIALS` random patterns.
    """
    loose = replace(admission, contact=())
    places, _ = draw_places(space, pattern, loose, box, TRIALS, rng)
    own = np.concatenate([pattern.points_um[None].astype(np.float32), places])
    found = np.zeros((2, CONTACTS), np.int64)
    for turn, points in enumerate(own):
        _count_near(points, pattern.radii_um, found[min(turn, 1)])
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_near(points: Any, radii: Any, found: Any) -> None:
    """Count the pairs of one pattern by their distance in sums of their radii; runs on the CPU."""
    for first in range(len(points)):
        for other in range(first):
            squared = np.float32(0)
            for axis in range(3):
                squared += (points[first, axis] - points[other, axis]) ** 2
            steps = np.sqrt(squared) / CONTACT_STEP
            if steps < CONTACTS * (radii[first] + radii[other]):
                found[int(steps / (radii[first] + radii[other]))] += 1


def fit_contact(counts: NDArray[np.int64]) -> tuple[float, ...]:
    """Estimate the probability that a particle lies beside another, by their distance in sums of their radii.

    The ratio of the pairs of particles to those at random places that may overlap, made to rise with distance (isotonic
    regression weighted by the random pairs). Particles share no voxel, so that voxels blur the distance at which they touch;
    fragments of one particle overlap. Without evidence, particles do not overlap.

    Rounded to a power of two below its standard error and `COARSEST`, so that few corrections of cells change the rule.

    Parameters
    ----------
    counts : (2, C) ndarray
        Sums of `contact_counts`.

    Returns
    -------
    tuple of float
        In steps of `CONTACT_STEP`, without the ones at the end.
    """
    # As much as one pair at random places, of whole particles.
    edges = np.arange(CONTACTS + 1) * CONTACT_STEP
    doubt = np.diff(edges**3)
    apart = edges[1:] > 1 + CONTACT_STEP / 2
    weights = counts[1] / TRIALS + doubt
    rising = isotonic_regression((counts[0] + doubt * apart) / weights, weights=weights).x
    rising = _rounded(rising, weights)
    below = np.flatnonzero(rising < 1)
    return tuple(rising[: below[-1] + 1].tolist()) if len(below) else ()


def _rounded(rising: Floats, weights: Floats) -> Floats:
    """Round values of a regression on counts: each is a ratio of counts to the weight of all places with its value."""
    _, block = np.unique(rising, return_inverse=True)
    weight = np.bincount(block, weights)[block]
    error = np.sqrt(np.maximum(rising, 0.0) / weight)
    step = np.exp2(np.floor(np.log2(np.clip(error, 1e-9, COARSEST))))
    return np.asarray(np.rint(rising / step) * step)
