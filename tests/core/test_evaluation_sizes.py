import numpy as np
import pytest
from evaluation_scenes import SPACING, disturbed, patchwork
from pydantic import ValidationError

from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation import as_document, evaluate_labels

VOXEL_UM3 = 50 * 10 * 10 * 1e-9
PLAIN = EvaluationParameters(boundary_error=False, worst_errors=0)


def cubes(*sides: int) -> np.ndarray:
    """Return cubes of voxels in one row, of which each is an object."""
    labels = np.zeros((10, 10, 12 * len(sides)), np.uint32)
    for number, side in enumerate(sides):
        labels[:side, :side, 12 * number : 12 * number + side] = number + 1
    return labels


def test_objects_are_scored_in_the_class_of_their_volume() -> None:
    truth, found = cubes(2, 2, 4, 4, 8), cubes(2, 2, 4, 4, 8)
    found[found == 2] = 0
    # Half of the third object at exactly an IoU of 1/2 is found; the other half is a fragment.
    found[2:4][found[2:4] == 3] = 9
    found[:, 9, 50:60] = 7  # 100 invented voxels
    limits = [64 * VOXEL_UM3, 200 * VOXEL_UM3]
    evaluation = evaluate_labels(truth, found, SPACING, PLAIN.model_copy(update={"size_limits_um3": limits}))
    sizes = evaluation.sizes
    assert sizes["volume_low_um3"].tolist() == pytest.approx([0, *limits])
    assert sizes["true_count"].tolist() == [2, 2, 1]
    assert sizes["matched_count"].tolist() == [1, 2, 1]
    assert sizes["split_count"].tolist() == [0, 1, 0]
    assert sizes["missed_count"].tolist() == [1, 0, 0]
    # The fragment of 32 voxels has no partner among the small, the invented object none in the middle.
    assert sizes["unmatched_predicted_count"].tolist() == [1, 1, 0]
    assert sizes["recall"].tolist() == [0.5, 1, 1]
    assert sizes["precision"].tolist() == pytest.approx([0.5, 2 / 3, 1])
    assert sizes["f1"].tolist() == pytest.approx([0.5, 0.8, 1])


def test_classes_add_up_to_the_figures_of_all_objects() -> None:
    truth = patchwork(3)
    evaluation = evaluate_labels(truth, disturbed(truth, 4), SPACING, PLAIN)
    sizes, figures = evaluation.sizes, evaluation.figures
    assert len(sizes) == 4
    for name in ("true_count", "matched_count"):
        assert sizes[name].sum() == figures[name]
    assert (
        sizes["matched_count"].sum() + sizes["unmatched_predicted_count"].sum() == figures["predicted_count"]
    )
    assert sizes["true_count"].max() - sizes["true_count"].min() <= 2
    one = evaluate_labels(
        truth, disturbed(truth, 4), SPACING, PLAIN.model_copy(update={"size_limits_um3": [1e3]})
    )
    assert one.sizes["f1"][0] == pytest.approx(figures["f1"])
    assert np.isnan(one.sizes["recall"][1])
    assert as_document(one)["sizes"][1]["recall"] is None
    assert as_document(one)["sizes"][1]["volume_high_um3"] is None


def test_scaling_the_spacing_scales_the_limits() -> None:
    truth = patchwork(5)
    found = disturbed(truth, 6)
    small, large = (
        evaluate_labels(truth, found, tuple(factor * side for side in SPACING), PLAIN).sizes
        for factor in (1, 10)
    )
    assert (large["volume_low_um3"] / 1000).tolist() == pytest.approx(small["volume_low_um3"].tolist())
    assert large["f1"].tolist() == small["f1"].tolist()


def test_without_objects_there_is_one_class_without_scores() -> None:
    empty = np.zeros((2, 5, 5), np.uint8)
    sizes = evaluate_labels(empty, empty, SPACING, PLAIN).sizes
    assert sizes["true_count"].tolist() == [0]
    assert np.isnan(sizes["f1"][0])


@pytest.mark.parametrize("limits", [[0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [-1.0]])
def test_limits_that_do_not_rise_are_refused(limits: list[float]) -> None:
    with pytest.raises(ValidationError, match="each larger than the one before"):
        EvaluationParameters(size_limits_um3=limits)
