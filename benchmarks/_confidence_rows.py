"""Objects of segmented phantoms with what the review measures of them, and whether they are right."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _planted_errors import plant_errors
from _review_bases import EDGE, FLOW_SPACING_NM, IN_PLACE, Base, flows_of, masks_of
from numpy.typing import NDArray

from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.parameters import ObjectParameters
from spherovem_core.review import ReviewLevel
from spherovem_core.review.confidence import confidence_features, doubts_of
from spherovem_core.review.features import usual_figures
from spherovem_core.review.suspects import examine_all, truncated_fractions
from spherovem_core.segmentation import (
    PlacedVolume,
)
from spherovem_core.synthetic.phantom import make_phantom

CASES: dict[str, dict[str, Any]] = {
    "bulk": {"shape": (64, 224, 224), "spacing_nm": (120.0, 60.0, 60.0)},
    "edge": {"shape": (64, 224, 224), "spacing_nm": (120.0, 60.0, 60.0), **EDGE},
    "thick slices": {"shape": (36, 270, 270), "spacing_nm": (240.0, 50.0, 50.0), **EDGE},
}
THRESHOLDS = (0.0, 2.0)
"""Probability thresholds of masks: the second one loses and divides objects."""

RIGHT_IOU = 0.75
"""Intersection over union with a true object from which a label is right."""

PLANTED = 8
"""Merges and splits that are planted for the fit; none for the test of reliability."""


def confidence_rows(case: str, seed: int) -> Iterator[dict[str, Any]]:
    """Segment a phantom, and yield the features of each object with its truth; then again with planted errors."""
    settings = {"cell_diameter_um": 4.8, **CASES[case], "seed": seed, **IN_PLACE}
    phantom = make_phantom(scenes=settings.pop("scenes", ()), **settings)
    truth = {"cells": phantom.cells, "nuclei": phantom.nuclei}
    flows, found = {}, {}
    for kind, least in (("cells", 2.0), ("nuclei", 1.0)):
        flows[kind] = flows_of(phantom, kind)
        for threshold in THRESHOLDS:
            parameters = ObjectParameters(
                flow_spacing_nm=FLOW_SPACING_NM, min_diameter_um=least, probability_threshold=threshold
            )
            found[kind, threshold] = masks_of(phantom, flows[kind], parameters)
    for (kind, threshold), labels in found.items():
        nuclei = found["nuclei", 0.0] if kind == "cells" else None
        base = Base(
            "", phantom.image, labels, found["nuclei", 0.0], truth[kind], phantom.spacing_nm, flows[kind]
        )
        rng = np.random.default_rng([seed, int(threshold)])
        planted, _ = plant_errors(
            labels, np.array(phantom.spacing_nm) / 1000, base.usable(), rng, PLANTED, PLANTED
        )
        for name, own in (("predicted", labels), ("planted", planted)):
            for row in _rows(phantom, own, nuclei, truth[kind], flows[kind]):
                yield {
                    "case": case, "seed": seed, "kind": kind, "threshold": threshold, "labels": name, **row
                }  # fmt: skip


def _rows(
    phantom: Any,
    labels: NDArray[np.uint32],
    nuclei: NDArray[np.uint32] | None,
    truth: NDArray[np.uint32],
    flows: PlacedVolume,
) -> Iterator[dict[str, Any]]:
    level = ReviewLevel(labels, phantom.spacing_nm, image=phantom.image, nuclei=nuclei)
    statistics = collect_label_statistics(labels)
    objects = examine_all([level], statistics, flows)
    truncated = truncated_fractions(statistics, level)
    usual = usual_figures(objects, {label: fraction == 0 for label, fraction in truncated.items()})
    doubts = doubts_of(objects, truncated, usual)
    iou = _best_iou(labels, truth)
    for one in objects:
        features = confidence_features(one, usual, doubts[one.label], truncated.get(one.label, 0.0))
        yield {"label": one.label, "iou": iou.get(one.label, 0.0), **features}


def _best_iou(labels: NDArray[np.uint32], truth: NDArray[np.uint32]) -> dict[int, float]:
    pairs, counts = np.unique(
        np.stack([labels.ravel(), truth.ravel()]).astype(np.int64), axis=1, return_counts=True
    )
    frame = pd.DataFrame({"label": pairs[0], "true": pairs[1], "n": counts})
    own, true = frame.groupby("label")["n"].sum(), frame.groupby("true")["n"].sum()
    frame = frame[(frame["label"] > 0) & (frame["true"] > 0)]
    frame["iou"] = frame["n"] / (frame["label"].map(own) + frame["true"].map(true) - frame["n"])
    best: dict[int, float] = frame.groupby("label")["iou"].max().to_dict()
    return best
