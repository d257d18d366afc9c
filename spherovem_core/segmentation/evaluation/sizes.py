"""Scores of an evaluation by the size of objects."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

CLASSES, LEAST_PER_CLASS = 4, 5
"""Most classes if no limits are given, and fewest true objects per class."""


def scores_by_size(
    true: pd.DataFrame, predicted: pd.DataFrame, limits_um3: Sequence[float] = ()
) -> pd.DataFrame:
    """Score the objects of each class of size.

    A true object belongs to the class of its volume, and so does the predicted object that matches it. A predicted object
    without a partner belongs to the class of its own volume.

    Parameters
    ----------
    true, predicted
        Tables of objects of an `Evaluation`.
    limits_um3
        Volumes between classes; an object of exactly a limit belongs to the upper class. Without any, quantiles of the true
        objects divide them into up to four classes.

    Returns
    -------
    pandas.DataFrame
        One row per class: `volume_low_um3` and `volume_high_um3` (infinite for the last one), true objects, how many of them
        were found, split, merged and missed, predicted objects without a partner, and `precision`, `recall` and `f1`, which
        are NaN where a class holds nothing.
    """
    limits = list(limits_um3) or _quantiles(true["volume_um3"])
    edges = [0.0, *limits, np.inf]
    rows = []
    for low, high in pairwise(edges):
        own = true[(true["volume_um3"] >= low) & (true["volume_um3"] < high)]
        others = predicted[(predicted["volume_um3"] >= low) & (predicted["volume_um3"] < high)]
        found, split = own["partner"] > 0, own["pieces"] > 1
        hits, invented = int(found.sum()), int((others["partner"] == 0).sum())
        rows.append(
            {
                "volume_low_um3": low,
                "volume_high_um3": high,
                "true_count": len(own),
                "matched_count": hits,
                "split_count": int(split.sum()),
                "merged_count": int(own["merged"].sum()),
                "missed_count": int((~(found | split | own["merged"])).sum()),
                "unmatched_predicted_count": invented,
                "precision": _fraction(hits, hits + invented),
                "recall": _fraction(hits, len(own)),
                "f1": _fraction(hits, (hits + invented + len(own)) / 2),
            }
        )
    return pd.DataFrame(rows)


def _quantiles(volumes: pd.Series) -> list[float]:
    """Return limits between classes of about equal numbers, rounded to two digits."""
    classes = min(CLASSES, len(volumes) // LEAST_PER_CLASS)
    if classes < 2:
        return []
    found = np.quantile(volumes, np.arange(1, classes) / classes)
    return sorted({float(f"{limit:.2g}") for limit in found})


def _fraction(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
