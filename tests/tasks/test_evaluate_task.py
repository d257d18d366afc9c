"""Evaluation in a flow: its files, and its figures on the Prefect server."""

import json
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.evaluate_segmentation import evaluate_segmentation
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison

pytestmark = pytest.mark.usefixtures("prefect_server")


def bars(length: int) -> np.ndarray:
    labels = np.zeros((4, 20, 30), np.uint8)
    labels[:, 2:8, :20] = 1
    labels[:, 12:18, :length] = 2
    return labels


def compared(folder: Path, out: str) -> Comparison:
    return Comparison(
        predicted=str(folder / "found.npy"),
        truth=str(folder / "truth.npy"),
        out=folder / out,
        spacing_nm=(50.0, 10.0, 10.0),
    )


def test_figures_are_written_and_shown_as_artifacts(tmp_path: Path) -> None:
    np.save(tmp_path / "truth.npy", bars(20))
    found_bars = bars(16)
    found_bars[0, 12:18, :2] = 1
    np.save(tmp_path / "found.npy", found_bars)
    figures = evaluate_segmentation(
        compared(tmp_path, "scores of bars"),
        EvaluationParameters(match_iou=0.75),
        ExecutionSettings(workers=2),
    )
    assert figures["f1"] == 1.0
    assert figures["mean_matched_iou"] == pytest.approx((480 / 492 + 372 / 480) / 2)
    assert json.loads((tmp_path / "scores of bars" / "evaluation.json").read_text())["figures"] == figures
    with get_client(sync_client=True) as client:
        keys = [f"evaluation-scores-of-bars{part}" for part in ("", "-sizes", "-thresholds", "-worst-errors")]
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)))
    data = {artifact.key: str(artifact.data) for artifact in found}
    assert sorted(data) == keys
    assert "panoptic_quality" in data[keys[0]]


def test_bad_input_fails_without_a_result(tmp_path: Path) -> None:
    np.save(tmp_path / "truth.npy", bars(20))
    np.save(tmp_path / "found.npy", bars(20)[:2])
    with pytest.raises(ShapeMismatchError):
        evaluate_segmentation(compared(tmp_path, "out"))
    assert not (tmp_path / "out" / "evaluation.json").exists()
