"""The commands of the guide to fine-tuning, in order, from slices of real tissue to evaluated labels in 3D."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from fine_tuning_scenes import labels_at
from pages import ROOT, blocks, commands
from scipy import ndimage

from spherovem_core.segmentation import Grid
from spherovem_core.segmentation.fine_tuning.slice_files import read_slice

DATA = ROOT.parent / "shared" / "data" / "fibsem_drosophila"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the FIB-SEM stack is not in {DATA}"),
]

NM, DEPTH, SIDE = 10.0, 48, 128
SHORT = {
    # The slices are aligned and clean.
    "process": ["--spacing-nm", "10", "10", "10", "--start-at", "segmentation", "--already", "aligned", "denoised",
                "--stop-after", "segmentation"],
    # The options that cut-slices prints, and a training of seconds.
    "finetune": ["--flow-spacing-nm", "10", "--epochs", "1", "--learning-rate", "1e-3", "--batch-size", "1",
                 "--crop-px", "64"],
    "cut-slices": ["--flow-spacing-nm", "10"],
    "evaluate": ["--boundary-error", "false"],
}  # fmt: skip
"""Options that the guide leaves to its reader."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write slices, their truth, and a part of it as labels in 3D."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "tissue").mkdir()
    for z, path in enumerate(sorted((DATA / "slices").glob("*.tif*"))[:DEPTH]):
        tifffile.imwrite(folder / "tissue" / f"slice_{z:03d}.tif", tifffile.imread(path)[:SIDE, :SIDE])
    with np.load(DATA / "bodies.npz") as arrays:
        truth = arrays["labels"][:DEPTH, :SIDE, :SIDE].astype(np.uint16)
    tifffile.imwrite(folder / "truth.tif", truth)
    box = np.zeros_like(truth)
    box[8:40, 10:74, 10:120] = truth[8:40, 10:74, 10:120]
    tifffile.imwrite(folder / "box.tif", box)
    parameters = {
        "segmentation": {
            "cells": {"flow_spacing_nm": NM, "mask_spacing_nm": NM, "min_diameter_um": 0.05},
            "nuclei": {"segmenter": "none"},
        }
    }
    (folder / "tissue.yaml").write_text(yaml.safe_dump(parameters))
    return folder


def filled_in(word: str, place: Path) -> str:
    values = {
        "DIR/NAME": "results/tissue", "SOURCE": "tissue", "DIR": "results", "TRUTH": "truth.tif", "BOX.tif": "box.tif",
        "PREDICTED": "results/tissue/volume.zarr/registered/labels/cells", "50": "10",
    }  # fmt: skip
    for name, value in values.items():
        word = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", value, word)
    return word


def run(place: Path, words: list[str]) -> str:
    own = {
        "PREFECT_HOME": place / "prefect", "SPHEROVEM_PARAMETERS": place / "tissue.yaml", "SPHEROVEM_DEVICE": "cpu",
        "SPHEROVEM_NETWORK": "em-compact", "SPHEROVEM_WORKERS": 1, "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": 600,
    }  # fmt: skip
    program = [sys.executable, "-m", "deployments.command_line", *words, *SHORT.get(words[0], [])]
    environment = os.environ | {name: str(value) for name, value in own.items()}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(program, cwd=place, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def label_slices(place: Path) -> None:
    """Label and save all slices, as a person does between cutting and training."""
    truth = tifffile.imread(place / "truth.tif")
    grid = Grid(truth.shape, (NM, NM, NM))
    for path in (place / "slices").glob("*.tif"):
        image, origin = read_slice(path)
        assert origin is not None
        labels = labels_at(truth, grid, origin, image.shape)
        pieces = np.zeros_like(labels)
        for label in np.unique(labels[labels > 0]):
            own, count = ndimage.label(labels == label)
            pieces[own > 0] = own[own > 0] + pieces.max()
            assert count
        tifffile.imwrite(path.parent / "labels" / f"{path.stem}-cells.tif", pieces)


def test_the_guide_leads_from_slices_to_evaluated_labels(place: Path) -> None:
    page = [block for block in blocks("bash") if block.page == "docs/fine-tuning.md"]
    # Serial sections have a folder of slices of their own.
    steps = [words[1:] for block in page for words in commands(block) if "--planes" not in words]
    names = [words[0] for words in steps]
    assert names == [
        "cut-slices",
        "finetune",
        "finetune",
        "finetune",
        "finetune",
        "process",
        "evaluate",
        "evaluate",
    ]
    # The guide begins where an acquisition was processed.
    run(place, ["process", "tissue", "--results-root", "results"])
    before = (
        place / "results" / "tissue" / "volume.zarr" / "flows" / "cells" / "0" / "zarr.json"
    ).read_text()
    printed = ""
    for words in steps:
        given = [filled_in(word, place) for word in words]
        if words[0] == "finetune" and "--network" not in words:
            # The weights of Cellpose-SAM are not here.
            given += ["--network", "em-compact"]
        if words[0] == "process":
            given += shlex.split(printed.split("use them with ")[1].replace("\n", " "))
        out = run(place, given)
        if words[0] == "finetune":
            printed = out
        if words[0] == "cut-slices":
            label_slices(place)
        if words[0] == "evaluate":
            evaluation = json.loads((place / "evaluation" / "evaluation.json").read_text())
            assert evaluation["figures"]["true_count"] > 20
            assert (
                sum(one["true_count"] for one in evaluation["sizes"]) == evaluation["figures"]["true_count"]
            )
    assert (place / "network" / "weights-merging.safetensors").is_file()
    masks = json.loads((place / "network" / "masks.json").read_text())
    assert len(masks["stated"]) == 2
    assert f"--set segmentation.cells.min_diameter_um={masks['values']['min_diameter_um']:g}" in printed
    after = (place / "results" / "tissue" / "volume.zarr" / "flows" / "cells" / "0" / "zarr.json").read_text()
    assert before != after
    assert (place / "evaluation" / "worst_errors.png").read_bytes().startswith(b"\x89PNG")
