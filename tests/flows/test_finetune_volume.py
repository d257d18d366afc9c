"""Fine-tuning with the volume from which slices were cut: merging in 3D is learned, kept, and learned again after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fine_tuning_scenes import write_rods, write_volume

from deployments.command_line.main import main
from flows.finetune_segmentation import finetune_segmentation
from spherovem_core.errors import LabelsError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders
from spherovem_core.segmentation.fine_tuning import merging_training
from spherovem_core.segmentation.fine_tuning.slice_files import unknown_path
from spherovem_core.segmentation.merging_model import read_merging_model
from tasks import finetune, learn_merging

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

NM = 20.0
MODEL = "weights-merging.safetensors"
QUICK: dict[str, Any] = {
    "network": "phantom-compact",
    "flow_spacing_nm": NM,
    "epochs": 1,
    "batch_size": 2,
    "crop_px": 64,
    "learning_rate": 2e-3,
    "probability_threshold": 0.0,
    "flow_smoothing": 1.0,
    "min_pixels": 15,
}
ONE_THREAD = ExecutionSettings(device="cpu", workers=1)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a results folder with a registered image, and labelled slices of it in three planes."""
    return write_rods(tmp_path_factory.mktemp("volume"))


@pytest.fixture(scope="module")
def trained(
    cut: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, prefect_server: None
) -> Iterator[tuple[FineTuningFolders, dict[str, Any]]]:
    """Train and learn; the small volume shows fewer contacts than are asked for."""
    acquisition, slices = cut
    folders = FineTuningFolders(slices=slices, out=tmp_path_factory.mktemp("network"), volume=acquisition)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging_training, "LEAST_CONTACTS", 1)
        yield folders, finetune_segmentation(folders, FineTuningParameters(**QUICK), ONE_THREAD)


def test_the_model_lies_beside_the_weights_and_tells_its_origin(
    trained: tuple[FineTuningFolders, dict[str, Any]],
) -> None:
    folders, manifest = trained
    model, told = read_merging_model(folders.out / MODEL)
    assert told["fingerprint"] == manifest["merging"]["fingerprint"]
    assert told["slices"] == len(list(folders.slices.glob("*.tif")))
    assert (model.spacing_nm, model.percentiles) == (NM, (1.0, 99.0))
    assert 0 < told["different"] < told["contacts"]


def test_an_unchanged_request_learns_nothing(trained: tuple[FineTuningFolders, dict[str, Any]]) -> None:
    folders, manifest = trained
    before = (folders.out / MODEL).stat().st_mtime_ns
    again = finetune_segmentation(folders, FineTuningParameters(**QUICK), ONE_THREAD)
    assert again["merging"] == manifest["merging"]
    assert (folders.out / MODEL).stat().st_mtime_ns == before


def test_a_killed_run_learns_the_same_model(trained: tuple[FineTuningFolders, dict[str, Any]]) -> None:
    folders, manifest = trained
    content = (folders.out / MODEL).read_bytes()
    (folders.out / MODEL).unlink()
    code = (
        "import sys; from spherovem_core.execution import ExecutionSettings\n"
        "from spherovem_core.parameters import FineTuningParameters; from tasks.learn_merging import learn_merging_of\n"
        "from spherovem_core.references import FineTuningFolders\n"
        "print('ready', flush=True)\n"
        "learn_merging_of.fn(FineTuningFolders.model_validate_json(sys.argv[1]),"
        " FineTuningParameters.model_validate_json(sys.argv[2]), ExecutionSettings(device='cpu', workers=1))"
    )
    parameters = FineTuningParameters(**QUICK)
    victim = subprocess.Popen(
        [sys.executable, "-c", code, folders.model_dump_json(), parameters.model_dump_json()],
        stdout=subprocess.PIPE,
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    assert victim.poll() is None
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert not (folders.out / MODEL).exists()
    again = finetune_segmentation(folders, parameters, ONE_THREAD)
    assert again["merging"] == manifest["merging"]
    assert (folders.out / MODEL).read_bytes() == content


def test_few_contacts_leave_the_trained_network(
    cut: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition, slices = cut
    folders = FineTuningFolders(slices=slices, out=tmp_path / "network", volume=acquisition)
    monkeypatch.setattr(merging_training, "LEAST_CONTACTS", 10**6)
    kept = r"merging was not learned: .*label more slices.* The network is trained and kept in .*weights.pt"
    with pytest.raises(LabelsError, match=kept):
        finetune_segmentation(folders, FineTuningParameters(**QUICK), ONE_THREAD)
    monkeypatch.setattr(finetune, "train_with_scores", None)
    monkeypatch.setattr(merging_training, "LEAST_CONTACTS", 1)
    assert "merging" in finetune_segmentation(folders, FineTuningParameters(**QUICK), ONE_THREAD)


def test_painted_background_is_no_object_and_unknown_ones_are_left_out(
    cut: tuple[Path, Path], tmp_path: Path
) -> None:
    acquisition, slices = cut
    plain = FineTuningParameters(**QUICK)
    painted = plain.model_copy(update={"unlabelled": "unknown", "background_label": 205})
    first, second = (learn_merging._open(slices, acquisition, one) for one in (plain, painted))
    assert any((one.labels == 205).any() for one in first.slices)
    assert not any((one.labels == 205).any() for one in second.slices)
    mask = unknown_path(sorted(slices.glob("*-xy-*.tif"))[0], "cells")
    try:
        tifffile.imwrite(mask, np.pad(np.ones((10, 10), np.uint8), ((0, 70), (0, 86))))
        masked = learn_merging._open(slices, acquisition, plain)
    finally:
        mask.unlink()
    assert masked.digests != first.digests
    # The rod that the mask cuts is unknown as a whole.
    assert sum((one.labels == 1).sum() for one in masked.slices) < sum(
        (one.labels == 1).sum() for one in first.slices
    )


def test_what_cannot_be_learned_from_ends_before_the_training(
    cut: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acquisition, slices = cut
    arguments = [
        "finetune",
        str(slices),
        str(tmp_path / "out"),
        "--network",
        "phantom-compact",
        "--flow-spacing-nm",
        "20",
    ]

    def refused(*more: object) -> tuple[int, str]:
        code = main([*arguments, *map(str, more)])
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return code, error

    code, error = refused("--labels-3d", tmp_path / "box.tif")
    assert (code, "give it with --volume" in error) == (2, True)
    code, error = refused("--volume", acquisition, "--labels-3d", tmp_path / "box.tif")
    assert (code, "do not exist" in error) == (1, True)
    small = write_volume(tmp_path / "small", np.zeros((8, 40, 40), np.uint8))
    code, error = refused("--volume", small)
    assert (code, "it was cut from another volume" in error) == (1, True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(LabelsError, match="merging is learned in a volume"):
        learn_merging.learn_merging_of.fn(
            FineTuningFolders(slices=slices, out=tmp_path), FineTuningParameters(**QUICK), ONE_THREAD
        )
