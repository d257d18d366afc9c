"""Table of overlaps and scores, compared with counts by hand, cellpose and scikit-image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from evaluation_scenes import SPACING, disturbed, line, patchwork
from scipy import ndimage

from spherovem_core.errors import ParameterError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation import (
    Contingency,
    count_overlaps,
    evaluate_labels,
    evaluate_sections,
    pool,
    variation_of_information,
)
from spherovem_core.segmentation.evaluation.information import adapted_rand_error, cremi_score


def pairs_of(table: Contingency) -> dict[tuple[int, int], int]:
    true, predicted = table.true.labels[table.rows], table.predicted.labels[table.columns]
    return {(int(a), int(b)): int(n) for a, b, n in zip(true, predicted, table.voxels, strict=True)}


def test_table_holds_overlaps_sizes_and_boxes() -> None:
    truth, found = patchwork(0), patchwork(1)
    table = count_overlaps(truth, found, block_shape=(3, 17, 64))
    codes, counts = np.unique(truth.astype(np.int64) * 10_000 + found, return_counts=True)
    assert pairs_of(table) == {divmod(int(c), 10_000): int(n) for c, n in zip(codes, counts, strict=True)}
    for side, labels in ((table.true, truth), (table.predicted, found)):
        assert side.sizes.tolist() == [int((labels == label).sum()) for label in side.labels]
        boxes = ndimage.find_objects(labels.astype(np.int64))
        for label, box in zip(side.labels.tolist(), side.boxes.tolist(), strict=True):
            if label:
                assert box == [[s.start, s.stop] for s in boxes[label - 1]]


@pytest.mark.parametrize("block", [(1, 60, 70), (10, 7, 70), (4, 32, 9), (10, 60, 70)])
def test_table_does_not_depend_on_blocks_or_workers(block: tuple[int, int, int]) -> None:
    truth, found = patchwork(2), disturbed(patchwork(2), 0)
    whole = count_overlaps(truth, found)
    with ThreadPoolExecutor(3) as executor:
        blocked = count_overlaps(truth, found, Execution(executor=executor), block)
    for side in ("true", "predicted"):
        for name in ("labels", "sizes", "boxes"):
            assert np.array_equal(getattr(getattr(whole, side), name), getattr(getattr(blocked, side), name))
    for name in ("rows", "columns", "voxels"):
        assert np.array_equal(getattr(whole, name), getattr(blocked, name))


def test_labels_above_32_bits_are_distinguished() -> None:
    big = 2**40
    table = count_overlaps(line((1, 3), (2, 2)).astype(np.uint64) + big, line((7, 4), (8, 1)))
    assert pairs_of(table) == {(big + 1, 7): 3, (big + 2, 7): 1, (big + 2, 8): 1}


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_that_of_cellpose(seed: int) -> None:
    from cellpose.metrics import average_precision

    truth = patchwork(seed)
    found = disturbed(truth, seed)
    table = evaluate_labels(truth, found, SPACING, EvaluationParameters(boundary_error=False)).thresholds
    with np.errstate(invalid="ignore"):  # Cellpose divides by the size of absent labels.
        theirs = average_precision(truth.astype(int), found, threshold=table["iou"].to_list())
    names = ("average_precision", "true_positives", "false_positives", "false_negatives")
    for name, expected in zip(names, theirs, strict=True):
        assert np.allclose(table[name], expected, atol=1e-6), name
    # Scores differ between thresholds, so the comparison has meaning.
    assert table["true_positives"].iloc[0] > table["true_positives"].iloc[-1]


@pytest.mark.parametrize("seed", range(4))
def test_variation_of_information_equals_that_of_scikit_image(seed: int) -> None:
    from skimage.metrics import variation_of_information as reference

    truth = patchwork(seed)
    found = disturbed(truth, seed)
    table = count_overlaps(truth, found, block_shape=(4, 20, 30))
    assert np.allclose(variation_of_information(table), reference(truth, found), atol=1e-9)
    assert np.allclose(
        variation_of_information(table, objects_only=True),
        reference(truth, found, ignore_labels=(0,)),
        atol=1e-9,
    )


def test_variation_of_information_of_halves_and_quarters_is_exact() -> None:
    # Half of all voxels are cut in four equal pieces: 2 bits each; the other half is whole.
    split = count_overlaps(line((1, 8), (2, 8)), line((1, 2), (2, 2), (3, 2), (4, 2), (5, 8)))
    assert variation_of_information(split) == pytest.approx((1.0, 0.0))
    merged = count_overlaps(line((1, 2), (2, 2), (3, 2), (4, 2), (5, 8)), line((1, 8), (2, 8)))
    assert variation_of_information(merged) == pytest.approx((0.0, 1.0))
    # Background counts as one object, unless it is left out.
    half = count_overlaps(line((0, 8), (1, 8)), line((0, 4), (2, 4), (1, 8)))
    assert variation_of_information(half) == pytest.approx((0.5, 0.0))
    assert variation_of_information(half, objects_only=True) == pytest.approx((0.0, 0.0))
    empty = count_overlaps(line((0, 4)), line((1, 4)))
    assert np.isnan(variation_of_information(empty, objects_only=True)).all()


def test_panoptic_quality_equals_the_value_by_hand() -> None:
    # IoU 6/10 and 8/10; one true object missed, two invented.
    truth = line((1, 8), (0, 4), (2, 8), (0, 4), (3, 5), (0, 9))
    found = line((0, 2), (1, 8), (0, 2), (2, 10), (0, 7), (4, 3), (0, 3), (5, 3))
    figures = evaluate_labels(truth, found, SPACING).figures
    assert figures["panoptic_quality"] == pytest.approx((0.6 + 0.8) / (2 + 2 / 2 + 1 / 2))
    assert figures["mean_matched_iou"] == pytest.approx(0.7)
    assert (figures["precision"], figures["recall"]) == pytest.approx((2 / 4, 2 / 3))
    assert figures["average_precision"] == pytest.approx(2 / 5)
    # Both match up to 0.6, one up to 0.8: three thresholds of 2/5, four of 1/6, three of 0.
    assert figures["mean_average_precision"] == pytest.approx((3 * 2 / 5 + 4 * 1 / 6) / 10)
    assert figures["median_volume_error"] == pytest.approx((0.0 + 0.25) / 2)


def test_split_merged_missed_and_invented_objects_are_counted() -> None:
    truth = line((1, 20), (0, 2), (2, 10), (3, 10), (0, 2), (4, 10), (0, 10), (5, 10), (0, 2), (6, 30))
    found = line(
        *((1, 10), (2, 10), (0, 2), (3, 20), (0, 2), (0, 10), (4, 8), (0, 2)),
        # One voxel of 10 is a piece, 2 of 30 are not.
        *((5, 9), (6, 1), (0, 2), (7, 28), (8, 2)),
    )
    result = evaluate_labels(truth, found, SPACING)
    true = result.true_objects.set_index("label")
    assert true["pieces"].to_dict() == {1: 2, 2: 0, 3: 0, 4: 0, 5: 2, 6: 1}
    assert true.index[true["merged"]].tolist() == [2, 3]
    predicted = result.predicted_objects.set_index("label")
    assert predicted["parts"].to_dict() == {1: 0, 2: 0, 3: 2, 4: 0, 5: 1, 6: 0, 7: 1, 8: 0}
    assert predicted.index[predicted["fragment"]].tolist() == [1, 2, 5, 6]
    figures = result.figures
    counts = {name.removesuffix("_count"): figures[name] for name in figures if name.endswith("_count")}
    assert counts == {
        "true": 6,
        "predicted": 8,
        # At IoU 0.5 one half of object 1 matches it, and the merger matches object 2.
        "matched": 4,
        "true_split": 2,
        "true_merged": 2,
        "true_missed": 1,
        "predicted_fragment": 4,
        "predicted_merger": 1,
        "predicted_invented": 2,
    }


def test_small_objects_do_not_count() -> None:
    truth = line((1, 20), (0, 5), (2, 3), (0, 5))
    found = line((1, 10), (2, 10), (0, 5), (3, 3), (0, 3), (4, 2))
    diameter_um = (6 / np.pi * 4 * 50 * 10 * 10 * 1e-9) ** (1 / 3)
    result = evaluate_labels(truth, found, SPACING, EvaluationParameters(min_diameter_um=diameter_um))
    assert result.true_objects["label"].tolist() == [1]
    assert result.predicted_objects["label"].tolist() == [1, 2]
    assert result.figures["true_split_count"] == 1
    assert result.figures["predicted_invented_count"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_scores_do_not_depend_on_numbering(seed: int) -> None:
    truth, found = patchwork(seed), disturbed(patchwork(seed), seed)
    generator = np.random.default_rng(seed)
    renamed = []
    for labels in (truth, found):
        names = np.concatenate([[0], generator.permutation(5000)[: labels.max()] + 1])
        renamed.append(names[labels])
    once, again = evaluate_labels(truth, found, SPACING), evaluate_labels(*renamed, SPACING)
    assert again.figures == pytest.approx(once.figures, nan_ok=True)
    columns = ["voxel_count", "iou", "pieces", "merged", "boundary_mean_nm"]
    sorts = [one.true_objects.sort_values(columns)[columns].to_numpy(float) for one in (once, again)]
    assert np.allclose(*sorts, equal_nan=True)


@pytest.mark.parametrize("seed", range(3))
def test_exchanged_truth_and_prediction_exchange_their_scores(seed: int) -> None:
    truth, found = patchwork(seed), disturbed(patchwork(seed), seed)
    there, back = (evaluate_labels(*pair, SPACING).figures for pair in ((truth, found), (found, truth)))
    for name in ("f1", "average_precision", "panoptic_quality", "boundary_mean_nm", "boundary_p95_nm"):
        assert there[name] == pytest.approx(back[name])
    for one, other in (
        ("precision", "recall"),
        ("voi_split_bits", "voi_merge_bits"),
        ("true_split_count", "predicted_merger_count"),
        ("true_merged_count", "predicted_fragment_count"),
        ("true_missed_count", "predicted_invented_count"),
    ):
        assert there[one] == pytest.approx(back[other])
        assert back[one] == pytest.approx(there[other])
    assert there["true_split_count"] > 0
    assert there["true_merged_count"] > 0


def test_sections_are_scored_together() -> None:
    truths = [patchwork(n, (60, 70)) for n in range(3)]
    found = [disturbed(truth, n) for n, truth in enumerate(truths)]
    together = evaluate_sections(truths, found, SPACING)
    apart = [evaluate_labels(a, b, SPACING) for a, b in zip(truths, found, strict=True)]
    for name in ("true_count", "matched_count", "true_split_count", "predicted_merger_count"):
        assert together.figures[name] == sum(one.figures[name] for one in apart)
    for name in ("iou", "boundary_mean_nm", "boundary_p95_nm", "voxel_count"):
        joined = np.concatenate([one.true_objects[name] for one in apart])
        assert np.array_equal(together.true_objects[name], joined, equal_nan=True)
    # Equal labels of different images are different objects; the background is shared.
    table = pool([count_overlaps(a, b) for a, b in zip(truths, found, strict=True)])
    assert table.true.labels[0] == 0
    assert table.voxels.sum() == 3 * 60 * 70


def test_two_empty_volumes_agree() -> None:
    empty = np.zeros((2, 3, 4), np.uint32)
    figures = evaluate_labels(empty, empty, SPACING).figures
    assert figures["f1"] == figures["panoptic_quality"] == figures["mean_average_precision"] == 1.0
    assert np.isnan(figures["boundary_mean_nm"])
    assert evaluate_labels(empty, empty + 1, SPACING).figures["panoptic_quality"] == 0.0


def test_unequal_shapes_floats_and_bad_spacing_are_refused() -> None:
    labels = np.ones((2, 3, 4), np.uint32)
    with pytest.raises(ShapeMismatchError, match=r"\(2, 3, 4\) and prediction \(2, 3, 5\)"):
        evaluate_labels(labels, np.ones((2, 3, 5), np.uint32), SPACING)
    with pytest.raises(ParameterError, match="prediction holds float64"):
        evaluate_labels(labels, np.ones((2, 3, 4)), SPACING)
    with pytest.raises(ParameterError, match="three positive sizes"):
        evaluate_labels(labels, labels, (50.0, 0.0, 10.0))
    with pytest.raises(ParameterError, match="no section"):
        evaluate_sections([], [], SPACING)


def test_adapted_rand_error_and_cremi_score_of_a_halved_object() -> None:
    truth, predicted = np.ones((2, 10, 10), np.uint32), np.ones((2, 10, 10), np.uint32)
    predicted[1] = 2
    table = count_overlaps(truth, predicted)
    # All pairs of the prediction are right, and 2 * 100 * 99 of 200 * 199 true ones are found.
    recall = 2 * 100 * 99 / (200 * 199)
    expected = 1 - 2 * recall / (1 + recall)
    assert adapted_rand_error(table) == pytest.approx(expected)
    assert cremi_score(table) == pytest.approx(np.sqrt(1.0 * expected))


def test_adapted_rand_error_is_that_of_scikit_image() -> None:
    from skimage.metrics import adapted_rand_error as reference

    truth, predicted = np.random.default_rng(0).integers(0, 5, (2, 6, 7, 8)).astype(np.uint32)
    assert adapted_rand_error(count_overlaps(truth, predicted)) == pytest.approx(
        reference(truth, predicted)[0]
    )
