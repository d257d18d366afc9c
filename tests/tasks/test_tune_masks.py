"""Parameters of masks chosen by labels in 3D: the document beside the weights, written once."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from test_learn_merging import PARAMETERS, SHAPE, acquisition, columns

from spherovem_core.store import read_json
from tasks import tune_masks

CHOSEN = {"probability_threshold": 0.0, "flow_smoothing": 0.0, "min_pixels": 20}


def test_document_lies_beside_the_weights_and_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = acquisition(tmp_path)
    _, y, x = np.indices(SHAPE)
    bodies = columns()
    bodies[(y % 16 == 0) | (y % 16 == 15) | (x % 16 == 0) | (x % 16 == 15) | (x >= 48)] = 0
    tifffile.imwrite(tmp_path / "bodies.tif", bodies)
    folders = folders.model_copy(update={"labels_3d": tmp_path / "bodies.tif"})
    tuned = tune_masks.tune_masks_of.fn(folders, PARAMETERS, CHOSEN)
    assert tuned["objects"] == (6, 6)
    # The network was trained on other scenes: one extra object in each half counts 12 of 13.
    assert min(half["f1"] for half in tuned["choice"]) == 1.0
    assert min(half["f1"] for half in tuned["stated"]) > 0.9
    monkeypatch.setattr(tune_masks, "tune_masks", None)
    known = tune_masks.tune_masks_of.fn(folders, PARAMETERS, CHOSEN)
    assert known == read_json(folders.out / "masks.json")
    assert known["values"] == tuned["values"]
    # A training without the labels leaves nothing of what they chose.
    for _ in range(2):
        tune_masks.forget_masks(folders)
        assert not (folders.out / "masks.json").exists()
