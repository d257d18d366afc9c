"""A merging model beside the weights belongs to the masks, not to the flows."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spherovem_core.errors import NetworkError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.segmentation.boosted_trees import NO_TREES
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.merging_model import (
    MergingModel,
    merging_model_path,
    read_merging_model,
    write_merging_model,
)
from spherovem_core.segmentation.networks import weights_path
from spherovem_core.workflow import RunRequest

MODEL = MergingModel(NO_TREES, NO_TREES, 0.5, 20.0, (1.0, 99.0))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    shipped = weights_path("phantom-compact", "cells")
    assert shipped is not None
    return Path(shutil.copy(shipped, tmp_path / "weights.safetensors"))


def digests(weights: Path, tmp_path: Path, **values: object) -> tuple[dict[str, str], dict[str, str]]:
    cells = {"network": str(weights), **values}
    parameters = PipelineParameters.model_validate({"segmentation": {"cells": cells}})
    acquisition = Acquisition(name="one", source=tmp_path, results_root=tmp_path / "results")
    request = RunRequest(acquisition, parameters)
    flows, masks = (PIPELINE.step(name).external(request) for name in ("flows_cells", "masks_cells"))
    return dict(flows), dict(masks)


def test_learning_to_merge_computes_masks_again_and_flows_not(weights: Path, tmp_path: Path) -> None:
    flows, masks = digests(weights, tmp_path)
    assert masks == {}
    write_merging_model(merging_model_path(str(weights)), MODEL, {"fingerprint": "first"})
    first = digests(weights, tmp_path)
    write_merging_model(merging_model_path(str(weights)), MODEL, {"fingerprint": "second"})
    second = digests(weights, tmp_path)
    assert first[0] == second[0] == flows
    assert first[1]["merging"] != second[1]["merging"]


def test_a_model_that_is_not_used_changes_nothing(weights: Path, tmp_path: Path) -> None:
    write_merging_model(merging_model_path(str(weights)), MODEL, {})
    assert digests(weights, tmp_path, merging="boundary_strength")[1] == {}


def test_a_damaged_model_stops_a_run_before_it_starts(weights: Path, tmp_path: Path) -> None:
    merging_model_path(str(weights)).write_bytes(b"nothing")
    with pytest.raises(NetworkError, match="finetune --volume, or delete it"):
        digests(weights, tmp_path)
    assert digests(weights, tmp_path, merging="boundary_strength")[1] == {}


def test_a_model_knows_how_thick_sections_were_filtered(tmp_path: Path) -> None:
    grid = Grid((9, 30, 30), (200.0, 25.0, 25.0))
    for name, model, step in (("a", MODEL, 1.0), ("b", replace(MODEL, in_sections=True), 8.0)):
        write_merging_model(tmp_path / name, model, {})
        found = read_merging_model(tmp_path / name)[0]
        assert found.in_sections == model.in_sections
        assert found.step(grid) == step
