"""Commands of README and documentation, run in order on a tiny phantom, and snippets run on its results."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from pages import ROOT, Block, blocks, commands
from schema_checks import differences
from scipy import ndimage

from deployments.command_line.phantom_files import write_phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TINY = {
    "denoising": {
        "training_slices": 6,
        "validation_slices": 2,
        "patch_size": 32,
        "patches_per_slice": 8,
        "epochs": 1,
        "network_channels": 8,
        "batch_size": 8,
    },
    "segmentation": {"cells": {"flow_spacing_nm": 160.0}, "nuclei": {"flow_spacing_nm": 160.0}},
}
NOT_RUN = {
    "demo": "takes minutes; the tests of the flow run it on a tiny phantom",
    "watch": "runs until stopped; has its own tests with a real server",
    "view": "serves until stopped; has its own tests",
    "setup": "needs a server; has its own tests with a real one",
    "up": "runs until stopped; has its own tests",
}
PAGES_IN_ORDER = (
    "docs/first-acquisition.md",
    "docs/choosing-parameters.md",
    "docs/results.md",
    "docs/fine-tuning.md",
    "README.md",
    "docs/operating.md",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with an acquisition, a parameters file that keeps runs small, and two label files."""
    folder = tmp_path_factory.mktemp("walk")
    write_phantom(
        folder / "spheroid-7",
        (),
        {"shape": (16, 120, 112), "spacing_nm": (120.0, 40.0, 40.0), "cell_diameter_um": 2.0, "seed": 3},
    )
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    labels = np.zeros((6, 40, 40), np.uint32)
    labels[1:5, 5:20, 5:20], labels[1:5, 25:35, 25:35] = 1, 2
    np.save(folder / "truth.npy", labels)
    np.save(folder / "predicted.npy", np.roll(labels, 1, axis=2))
    return folder


def substituted(word: str, place: Path) -> str:
    """Fill in a placeholder."""
    values = {
        "SOURCE": place / "spheroid-7",
        "DIR/NAME": place / "results" / "spheroid-7",
        "DIR": place / "results",
        "WEIGHTS": "phantom-compact",
        "FILE.yaml": place / "tiny.yaml",
        "PREDICTED": place / "predicted.npy",
        "TRUTH": place / "truth.npy",
        # Voxel size and region of the phantom.
        "50": "120",
        "10": "40",
        "100:132": "2:10",
        "2000:2512": "4:100",
    }
    return str(values.get(word, word))


def environment(place: Path) -> dict[str, str]:
    """Make an environment for small runs on one core with their own Prefect."""
    own = {
        "PREFECT_HOME": place / "prefect",
        "SPHEROVEM_PARAMETERS": place / "tiny.yaml",
        "SPHEROVEM_NETWORK": "phantom-compact",
        "SPHEROVEM_RESULTS_ROOT": place / "results",
        "SPHEROVEM_DEVICE": "cpu",
        "SPHEROVEM_WORKERS": 1,
    }
    return os.environ | {name: str(value) for name, value in own.items()}


def label_slices(place: Path) -> None:
    """Label slices, as a person does between cutting and training."""
    for path in (place / "slices").glob("*.tif"):
        image = ndimage.gaussian_filter(tifffile.imread(path).astype(float), 2)
        labels, _ = ndimage.label(image > np.median(image))
        target = path.parent / "labels" / f"{path.stem}-cells.tif"
        target.parent.mkdir(exist_ok=True)
        tifffile.imwrite(target, labels.astype(np.uint16))


AFTERWARDS: dict[str, Callable[[Path], None]] = {"cut-slices": label_slices}
# The pixels of the flows in TINY.
FLOWS = ("--flow-spacing-nm", "160")
# Extra options that shorten training from minutes to seconds.
SHORTER = {
    "finetune": ["--epochs", "1", "--learning-rate", "1e-3", "--batch-size", "1", *FLOWS],
    "cut-slices": ["--side-px", "128", *FLOWS],
}


def our_commands() -> list[tuple[Block, list[str]]]:
    found = [
        (block, words)
        for page in PAGES_IN_ORDER
        for block in blocks("bash", "console")
        if block.page == page
        for words in commands(block)
        if words[0].rpartition("/")[2] == "spherovem" and words[1] not in NOT_RUN
    ]
    # The weights of Cellpose-SAM are not available here, so that command is only parsed; so are those for serial sections and
    # for a truth in 3D, which this acquisition does not have.
    found = [(block, words) for block, words in found if not {"--planes", "--image"} & set(words)]
    return [(block, words) for block, words in found if words[1] != "finetune" or "phantom-compact" in words]


def test_commands_run_one_after_another(place: Path) -> None:
    spherovem = Path(sys.executable).with_name("spherovem")
    walked = our_commands()
    assert {"process", "inspect", "cut-slices", "finetune", "evaluate"} <= {words[1] for _, words in walked}
    for block, words in walked:
        given = [substituted(word, place) for word in words[1:]] + SHORTER.get(words[1], [])
        done = subprocess.run(
            [spherovem, *given], cwd=place, env=environment(place), text=True, capture_output=True
        )
        assert done.returncode == 0, f"{block}: {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        AFTERWARDS.get(words[1], lambda _: None)(place)
    # Lean storage discards these; runs with other parameters left history/, which is described.
    discarded = sorted(f"array {group}: not written" for group in ("denoised", "flows/cells", "flows/nuclei"))
    assert differences(place / "results" / "spheroid-7") == discarded
    assert any((place / "results" / "spheroid-7" / "history").iterdir())
    assert (place / "network" / "weights.pt").is_file()
    exported = {path.relative_to(place / "exported").as_posix() for path in (place / "exported").rglob("*.*")}
    assert {"tables/cells.csv", "tables/units.csv", "labels/cells.ome.tif"} <= exported


ON_RESULTS = [block for block in blocks("python") if "RESULTS" in block.text]
ON_ARRAYS = [block for block in blocks("python") if "RESULTS" not in block.text]


@pytest.mark.parametrize("block", ON_ARRAYS, ids=str)
def test_snippets_on_arrays_compile_and_import(block: Block) -> None:
    """The arrays are the reader's own; the functions run with examples of theirs in the quick tests."""
    tree = ast.parse(block.text)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    names: dict[str, Any] = {}
    exec(compile(ast.Module(imports, type_ignores=[]), str(block), "exec"), names)
    bound = {alias.asname or alias.name for node in imports for alias in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert bound <= used


@pytest.mark.parametrize("block", ON_RESULTS, ids=str)
def test_python_snippets_run_on_the_results(block: Block, place: Path) -> None:
    results = place / "results" / "spheroid-7"
    assert results.is_dir(), "the test of the commands must run before"
    code = re.sub(r"\bRESULTS\b", str(results), block.text)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
@pytest.mark.parametrize("block", blocks("r"), ids=str)
def test_r_snippets_run_on_the_results(block: Block, place: Path) -> None:
    code = re.sub(r"\bRESULTS\b", str(place / "results" / "spheroid-7"), block.text)
    done = subprocess.run(["Rscript", "-e", code], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
