"""Figures and tables of the agreement between a segmentation and its truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.label_overlaps import Contingency
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation.information import (
    adapted_rand_error,
    cremi_score,
    variation_of_information,
)
from spherovem_core.segmentation.evaluation.matching import Matching, count_scores, match_objects
from spherovem_core.segmentation.evaluation.sizes import scores_by_size
from spherovem_core.segmentation.evaluation.splits_and_merges import find_splits_and_merges
from spherovem_core.segmentation.evaluation.worst_errors import WorstError
from spherovem_core.spacing import SpacingNm, voxel_volume_um3

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Intersections over union from 0.5 to 0.95."""

SCORES = (
    "true_positives",
    "false_positives",
    "false_negatives",
    "precision",
    "recall",
    "f1",
    "average_precision",
    "panoptic_quality",
)


@dataclass(frozen=True)
class Evaluation:
    """Agreement of a segmentation with its truth.

    Attributes
    ----------
    figures
        By name. ``_count``: true and predicted objects that count, matched pairs, true objects that were split,
        merged or missed (not matched, split or merged), predicted objects that are fragments of a split object, mergers, or
        invented (not matched, fragment or merger). ``precision``, ``recall``, ``f1``, ``panoptic_quality``,
        ``mean_matched_iou``, ``average_precision`` at the IoU of a match; ``mean_average_precision`` over IoU 0.5 to
        0.95. ``voi_split_bits``, ``voi_merge_bits`` over all voxels, ``voi_objects_…`` over those of true objects.
        ``adapted_rand_error`` and ``cremi_score``, over the latter, 0 is best.
        ``median_volume_error``, relative, and ``boundary_mean_nm``, ``boundary_p95_nm``, means over the matched pairs.
        NaN where there is nothing to measure.
    thresholds
        One row per IoU from 0.5 to 0.95: true and false positives, false negatives and scores.
    true_objects, predicted_objects
        One row per object that counts: its size, its partner (0: none), whether it was split, merged or is a fragment.
    sizes
        One row per class of size, see `scores_by_size`.
    worst_errors
        The largest mergers and splits; empty where sections were compared.
    """

    figures: dict[str, float]
    thresholds: pd.DataFrame
    true_objects: pd.DataFrame
    predicted_objects: pd.DataFrame
    sizes: pd.DataFrame
    worst_errors: tuple[WorstError, ...] = ()


def min_voxels(spacing_nm: SpacingNm, parameters: EvaluationParameters) -> int:
    """Return the number of voxels in a ball of the smallest diameter that counts."""
    smallest = np.pi / 6 * parameters.min_diameter_um**3 / voxel_volume_um3(spacing_nm)
    return int(np.ceil(smallest))


def summarise(
    table: Contingency,
    matching: Matching,
    boundaries: NDArray[np.float64],
    spacing_nm: SpacingNm,
    parameters: EvaluationParameters,
    worst_errors: Sequence[WorstError] = (),
) -> Evaluation:
    """Compute all figures and tables from the overlaps, the matches and their boundary distances.

    Parameters
    ----------
    boundaries : (N, 2) ndarray
        Mean and 95th percentile distance in nm of each matched pair.
    worst_errors
        From `find_worst_errors`.
    """
    true, predicted = _object_tables(table, matching, boundaries, spacing_nm, parameters)
    thresholds = _thresholds(table, min_voxels(spacing_nm, parameters))
    scores = count_scores(table, matching)
    split, merge = variation_of_information(table)
    objects_split, objects_merge = variation_of_information(table, objects_only=True)
    is_split, is_merger = true["pieces"] > 1, predicted["parts"] > 1
    true_found, predicted_found = true["partner"] > 0, predicted["partner"] > 0
    volume_errors = (true["partner_voxel_count"] / true["voxel_count"] - 1)[true_found].abs()
    figures = {
        "true_count": len(true),
        "predicted_count": len(predicted),
        "matched_count": scores.true_positives,
        "true_split_count": int(is_split.sum()),
        "true_merged_count": int(true["merged"].sum()),
        "true_missed_count": int((~(true_found | is_split | true["merged"])).sum()),
        "predicted_fragment_count": int(predicted["fragment"].sum()),
        "predicted_merger_count": int(is_merger.sum()),
        "predicted_invented_count": int((~(predicted_found | is_merger | predicted["fragment"])).sum()),
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "panoptic_quality": scores.panoptic_quality,
        "mean_matched_iou": scores.mean_iou,
        "average_precision": scores.average_precision,
        "mean_average_precision": float(thresholds["average_precision"].mean()),
        "voi_split_bits": split,
        "voi_merge_bits": merge,
        "voi_objects_split_bits": objects_split,
        "voi_objects_merge_bits": objects_merge,
        "adapted_rand_error": adapted_rand_error(table),
        "cremi_score": cremi_score(table),
        "median_volume_error": float(volume_errors.median()),
        "boundary_mean_nm": float(true["boundary_mean_nm"].mean()),
        "boundary_p95_nm": float(true["boundary_p95_nm"].mean()),
    }
    sizes = scores_by_size(true, predicted, parameters.size_limits_um3)
    return Evaluation(figures, thresholds, true, predicted, sizes, tuple(worst_errors))


def _thresholds(table: Contingency, smallest: int) -> pd.DataFrame:
    scores = [count_scores(table, match_objects(table, iou, smallest)) for iou in IOU_THRESHOLDS]
    columns = {name: [getattr(one, name) for one in scores] for name in SCORES}
    return pd.DataFrame({"iou": IOU_THRESHOLDS, **columns})


def _object_tables(
    table: Contingency,
    matching: Matching,
    boundaries: NDArray[np.float64],
    spacing_nm: SpacingNm,
    parameters: EvaluationParameters,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    splits = find_splits_and_merges(table, matching, parameters.min_piece_fraction)
    rows, columns = table.rows[matching.pairs], table.columns[matching.pairs]
    voxel = voxel_volume_um3(spacing_nm)
    true = pd.DataFrame(
        {
            "label": table.true.labels,
            "voxel_count": table.true.sizes,
            "volume_um3": table.true.sizes * voxel,
            "partner": _placed(len(table.true.labels), rows, table.predicted.labels[columns], 0),
            "partner_voxel_count": _placed(len(table.true.labels), rows, table.predicted.sizes[columns], 0),
            "iou": _placed(len(table.true.labels), rows, table.iou[matching.pairs], 0.0),
            "pieces": splits.pieces,
            "merged": splits.merged,
            "boundary_mean_nm": _placed(len(table.true.labels), rows, boundaries[:, 0], np.nan),
            "boundary_p95_nm": _placed(len(table.true.labels), rows, boundaries[:, 1], np.nan),
        }
    )
    predicted = pd.DataFrame(
        {
            "label": table.predicted.labels,
            "voxel_count": table.predicted.sizes,
            "volume_um3": table.predicted.sizes * voxel,
            "partner": _placed(len(table.predicted.labels), columns, table.true.labels[rows], 0),
            "iou": _placed(len(table.predicted.labels), columns, table.iou[matching.pairs], 0.0),
            "parts": splits.parts,
            "fragment": splits.fragment,
        }
    )
    return (
        true[matching.true_counts].reset_index(drop=True),
        predicted[matching.predicted_counts].reset_index(drop=True),
    )


def _placed(count: int, places: NDArray[np.intp], values: NDArray[Any], empty: float) -> NDArray[Any]:
    """Return an array of length `count` with `values` at `places` and `empty` elsewhere."""
    whole = np.full(count, empty, dtype=values.dtype)
    whole[places] = values
    return whole
