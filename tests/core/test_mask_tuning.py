"""Parameters of masks chosen by labels in 3D."""

import numpy as np
import pytest

from spherovem_core.errors import LabelsError
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation.boosted_trees import NO_TREES
from spherovem_core.segmentation.fine_tuning import mask_tuning
from spherovem_core.segmentation.fine_tuning.mask_tuning import MaskScore, halves_of, labelled_box, tune_masks
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging_model import MergingModel

SPACING = (20.0, 20.0, 20.0)
COUNT = 10
START = ObjectParameters(min_diameter_um=0.1, flow_smoothing=1.0, merge_boundary_strength=0.0).masks


def scene() -> tuple[MaskInputs, np.ndarray]:
    """Return ten bricks in a row along x, each of two halves in which flows converge, beside many specks."""
    shape = (20, 30, 18 * COUNT)
    truth, flows = np.zeros(shape, np.uint32), np.zeros((4, *shape), np.float16)
    flows[3] = -6
    for number in range(COUNT):
        for half in range(2):
            box = (slice(4, 16), slice(4, 16), slice(18 * number + 2 + 6 * half, 18 * number + 8 + 6 * half))
            truth[box] = number + 1
            away = (
                np.indices([s.stop - s.start for s in box]) - np.array([5.5, 5.5, 2.5])[:, None, None, None]
            )
            flows[(slice(0, 3), *box)] = -10 * away / np.maximum(np.linalg.norm(away, axis=0), 1)
            flows[(3, *box)] = 6
        # Specks of 7 x 7 x 7 voxels, 0.17 µm wide, that nobody has labelled.
        speck = (slice(6, 13), slice(20, 27), slice(18 * number + 4, 18 * number + 11))
        away = np.indices((7, 7, 7)) - 3.0
        flows[(slice(0, 3), *speck)] = -10 * away / np.maximum(np.linalg.norm(away, axis=0), 1)
        flows[(3, *speck)] = 6
    # A sheet behind the specks, so that they lie in the box; nothing finds it.
    truth[4:16, 28, 2:-2] = COUNT + 1
    grid = Grid(shape, SPACING)
    return MaskInputs(flows, grid, grid, np.full(shape, 100, np.uint8)), truth


def test_pieces_are_merged_and_specks_dropped_where_labels_say_so() -> None:
    inputs, truth = scene()
    tuned = tune_masks(inputs, truth, START, Execution("cpu"))
    assert tuned.values["merge_boundary_strength"] > 0
    assert tuned.values["min_diameter_um"] == 0.2
    # Before, one half of each brick matches it with an IoU of 0.5.
    assert tuned.choice[1].voi_bits < tuned.choice[0].voi_bits - 0.5
    # The other half decided nothing, and shows the same gain.
    assert tuned.stated[1].f1 > 0.85 > tuned.stated[0].f1
    assert tuned.objects == (6, 6)
    assert tuned.described()["stated"][1]["f1"] == tuned.stated[1].f1


def test_parameters_that_are_right_stay() -> None:
    inputs, truth = scene()
    right = START.model_copy(update={"merge_boundary_strength": 0.2, "min_diameter_um": 0.2})
    tuned = tune_masks(inputs, truth, right, Execution("cpu"))
    assert tuned.values == {
        "probability_threshold": 0.0, "flow_smoothing": 1.0, "merge_boundary_strength": 0.2, "min_diameter_um": 0.2,
    }  # fmt: skip
    assert tuned.choice[0] == tuned.choice[1]


def test_the_threshold_of_a_learned_model_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, truth = scene()
    asked = []

    def segment(inputs, start, values, execution, learned):  # type: ignore[no-untyped-def]
        asked.append(values)
        return truth if values["strongest"] == 0.6 else np.where(truth > 0, np.uint32(1), np.uint32(0))

    monkeypatch.setattr(mask_tuning, "_segment", segment)
    model = LearnedMerging(MergingModel(NO_TREES, NO_TREES, 0.5, 20.0, (1.0, 99.0)), (0.0, 1.0))
    tuned = tune_masks(inputs, truth, START, Execution("cpu"), model)
    assert tuned.values["strongest"] == 0.6
    assert "flow_smoothing" not in tuned.values
    assert tuned.stated[1] == MaskScore(1.0, 0.0)


def test_the_box_of_the_labels_is_halved_along_its_longest_side() -> None:
    truth = np.zeros((20, 30, 40), np.uint32)
    truth[3, 5, 7], truth[8, 24, 16] = 1, 2
    assert labelled_box(truth) == (slice(3, 9), slice(5, 25), slice(7, 17))
    assert halves_of(truth) == (
        (slice(3, 9), slice(5, 15), slice(7, 17)),
        (slice(3, 9), slice(15, 25), slice(7, 17)),
    )


def test_too_few_objects_are_refused() -> None:
    inputs, truth = scene()
    with pytest.raises(LabelsError, match="label a larger box"):
        tune_masks(inputs, np.where(truth < 6, truth, 0).astype(np.uint32), START, Execution("cpu"))
