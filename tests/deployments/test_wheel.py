"""The wheel carries all data files, and works in an empty environment outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from tiny_pipeline import PHANTOM, TINY

ROOT = Path(__file__).parents[2]
PACKAGES = ("deployments", "flows", "spherovem_core", "tasks")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "prefect.yaml")
NOT_SHIPPED = {"deployments/README.md"}
TINY_DEMO = """
import json, sys
from pathlib import Path
from deployments.environment import prepare_environment
prepare_environment()
from deployments.command_line.demo_run import run_demo
from spherovem_core.synthetic.phantom import PhantomParameters
phantom, overrides = json.loads(sys.argv[1])
run_demo(Path("results"), "tiny", {"device": "cpu"}, PhantomParameters.model_validate(phantom), overrides)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: a `build` folder in the checkout could add files that no longer exist."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in SOURCES:
        shutil.copy(ROOT / name, source / name)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source)], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an empty environment that sees our installed packages, but not our checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    packages = run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder
    ).strip()
    # A folder that is named in a .pth file is no site folder: the .pth file of the editable checkout in it has no effect.
    (Path(packages) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)], folder)
    return folder / "venv" / "bin"


def run(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a command outside the checkout, and return its output."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "SPHEROVEM_", "PYTHON"))
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=inherited | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert archive.read("deployments/server/prefect.yaml") == (ROOT / "prefect.yaml").read_bytes()
    assert names == expected - NOT_SHIPPED


def test_the_program_runs_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    assert "Usage: spherovem COMMAND" in run([str(environment / "spherovem"), "--help"], tmp_path)
    code = (
        "import deployments, flows, tasks, spherovem_core as core; print(deployments.__file__, core.__file__)"
    )
    shown = run([str(environment / "python"), "-c", code], tmp_path).split()
    assert all(Path(path).is_relative_to(environment.parent) for path in shown), shown


def test_setup_registers_the_deployments_of_the_wheel(
    environment: Path, tmp_path: Path, prefect_server: None
) -> None:
    variables = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_HOME": str(tmp_path / "prefect")}
    pools = {"SPHEROVEM_GPU_POOL": "wheel gpu", "SPHEROVEM_CPU_POOL": "wheel cpu"}
    printed = run([str(environment / "spherovem"), "setup"], tmp_path, variables | pools)
    registered = [line.split()[1] for line in printed.splitlines() if line.startswith("deployment ")]
    assert sorted(registered) == [
        "correct-labels/correct-labels",
        "finetune-segmentation/finetune-segmentation",
        "process-acquisition/ad-hoc",
        "process-acquisition/on-landing",
        "process-backlog/backlog",
        "scan-landing/scan-landing",
    ]


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    """The scene is tiny, and the Prefect server is the run's own, as in ``spherovem demo``."""
    scene = json.dumps([PHANTOM.model_dump(mode="json"), TINY])
    printed = run(
        [str(environment / "python"), "-c", TINY_DEMO, scene],
        tmp_path,
        {"PREFECT_HOME": str(tmp_path / "prefect")},
    )
    assert "measured against the truth" in printed
    assert (tmp_path / "results" / "tiny" / "report.html").is_file()
