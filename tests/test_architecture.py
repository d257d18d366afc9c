"""Layers of the code: what may import what."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spherovem_core", "tasks", "flows", "deployments")


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("module", "forbidden", "contract"),
    [
        ("spherovem_core/shape/measure.py", "import tasks.artifacts", "deployments -> flows -> tasks"),
        ("tasks/artifacts.py", "import flows.summary", "deployments -> flows -> tasks"),
        ("flows/summary.py", "import deployments.settings", "deployments -> flows -> tasks"),
        ("spherovem_core/shape/measure.py", "import prefect", "the core knows no Prefect"),
        ("spherovem_core/shape/measure.py", "import spherovem_core.spatial", "stages do not know each other"),
        ("spherovem_core/store/layout.py", "import spherovem_core.registry", "the core in layers"),
        ("spherovem_core/denoising/noise.py", "import spherovem_core.synthetic", "the core in layers"),
        ("deployments/settings.py", "import deployments.command_line.main", "no import cycles"),
    ],
)
def test_a_forbidden_import_is_refused(copy: Path, module: str, forbidden: str, contract: str) -> None:
    place = copy / module
    before = place.read_text()
    place.write_text(f"{before}\n{forbidden}\n")
    try:
        checked = lint(copy)
    finally:
        place.write_text(before)
    assert checked.returncode != 0
    broken = [line for line in checked.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), checked.stdout


def test_the_tree_keeps_its_layers(copy: Path) -> None:
    checked = lint(copy)
    assert checked.returncode == 0, checked.stdout
