"""Precision, recall, and corrected counts, volumes and fractions from the verdicts of an audit, with 95 % intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.audit.missed import Missed, extend_missed
from spherovem_core.audit.sample import AuditSample
from spherovem_core.audit.unseen import FEW_FAULTS, MANY_FAULTS, Objects, Outcomes, extend_outcomes
from spherovem_core.audit.verdicts import Judged

DRAWS = 4000
LEVELS = (0.025, 0.975)
METHOD = (
    "Horvitz-Thompson estimate from a stratified random sample; 95 % interval: 2.5 and 97.5 percent quantiles of the posterior "
    "of the objects and frames that nobody looked at (beta-binomial and gamma-Poisson)"
)
QUANTITIES: Mapping[str, tuple[str, str]] = {
    "precision": ("", "fraction of the labelled objects that are right"),
    "recall": ("", "fraction of the true objects that are labelled as one whole object"),
    "f1": ("", "harmonic mean of precision and recall"),
    "false_fraction": ("", "fraction of the labelled objects that are no object of the kind"),
    "merged_fraction": ("", "fraction of the labelled objects that are several objects"),
    "part_fraction": ("", "fraction of the labelled objects that are a piece of an object"),
    "missed": ("", "number of objects without a label"),
    "count": ("", "number of objects, corrected for false, merged, divided and missed ones"),
    "volume": ("µm³", "total volume of the objects, corrected for false and missed ones"),
    "volume_fraction": ("", "corrected total volume by the volume of the image"),
}
"""Unit and meaning of each quantity."""

COUNTS = ("missed", "count")


def estimate(
    sample: AuditSample, judged: Sequence[Judged], objects: Objects, draws: int = DRAWS
) -> pd.DataFrame:
    """Estimate what the whole segmentation is like from the verdicts on a sample.

    An object is right if it is one object of its kind and whole. True objects are the right ones, those within merged ones, those
    whose parts have labels of their own (each part counts as its fraction), and missed ones. The place of outlines is not judged:
    the volume is corrected for false and missed objects alone.

    Values are Horvitz-Thompson estimates: each verdict stands for as many objects or frames as its stratum holds per sampled one.
    Intervals are quantiles of draws of all that was not looked at, given the sample (`extend_outcomes`, `extend_missed`). They
    account for the sample, not for wrong verdicts. Where no fault was found, the interval reaches the end of the range.

    Parameters
    ----------
    sample
        The sample.
    judged
        A verdict on each of its items.
    objects
        All labelled objects.
    draws
        Draws from the posterior; their seed is that of the sample.

    Returns
    -------
    DataFrame
        One row per quantity of `QUANTITIES`: ``quantity``, ``unit``, ``as_segmented`` (without the audit; NaN where nothing is
        known), ``value``, ``low``, ``high``, ``meaning``, ``method``.
    """
    verdicts = {each.item: each for each in judged}
    total = float(objects.volume_um3.sum())
    domain = float(np.prod(sample.shape) * np.prod(sample.voxel_um))
    posteriors = []
    for prior in (FEW_FAULTS, MANY_FAULTS):
        rng = np.random.default_rng([sample.seed, 2])
        value, drawn = extend_outcomes(sample, verdicts, objects, draws, rng, prior)
        missed, drawn_missed = extend_missed(sample, verdicts, draws, rng, prior)
        values = _quantities(value, missed, total, domain)
        posteriors.append(_quantities(drawn, drawn_missed, total, domain))
    segmented = {"count": float(len(objects.label)), "volume": total, "volume_fraction": total / domain}
    rows = []
    for name, (unit, meaning) in QUANTITIES.items():
        low, high = _interval(name, [each[name] for each in posteriors], float(values[name][0]))
        numbers = (segmented.get(name, np.nan), float(values[name][0]), low, high)
        rows.append((name, unit, *numbers, meaning, METHOD))
    names = ["quantity", "unit", "as_segmented", "value", "low", "high", "meaning", "method"]
    return pd.DataFrame(rows, columns=names)


def _quantities(
    found: Outcomes, missed: Missed, total_um3: float, domain_um3: float
) -> dict[str, NDArray[np.float64]]:
    right, false, merged, part = found.counts
    labelled = found.counts.sum(axis=0)
    true = found.true + missed.count
    volume = total_um3 - found.false_um3 + missed.volume_um3
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": right / labelled,
            "recall": right / true,
            "f1": 2 * right / (labelled + true),
            "false_fraction": false / labelled,
            "merged_fraction": merged / labelled,
            "part_fraction": part / labelled,
            "missed": missed.count,
            "count": true,
            "volume": volume,
            "volume_fraction": volume / domain_um3,
        }


def _interval(name: str, posteriors: Sequence[NDArray[np.float64]], value: float) -> tuple[float, float]:
    """Return the outermost quantiles, widened to hold the estimate; those of counts are whole numbers."""
    known = [draws[np.isfinite(draws)] for draws in posteriors]
    if not np.isfinite(value) or not all(map(len, known)):
        return float("nan"), float("nan")
    ends = np.array([np.quantile(draws, LEVELS) for draws in known])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if name in COUNTS:
        low, high = float(np.floor(low)), float(np.ceil(high))
    return min(low, value), max(high, value)
