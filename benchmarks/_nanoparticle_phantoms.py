"""Accuracy of the nanoparticles stage on phantoms, pooled over enough of them that single particles do not matter."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles import find_particles
from spherovem_core.synthetic.phantom import make_phantom

SHAPE = (64, 512, 512)
STILL = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}
# A decile of the reliability diagram counts with at least 300 voxels: two standard errors are then 0.058 at most.
LEAST_VOXELS = 300
_COMMON = 0.25


@dataclass(frozen=True)
class Condition:
    """Phantoms of one condition. Their seeds were not used to develop the method."""

    fraction: float
    seeds: Sequence[int]
    options: dict[str, Any] = field(default_factory=dict)


CONDITIONS = (
    Condition(0.0, range(9100, 9102)),
    Condition(0.0002, range(9110, 9119)),
    Condition(0.0005, range(9120, 9125)),
    Condition(0.002, range(9130, 9133)),
    Condition(0.002, range(9140, 9143), {"gain_drift": 0.1}),
    Condition(0.01, (9150,)),
    Condition(0.03, (9160,)),
    Condition(0.05, (9170,)),
)


@dataclass(frozen=True)
class Score:
    """Score of one phantom.

    Attributes
    ----------
    hit, marked, true
        Number of voxels labelled correctly, labelled, and in particles.
    percentile_hit, percentile_marked
        The same for the brightest 0.2 %.
    particles : (6,) ndarray
        Number of true, found, lost, false, split and merged particles.
    deciles : (3, 10) ndarray
        Number of voxels, sum of the stored posterior, and number of particle voxels in each decile of the posterior.
    clipped
        Fraction of the particle voxels at 255.
    """

    hit: int
    marked: int
    true: int
    percentile_hit: int
    percentile_marked: int
    particles: NDArray[np.int64]
    deciles: NDArray[np.float64]
    clipped: float

    @property
    def dice(self) -> float:
        """Compute the Dice coefficient; 1 if the phantom has no particles and none was found."""
        total = self.marked + self.true
        return 2 * self.hit / total if total else 1.0


def compare_particles(labels: NDArray[np.uint32], truth: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Count true, found, lost, false, split and merged particles (6,) by their common voxels.

    A true and a measured particle meet if they share a quarter of the smaller one: particles that touch share voxels at their
    border with each other's label.
    """
    both = (labels > 0) & (truth > 0)
    pairs, common = np.unique(np.stack([truth[both], labels[both]]), axis=1, return_counts=True)
    sizes = [np.bincount(volume.ravel())[row] for volume, row in zip((truth, labels), pairs, strict=True)]
    pairs = pairs[:, common >= _COMMON * np.minimum(*sizes)]
    met, meeting = (len(np.unique(row)) for row in pairs)
    true, found, shared = int(truth.max()), int(labels.max()), pairs.shape[1]
    return np.array([true, found, true - met, found - meeting, shared - met, shared - meeting])


def reliability(chance: NDArray[np.float16], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Count voxels, posteriors and particle voxels (3, 10) per decile of the posterior."""
    decile = np.digitize(chance.ravel(), np.arange(0.1, 1, 0.1))
    rows = (np.ones(decile.size), chance.ravel().astype(np.float64), truth.ravel())
    return np.stack([np.bincount(decile, row, 10) for row in rows])


def score(condition: Condition, seed: int) -> Score:
    """Make a phantom, segment it and compare the labels with the truth."""
    phantom = make_phantom(
        shape=SHAPE,
        seed=seed,
        nanoparticle_volume_fraction=condition.fraction,
        **STILL,
        **condition.options,
    )
    truth = phantom.nanoparticles > 0
    particles = find_particles(phantom.image, phantom.spacing_nm)
    labels = particles.labels
    bright = phantom.image > np.percentile(phantom.image, 99.8)
    return Score(
        int((truth & (labels > 0)).sum()),
        int((labels > 0).sum()),
        int(truth.sum()),
        int((truth & bright).sum()),
        int(bright.sum()),
        compare_particles(labels, phantom.nanoparticles),
        reliability(particles.posterior, truth),
        float((phantom.image[truth] == 255).mean()) if truth.any() else 0.0,
    )


def gaps(scores: Sequence[Score]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the fraction of particle voxels minus the mean posterior (10,), and two standard errors; NaN for few voxels."""
    count, chance, truth = np.sum([entry.deciles for entry in scores], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = truth / count
        gap, error = fraction - chance / count, 2 * np.sqrt(fraction * (1 - fraction) / count)
    few = count < LEAST_VOXELS
    return np.where(few, np.nan, gap), np.where(few, np.nan, error)


def report(condition: Condition, scores: Sequence[Score]) -> None:
    """Print the row of a condition, and its reliability diagram."""
    true, found, lost, false, split, merged = np.sum([entry.particles for entry in scores], axis=0)
    dice = [entry.dice for entry in scores]
    marked = sum(entry.percentile_marked + entry.true for entry in scores)
    percentile = 2 * sum(entry.percentile_hit for entry in scores) / marked
    off = f"{100 * (found / true - 1):+.1f} %" if true else ""
    print(
        f"{100 * condition.fraction:7.2f} % {condition.options!s:20} {len(scores):2d} phantoms  Dice {np.mean(dice):.3f} "
        f"({min(dice):.3f} to {max(dice):.3f}), brightest 0.2 %: {percentile:.3f}  count {found}/{true} {off}  "
        f"lost {lost} false {false} split {split} merged {merged}  clipped {np.mean([s.clipped for s in scores]):.2f}"
    )
    if true == 0:
        return
    gap, error = gaps(scores)
    worst = int(np.nanargmax(np.abs(gap)))
    print(
        "          gap by decile of the posterior " + " ".join(f"{g:+.3f}" for g in gap)
        + f"; largest {abs(gap[worst]):.3f} +- {error[worst]:.3f}",
        flush=True,
    )  # fmt: skip


def accuracy(workers: int, most: int) -> None:
    """Score all conditions on at most `most` phantoms each, `workers` phantoms at a time."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        todo = [
            (condition, [executor.submit(score, condition, seed) for seed in condition.seeds[:most]])
            for condition in CONDITIONS
        ]
        for condition, futures in todo:
            report(condition, [future.result() for future in futures])
