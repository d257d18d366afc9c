"""Scores of found particles against true ones, object by object."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

# A particle counts for the recall from four pixels across, in plane. Diameters of a population spread by 5 %, and its smallest
# ones count as well.
LEAST_PIXELS = 4 * 0.94
# An object that shares this much with a particle (common voxels over voxels of both) is that particle, wherever its centre is.
LEAST_OVERLAP = 0.25


@dataclass(frozen=True, eq=False)
class ParticleScore:
    """Score of one image.

    Attributes
    ----------
    true, found, hits, false
        Numbers of true particles, of found objects, of pairs, and of objects without a particle.
    precision
        Fraction of the objects that are particles; NaN without objects.
    recall
        Fraction of the particles of four pixels and more across that are found; NaN without such particles.
    recalls
        The same for each population.
    recall_in
        The same for each place.
    size_ratio
        Median of measured over true diameter, of pairs whose particle is single and whole; NaN without any.
    count_ratio
        Found objects over true particles; NaN without particles.
    dice
        Dice coefficient of all voxels; 1 if there are neither particles nor labels.
    labelled, excess
        Labelled fraction of the volume, and fraction that is labelled although no particle is there.
    confidence, right : (found,) ndarray
        Confidence of each object, and whether it is a particle.
    failure
        Message of the error that ended the run; empty if it did not fail. A failed run found nothing.
    """

    true: int
    found: int
    hits: int
    false: int
    precision: float
    recall: float
    recalls: dict[int, float]
    recall_in: dict[str, float]
    size_ratio: float
    count_ratio: float
    dice: float
    labelled: float
    excess: float
    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    failure: str = ""


def score_failure(
    particles: pd.DataFrame, truth: NDArray[np.uint32], spacing: tuple[float, float, float], failure: str
) -> ParticleScore:
    """Score a run that ended with an error: it found nothing."""
    table = pd.DataFrame({"label": [], "confidence": []})
    score = score_particles(np.zeros_like(truth), table, particles, truth, spacing)
    return replace(score, failure=failure)


def score_particles(
    labels: NDArray[np.uint32],
    table: pd.DataFrame,
    particles: pd.DataFrame,
    truth: NDArray[np.uint32],
    spacing: tuple[float, float, float],
) -> ParticleScore:
    """Match found objects with true particles one to one, and score them.

    An object and a particle can be a pair if the object's centre of mass lies within half a diameter of the particle's centre
    (half a voxel more along each axis, which the centre of few voxels needs), or if they overlap by `LEAST_OVERLAP`. Of all
    such pairs, as many as possible are taken, the closest first in sum.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        Found particles; 0 is background.
    table
        Measures of the found particles with ``label`` and ``confidence``.
    particles
        True particles, as in `_independent_images.Drawing`.
    truth : (Z, Y, X) ndarray of uint32
        Labels of the true particles.
    spacing
        Voxel size (dz, dy, dx) in nm.
    """
    numbers = np.unique(labels[labels > 0])
    pairs = match_particles(labels, numbers, particles, truth, spacing)
    hit = np.zeros(len(particles), bool)
    hit[pairs[:, 1]] = True
    right = np.zeros(len(numbers), bool)
    right[pairs[:, 0]] = True
    diameters = particles["diameter_nm"].to_numpy(float)
    large = diameters >= LEAST_PIXELS * spacing[2]
    both = int(((labels > 0) & (truth > 0)).sum())
    total = int((labels > 0).sum() + (truth > 0).sum())
    return ParticleScore(
        len(particles),
        len(numbers),
        len(pairs),
        len(numbers) - len(pairs),
        len(pairs) / len(numbers) if len(numbers) else float("nan"),
        _fraction(hit[large]),
        {
            int(kind): _fraction(hit[large & (particles["population"] == kind)])
            for kind in _values(particles, "population")
        },
        {
            str(place): _fraction(hit[large & (particles["place"] == place)])
            for place in _values(particles, "place")
        },
        size_ratio(labels, numbers, particles, pairs, spacing),
        len(numbers) / len(particles) if len(particles) else float("nan"),
        2 * both / total if total else 1.0,
        float((labels > 0).mean()),
        float(((labels > 0) & (truth == 0)).mean()),
        confidence_of(table, numbers),
        right,
    )


def match_particles(
    labels: NDArray[np.uint32],
    numbers: NDArray[np.uint32],
    particles: pd.DataFrame,
    truth: NDArray[np.uint32],
    spacing: tuple[float, float, float],
) -> NDArray[np.intp]:
    """Pair objects with particles; returns (n, 2) with indices into `numbers` and rows of `particles`."""
    if len(numbers) == 0 or len(particles) == 0:
        return np.zeros((0, 2), np.intp)
    steps = np.array(spacing)
    found = np.array(ndimage.center_of_mass(np.ones(labels.shape, bool), labels, numbers)) * steps
    true = particles[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
    reach = particles["diameter_nm"].to_numpy(float)[:, None] / 2 + steps / 2
    away = np.sqrt((((found[:, None] - true) / reach) ** 2).sum(axis=2))
    shared = overlaps(labels, numbers, particles["label"].to_numpy(), truth)
    possible = (away <= 1) | (shared >= LEAST_OVERLAP)
    cost = np.where(possible, np.minimum(away, 2), 1e6)
    chosen = np.stack(linear_sum_assignment(cost), axis=1)
    return chosen[possible[chosen[:, 0], chosen[:, 1]]]


def overlaps(
    labels: NDArray[np.uint32],
    numbers: NDArray[np.uint32],
    true_numbers: NDArray[np.int64],
    truth: NDArray[np.uint32],
) -> NDArray[np.float64]:
    """Compute common voxels over voxels of both, of every object with every particle."""
    place = np.zeros(max(int(true_numbers.max()), int(truth.max())) + 1, np.int64)
    place[true_numbers] = np.arange(len(true_numbers))
    sizes = np.bincount(labels.ravel())[numbers]
    true_sizes = np.bincount(truth.ravel(), minlength=len(place))[true_numbers]
    common = np.zeros((len(numbers), len(true_numbers)))
    inside = (labels > 0) & (truth > 0)
    np.add.at(common, (np.searchsorted(numbers, labels[inside]), place[truth[inside]]), 1)
    return common / (sizes[:, None] + true_sizes - common)


def size_ratio(
    labels: NDArray[np.uint32],
    numbers: NDArray[np.uint32],
    particles: pd.DataFrame,
    pairs: NDArray[np.intp],
    spacing: tuple[float, float, float],
) -> float:
    """Compute the median of measured over true diameter of whole particles; an object counts as the ball of its volume."""
    volumes = np.bincount(labels.ravel(), minlength=2)[numbers] * float(np.prod(spacing))
    rows = particles.iloc[pairs[:, 1]]
    ratios = np.cbrt(6 / np.pi * volumes[pairs[:, 0]]) / rows["diameter_nm"].to_numpy(float)
    whole = ~rows["cut"].to_numpy(bool)
    return float(np.median(ratios[whole])) if whole.any() else float("nan")


def confidence_of(table: pd.DataFrame, numbers: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Read the confidence of each object."""
    return table.set_index("label")["confidence"].reindex(numbers).to_numpy(float)


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], least: int = 20
) -> list[tuple[float, float, int]]:
    """Compare confidence with truth by tenths of the confidence, of tenths with at least `least` objects.

    Returns
    -------
    list of (mean confidence, fraction that are particles, number of objects)
    """
    tenth = np.minimum((confidence * 10).astype(int), 9)
    groups = [tenth == n for n in range(10)]
    return [
        (float(confidence[group].mean()), float(right[group].mean()), int(group.sum()))
        for group in groups
        if group.sum() >= least
    ]


def _values(particles: pd.DataFrame, column: str) -> list[object]:
    return sorted(particles[column].unique())


def _fraction(hit: NDArray[np.bool_]) -> float:
    return float(hit.mean()) if hit.size else float("nan")
