"""The confidence of cells and nuclei: what lowers it, where it is unknown, and its place in the tables."""

import numpy as np
import pandas as pd
import pytest
from review_scenes import divided, merged, neighbours, tissue

from spherovem_core.output.object_confidence import with_confidence
from spherovem_core.review import examine_labels
from spherovem_core.review.confidence import (
    NO_FLOWS,
    TOO_SMALL,
    confidence_features,
    confidence_of,
    doubts_of,
)
from spherovem_core.review.confidence_weights import BIAS, WEIGHTS
from spherovem_core.review.features import usual_figures


def confidences(labels: np.ndarray) -> "pd.Series[float]":
    scene = tissue()
    examined = examine_labels([scene.level(labels)], flows=scene.flows)
    return examined.confidence("cells", has_flows=True).set_index("label")["confidence"]


def test_a_merged_object_is_less_sure() -> None:
    scene = tissue()
    labels, one = merged(scene)
    before, after = confidences(scene.cells), confidences(labels)
    assert after[one] < before[one] - 0.2
    assert after.idxmin() == one


def test_both_parts_of_a_divided_object_are_less_sure() -> None:
    scene = tissue()
    labels, parts = divided(scene, 0.5, (0.0, 1.0, 0.0))
    before, after = confidences(scene.cells), confidences(labels)
    assert all(after[part] < before[neighbours(scene)[0]] - 0.1 for part in parts)
    assert set(after.nsmallest(2).index) == set(parts)


def test_confidence_is_a_probability_of_every_label() -> None:
    scene = tissue()
    found = confidences(scene.cells)
    assert sorted(found.index) == sorted(set(np.unique(scene.cells)) - {0})
    assert found.between(0, 1).all()


def test_confidence_does_not_depend_on_the_numbers_of_labels() -> None:
    scene = tissue()
    shuffled = np.random.default_rng(0).permutation(int(scene.cells.max()) + 1) + 1
    renamed = shuffled[scene.cells].astype(np.uint32)
    renamed[scene.cells == 0] = 0
    before, after = confidences(scene.cells), confidences(renamed)
    assert after[shuffled[before.index]].to_numpy() == pytest.approx(before.to_numpy(), abs=1e-6)


def test_imported_labels_have_no_confidence_and_a_reason() -> None:
    scene = tissue()
    found = examine_labels([scene.level(scene.cells)]).confidence("cells", has_flows=False)
    assert found["confidence"].isna().all()
    assert set(found["confidence_note"]) == {NO_FLOWS}


def test_a_label_without_a_voxel_on_the_grid_has_a_reason() -> None:
    scene = tissue()
    examined = examine_labels([scene.level(scene.cells)], flows=scene.flows)
    hidden = examined.objects[0].label
    shown = type(examined)(examined.statistics, examined.objects[1:], examined.truncated, examined.finest)
    found = shown.confidence("cells", has_flows=True).set_index("label")
    assert np.isnan(found.loc[hidden, "confidence"])
    assert found.loc[hidden, "confidence_note"] == TOO_SMALL
    assert (found["confidence_note"].drop(hidden) == "").all()


def test_every_feature_has_a_weight() -> None:
    scene = tissue()
    examined = examine_labels([scene.level(scene.cells)], flows=scene.flows)
    usual = usual_figures(examined.objects, {})
    doubts = doubts_of(examined.objects, examined.truncated, usual)
    one = examined.objects[0]
    features = confidence_features(one, usual, doubts[one.label], 0.0)
    assert set(features) == set(WEIGHTS["cells"]) == set(WEIGHTS["nuclei"])
    assert confidence_of("cells", dict.fromkeys(features, 0.0)) == pytest.approx(
        1 / (1 + np.exp(-BIAS["cells"]))
    )


def test_empty_labels_have_an_empty_table() -> None:
    scene = tissue()
    examined = examine_labels([scene.level(np.zeros_like(scene.cells))], flows=scene.flows)
    assert examined.confidence("cells", has_flows=True).empty
    assert examined.suspects().empty


def test_the_final_table_has_both_columns_before_corrections() -> None:
    table = pd.DataFrame({"label": [3, 1, 2], "corrected": False, "excluded": False})
    confidence = pd.DataFrame({"label": [1, 3], "confidence": [0.9, np.nan], "confidence_note": ["", "why"]})
    found = with_confidence(table, confidence)
    assert list(found) == ["label", "confidence", "confidence_note", "corrected", "excluded"]
    assert found["confidence"].tolist()[1] == 0.9
    assert found["confidence_note"].tolist() == ["why", "", "not reviewed"]
    assert np.isnan(found["confidence"][[0, 2]]).all()
