"""Fine-tuning from the command line to weights that load: files, artifacts, repeated runs and refused input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fine_tuning_scenes import labels_at, write_labelled_slices, write_labels
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from deployments.command_line.main import main
from flows.finetune_segmentation import finetune_segmentation
from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.references import FineTuningFolders
from spherovem_core.segmentation import Grid, load_network, network_digest
from spherovem_core.segmentation.fine_tuning import find_finished
from spherovem_core.segmentation.fine_tuning.slice_files import read_slice
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale, slice_shards
from spherovem_core.synthetic.phantom import make_phantom

pytestmark = pytest.mark.usefixtures("prefect_server")

QUICK: dict[str, Any] = {
    "network": "phantom-compact",
    "epochs": 3,
    "batch_size": 2,
    "crop_px": 64,
    "learning_rate": 2e-3,
    "probability_threshold": 0.0,
    "flow_smoothing": 1.0,
}
OPTIONS = [part for name, value in QUICK.items() for part in (f"--{name.replace('_', '-')}", str(value))]
ONE_THREAD = ExecutionSettings(device="cpu", workers=1)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    write_labelled_slices(folder, per_plane=3, side_px=96)
    return folder


@pytest.fixture(scope="module")
def trained(slices: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Path:
    out = tmp_path_factory.mktemp("networks") / "cells of phantoms"
    assert main(["finetune", str(slices), str(out), *OPTIONS, "--device", "cpu", "--workers", "1"]) == 0
    return out


def manifest_of(out: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


def test_weights_are_a_network_by_their_path(trained: Path) -> None:
    manifest = manifest_of(trained)
    weights = trained / "weights.pt"
    assert network_digest(str(weights), "cells") == manifest["weights_digest"]
    tuned, shipped = (load_network(name, "cells", "cpu") for name in (str(weights), "phantom-compact"))
    tile = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(tuned(tile)[0], shipped(tile)[0], atol=0.1)


def test_the_manifest_names_the_origin_of_the_weights(trained: Path, slices: Path) -> None:
    from spherovem_core.utils.digests import file_digest

    manifest = manifest_of(trained)
    assert manifest["base_network"] == {
        "name": "phantom-compact",
        "digest": network_digest("phantom-compact", "cells"),
    }
    assert {name: manifest["parameters"][name] for name in QUICK} == QUICK
    described = manifest["training"] + manifest["choice"] + manifest["held_out"]
    assert len(described) == 9
    for one in described:
        assert one["image_digest"] == file_digest(slices / f"{one['name']}.tif")
        assert one["labels_digest"] == file_digest(slices / "labels" / f"{one['name']}-cells.tif")
    assert sorted(one["plane"] for one in manifest["held_out"]) == ["xy", "xz", "yz"]
    assert manifest["packages"]["cellpose"]


def test_scores_losses_and_pictures_are_there(trained: Path) -> None:
    manifest = manifest_of(trained)
    evaluation = json.loads((trained / "evaluation.json").read_text())
    for when in ("before", "after"):
        assert evaluation[when]["figures"] == manifest[f"figures_{when}"]
    assert evaluation["after"]["figures"]["true_count"] > 10
    # The contrast is inverted; even a short training finds more.
    assert manifest["figures_after"]["f1"] > manifest["figures_before"]["f1"]
    losses = pd.read_parquet(trained / "losses.parquet")
    assert losses["epoch"].tolist() == [1, 2, 3]
    assert losses.notna().all(axis=None)
    chosen = manifest["chosen"]
    assert (
        chosen["f1"] >= losses["choice_f1"].max() == losses.set_index("epoch")["choice_f1"][chosen["epoch"]]
    )
    pictures = sorted(path.stem for path in (trained / "overlays").glob("*.png"))
    assert pictures == [one["name"] for one in manifest["held_out"]]


def test_losses_and_scores_reach_the_server_while_it_trains(trained: Path) -> None:
    with get_client(sync_client=True) as client:
        keys = [f"finetune-cells-of-phantoms-{name}" for name in ("training", "before", "after", "overlay-0")]
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)))
    assert {artifact.key for artifact in found} == set(keys)
    rows = sorted(len(json.loads(str(a.data))) for a in found if a.key == keys[0])
    assert rows == [1, 2, 3]


def test_an_unchanged_request_trains_nothing(trained: Path, slices: Path) -> None:
    before = manifest_of(trained)
    # As labels in 3D left it, which are not given any more.
    (trained / "masks.json").write_text('{"values": {"flow_smoothing": 3.0}}')
    again = finetune_segmentation(
        FineTuningFolders(slices=slices, out=trained), FineTuningParameters(**QUICK), ONE_THREAD
    )
    assert again == before == manifest_of(trained)
    assert not (trained / "masks.json").exists()


def test_damaged_weights_are_trained_again_to_the_same(slices: Path, tmp_path: Path) -> None:
    parameters = FineTuningParameters(**{**QUICK, "epochs": 1})
    first = finetune_segmentation(
        FineTuningFolders(slices=slices, out=tmp_path / "out"), parameters, ONE_THREAD
    )
    weights = tmp_path / "out" / "weights.pt"
    content = weights.read_bytes()
    weights.write_bytes(content[:5000])
    second = finetune_segmentation(
        FineTuningFolders(slices=slices, out=tmp_path / "out"), parameters, ONE_THREAD
    )
    assert second["finished"] >= first["finished"]
    assert second["figures_after"] == first["figures_after"]
    assert weights.read_bytes() == content


def test_a_killed_training_leaves_the_last_result_and_continues(slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quick = FineTuningParameters(**{**QUICK, "epochs": 1})
    before = finetune_segmentation(FineTuningFolders(slices=slices, out=out), quick, ONE_THREAD)
    code = (
        "import sys; from spherovem_core.execution import ExecutionSettings\n"
        "from spherovem_core.parameters import FineTuningParameters; from tasks.finetune import finetune\n"
        "from spherovem_core.references import FineTuningFolders\n"
        "folders = FineTuningFolders(slices=sys.argv[1], out=sys.argv[2])\n"
        "finetune.fn(folders, FineTuningParameters.model_validate_json(sys.argv[3]),"
        " ExecutionSettings(device='cpu', workers=1))"
    )
    longer = FineTuningParameters(**{**QUICK, "epochs": 8})
    victim = subprocess.Popen([sys.executable, "-c", code, str(slices), str(out), longer.model_dump_json()])
    deadline = time.monotonic() + 120
    while not list(out.glob(".spherovem/training-*")) and time.monotonic() < deadline:
        assert victim.poll() is None
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert find_finished(out, before["fingerprint"]) == before
    again = finetune_segmentation(FineTuningFolders(slices=slices, out=out), longer, ONE_THREAD)
    assert again["fingerprint"] != before["fingerprint"]
    assert find_finished(out, again["fingerprint"]) == again
    assert not list(out.glob(".spherovem/*training-*"))
    whole = finetune_segmentation(
        FineTuningFolders(slices=slices, out=tmp_path / "whole"), longer, ONE_THREAD
    )
    assert whole["weights_digest"] == again["weights_digest"]
    assert whole["chosen"] == again["chosen"]


def test_a_kind_of_any_name_is_learnt(
    slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "slices"
    shutil.copytree(slices, folder)
    for path in (folder / "labels").iterdir():
        path.rename(path.with_name(path.name.replace("-cells", "-mitochondria")))
    out = tmp_path / "out"
    command = ["finetune", str(folder), str(out), *OPTIONS, "--epochs", "1", "--kind", "mitochondria"]
    assert main([*command, "--device", "cpu", "--workers", "1"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "chosen or confirmed by 1 other slice, on which F1 is" in printed
    assert f"--set segmentation.cells.network={out / 'weights.pt'}" in printed
    assert "--set segmentation.cells.flow_smoothing=1 --set segmentation.cells.min_diameter_um=" in printed


def test_slices_that_cannot_be_used_end_in_one_line(
    slices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: object) -> str:
        assert main(["finetune", *map(str, arguments)]) == code
        error = capsys.readouterr().err
        assert error.startswith("spherovem: ")
        assert error.count("\n") == 1
        return error

    out, code = tmp_path / "out", 1
    assert "is not a folder" in refused(tmp_path / "absent", out, *OPTIONS)
    assert "labels are missing" in refused(slices, out, *OPTIONS, "--kind", "nuclei")
    assert "/absent.pt do not exist" in refused(slices, out, *OPTIONS, "--network", "/absent.pt")
    assert "cuda:99 cannot be used" in refused(slices, out, *OPTIONS, "--device", "cuda:99")
    code = 2
    assert "--epochs: input should be greater" in refused(slices, out, "--epochs", 0)
    assert "--crop-px: input should be a multiple of 16" in refused(slices, out, "--crop-px", 100)
    assert not out.exists()


def test_slices_cut_from_an_acquisition_can_be_labelled_and_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom = make_phantom(
        shape=(40, 160, 160), spacing_nm=(120.0, 50.0, 50.0), seed=32, cell_diameter_um=2.5,
        jitter_shift_px=0, drift_shift_px=0, jitter_rotation_deg=0, jitter_scale=0,
    )  # fmt: skip
    folder = tmp_path / "spheroid 7"
    chunks, shards = slice_shards(phantom.image.shape)
    spec = ArraySpec(
        "registered", "image", phantom.image.shape, np.dtype("uint8"), chunks, shards, phantom.spacing_nm
    )
    writer = ArrayWriter(Layout(folder), spec, "digest")
    for block in slab_grid(phantom.image.shape, 1):
        writer.write(block, phantom.image[block.core])
    finish_multiscale(writer, Execution(), [])
    out = tmp_path / "slices"
    command = ["cut-slices", str(folder), str(out), "--slices-per-plane", "2", "--side-px", "64"]
    assert main(command) == 0
    assert "6 written, 0 existed" in capsys.readouterr().out
    names = sorted(path.name for path in out.glob("*.tif"))
    assert [name.split("-")[1] for name in names] == ["xy", "xy", "xz", "xz", "yz", "yz"]
    kept = out / names[0]
    changed = kept.stat().st_mtime_ns
    (out / names[1]).unlink()
    assert main(command) == 0
    assert "1 written, 5 existed" in capsys.readouterr().out
    assert sorted(path.name for path in out.glob("*.tif")) == names
    assert kept.stat().st_mtime_ns == changed
    grid = Grid(phantom.image.shape, phantom.spacing_nm)
    for name in names:
        image, origin = read_slice(out / name)
        assert origin is not None
        write_labels(out / name, labels_at(phantom.cells, grid, origin, image.shape))
    quick = FineTuningParameters(**{**QUICK, "epochs": 1})
    manifest = finetune_segmentation(
        FineTuningFolders(slices=out, out=tmp_path / "network"), quick, ONE_THREAD
    )
    # Slices are cut where their labels were looked up: the shipped network finds the cells of a phantom.
    assert manifest["figures_before"]["f1"] > 0.6


def test_cutting_from_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cut-slices", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "is not there; run the acquisition again" in capsys.readouterr().err
    assert main(["cut-slices", str(tmp_path), str(tmp_path / "out"), "--side-px", "3"]) == 2


def test_the_form_shows_descriptions_and_bounds() -> None:
    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(finetune_segmentation.fn)
    assert schema.required == ["folders"]
    assert "NAME.tif" in schema.definitions["FineTuningFolders"]["properties"]["slices"]["description"]
    epochs = schema.definitions["FineTuningParameters"]["properties"]["epochs"]
    assert epochs["description"]
    assert (epochs["anyOf"][0]["minimum"], epochs["default"]) == (1, "auto")
