"""Confidence that an object is right, from what the review measures of it, calibrated on segmented phantoms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spherovem_core.object_kinds import ObjectKind
from spherovem_core.review.confidence_weights import BIAS, WEIGHTS
from spherovem_core.review.examination import Examined
from spherovem_core.review.features import Features, Usual
from spherovem_core.review.hypotheses import one_in_two, two_in_one

NO_HYPOTHESIS = -8.0
"""Log odds where an object has no contact or no cut, and the least that counts."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "merge": (NO_HYPOTHESIS, 4.0),
    "split": (NO_HYPOTHESIS, 4.0),
    "flow_error": (0.0, 1.5),
    "flow_length": (1.0, 2.5),
    "small": (0.0, 4.0),
    "large": (0.0, 2.0),
    "solidity": (0.3, 0.9),
    "edge": (-1.0, 1.0),
    "fall": (-1.0, 2.0),
    "divergence": (-0.2, 0.5),
}
"""Range of each feature: what is better than usual in phantoms makes an object no surer."""

LOGITS = 5.0
"""Logits per unit of the feature ``fall``."""

LEAST_OVERLAP = 0.05
"""Fraction of a cell in nuclei below which it has none."""

NO_FLOWS = "labels without the flows of a network"
TOO_SMALL = "too small for the grid of the review"


@dataclass(frozen=True)
class Doubts:
    """The strongest log odds that an object is a part of a larger one, and that it is several."""

    merge: float
    split: float


def doubts_of(objects: Sequence[Examined], truncated: Mapping[int, float], usual: Usual) -> dict[int, Doubts]:
    """Judge each object with its best cut and all its contacts."""
    by_label = {one.label: one for one in objects}
    merge = dict.fromkeys(by_label, NO_HYPOTHESIS)
    for one in objects:
        for contact in one.contacts:
            other = by_label.get(contact.other)
            if other is None or not one.label < other.label:
                continue
            found = one_in_two(one, other, contact, usual)
            if found is not None:
                for label in (one.label, other.label):
                    merge[label] = max(merge[label], found.score)
    doubts = {}
    for one in objects:
        cut = two_in_one(one, usual, truncated.get(one.label, 0.0) == 0)
        doubts[one.label] = Doubts(merge[one.label], NO_HYPOTHESIS if cut is None else cut.score)
    return doubts


def confidence_features(one: Examined, usual: Usual, doubts: Doubts, truncated: float) -> Features:
    """Describe an object by what speaks for or against it.

    Parameters
    ----------
    one
        What was measured of it.
    usual
        Usual figures of the acquisition.
    doubts
        Log odds that it is wrong.
    truncated
        Fraction of its surface on the border of the volume.

    Returns
    -------
    dict
        ``merge``, ``split``: the doubts. ``flow_error``, ``flow_length``: agreement of the flows with the way inwards, and the
        logarithm of their length, which is short where the three directions disagree. ``small``, ``large``: logarithm of the
        volume by the usual one. ``solidity``: fraction of the convex hull. ``edge``: rise of the boundary gradient at the surface
        by the usual one. ``fall``: fall of the logit there. ``divergence``: how far flows part there. 0 where a source is absent.
    """
    size = math.log(one.volume_um3 / usual.volume_um3)
    rim = one.rim
    edge = fall = divergence = 0.0
    if rim is not None:
        edge = _clip(_relative(rim.gradient - one.gradient, usual.gradient), "edge")
        fall = _clip((one.logit - rim.logit) / LOGITS, "fall")
        divergence = _clip(rim.divergence, "divergence")
    return {
        "merge": _clip(doubts.merge, "merge"),
        "split": _clip(doubts.split, "split"),
        "flow_error": _clip(one.flow_error, "flow_error"),
        "flow_length": _clip(math.log(max(one.flow_length, 1e-3)), "flow_length"),
        "small": _clip(-size, "small"),
        "large": _clip(size, "large"),
        "solidity": _clip(one.volume_um3 / max(one.hull_um3, 1e-12), "solidity"),
        "no_nucleus": float(one.nucleus_overlap < LEAST_OVERLAP),
        "edge": edge,
        "fall": fall,
        "divergence": divergence,
    }


def confidence_of(kind: ObjectKind, features: Features) -> float:
    """Return the probability that an object with these features is right."""
    odds = BIAS[kind] + sum(WEIGHTS[kind][name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-odds))


def confidence_table(
    kind: ObjectKind,
    labels: Sequence[int],
    objects: Sequence[Examined],
    truncated: Mapping[int, float],
    usual: Usual,
    has_flows: bool,
) -> pd.DataFrame:
    """Estimate how probably each object is right: a true object and this one share more than 3/4 of what both fill.

    The model is a logistic regression on the features of `confidence_features`, fitted to the objects of segmented phantoms and
    to errors planted in them (``benchmarks/confidence.py``, which also states how far it is calibrated on other phantoms). On
    tissue unlike the phantoms the order of the objects means more than the number.

    Parameters
    ----------
    labels
        Labels of all objects.
    objects
        Those that were examined.
    truncated
        Fraction of the surface on the border of the volume, by label.
    usual
        Usual figures of the acquisition.
    has_flows
        False where labels were imported: there is no confidence without the flows of a network.

    Returns
    -------
    DataFrame
        ``label``, ``confidence`` (NaN where unknown) and ``confidence_note``, the reason why it is unknown.
    """
    frame = pd.DataFrame({"label": np.array(labels, np.uint32)})
    if not has_flows:
        return frame.assign(confidence=np.nan, confidence_note=NO_FLOWS)
    doubts = doubts_of(objects, truncated, usual)
    found = {
        one.label: confidence_of(
            kind, confidence_features(one, usual, doubts[one.label], truncated.get(one.label, 0.0))
        )
        for one in objects
    }
    values = np.array([found.get(label, np.nan) for label in labels], float)
    return frame.assign(confidence=values, confidence_note=np.where(np.isnan(values), TOO_SMALL, ""))


def _relative(value: float, usual: float) -> float:
    return value / usual if usual > 0 else float("nan")


def _clip(value: float, name: str) -> float:
    """Bound a feature by what is usual in phantoms; 0 where it is unknown."""
    return 0.0 if math.isnan(value) else float(np.clip(value, *BOUNDS[name]))
