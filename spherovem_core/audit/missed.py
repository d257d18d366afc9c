"""Objects without a label: their number and volume from the frames in which they were counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from spherovem_core.audit.sample import AuditSample
from spherovem_core.audit.verdicts import Judged

USUAL_WEIGHT = 1.0
"""Stated diameters that the usual object counts as, where the size of missed objects is estimated."""


@dataclass(frozen=True)
class Missed:
    """Objects without a label in the whole volume, one total per draw.

    Attributes
    ----------
    count : (draws,) ndarray
        Their number.
    volume_um3 : (draws,) ndarray
        Their volume.
    """

    count: NDArray[np.float64]
    volume_um3: NDArray[np.float64]


def extend_missed(
    sample: AuditSample, verdicts: Mapping[str, Judged], draws: int, rng: np.random.Generator, prior: float
) -> tuple[Missed, Missed]:
    """Extend the counts in frames to all frames.

    The number of profiles per frame has a gamma distribution in each stratum, that of the frames not looked at a Poisson one.
    Profiles become objects by the mean number of slices of an object, and a volume by its mean. Both are those of the
    labelled objects, unless diameters of missed ones are stated: a ball is cut in proportion to its diameter, so that the mean
    diameter of all is the harmonic mean of those that were met.

    Parameters
    ----------
    prior
        Shape of the prior of a rate, for all strata together.

    Returns
    -------
    value : Missed
        Horvitz-Thompson estimates, one draw long.
    posterior : Missed
        Draws from the posterior.
    """
    profiles, posterior = 0.0, np.zeros(draws)
    every = sum(sample.place_counts)
    for number, frames in enumerate(sample.place_counts):
        found = [verdicts[each.item].count for each in sample.places if each.stratum == number]
        if not found:
            continue
        profiles += frames * float(np.mean(found))
        shape = sum(found) + prior * frames / every
        posterior += sum(found) + rng.poisson((frames - len(found)) * rng.gamma(shape, 1 / len(found), draws))
    diameters = np.array([d for each in sample.places for d in verdicts[each.item].diameters_um])
    usual, drawn_usual = _usual_sizes(sample, verdicts, draws, rng)
    again = rng.choice(diameters, (draws, len(diameters))) if len(diameters) else np.zeros((draws, 0))
    slices, volume = _sizes(sample, usual, diameters[None])
    drawn_slices, drawn_volume = _sizes(sample, drawn_usual, again)
    count = np.array([profiles]) / slices
    drawn = posterior / drawn_slices
    return Missed(count, count * volume), Missed(drawn, drawn * drawn_volume)


def _usual_sizes(
    sample: AuditSample, verdicts: Mapping[str, Judged], draws: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the mean number of slices and volume of right objects (1, 2), and bootstrap it (draws, 2).

    Without a right object in the sample they are those of all labelled objects.
    """
    right = [each for each in sample.objects if verdicts[each.item].verdict == "right"]
    if not right:
        usual = np.array([[sample.usual_slices, sample.usual_um3]])
        return usual, np.repeat(usual, draws, axis=0)
    sampled = np.bincount([each.stratum for each in sample.objects], minlength=len(sample.object_counts))
    sizes = np.array([(each.box[3] - each.box[0], each.volume_um3) for each in right])
    weights = np.array([sample.object_counts[each.stratum] / sampled[each.stratum] for each in right])
    again = rng.multinomial(len(right), np.full(len(right), 1 / len(right)), draws) * weights
    return (weights @ sizes / weights.sum())[None], again @ sizes / again.sum(axis=1, keepdims=True)


def _sizes(
    sample: AuditSample, usual: NDArray[np.float64], diameters_um: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the mean number of slices and the mean volume of missed objects, for each row of stated diameters.

    The usual object counts as one of `USUAL_WEIGHT` stated diameters.
    """
    depth_um = sample.voxel_um[0]
    # A ball is met in proportion to its diameter: in the mean over balls each that was met counts by the reciprocal.
    weights = np.column_stack([1 / diameters_um, USUAL_WEIGHT / (usual[:, 0] * depth_um)])
    slices = np.column_stack([diameters_um / depth_um, usual[:, 0]])
    volumes = np.column_stack([pi / 6 * diameters_um**3, usual[:, 1]])
    total = weights.sum(axis=1)
    return (weights * slices).sum(axis=1) / total, (weights * volumes).sum(axis=1) / total
