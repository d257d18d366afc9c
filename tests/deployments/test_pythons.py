"""Other Pythons than that of this environment: their packages install, and tests that need no torch pass."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from foreign_environments import CONSTRAINTS, unavailable

ROOT = Path(__file__).parents[2]
OLDEST, NEWEST = 11, 14
OWN = sys.version_info.minor
# torch and what needs it take most of the disk and of the time, and are the same code in every Python.
LEFT_OUT = ("torch", "torchvision", "cellpose", "careamics", "segment-anything")
WITHOUT_TORCH = (
    "tests/core/test_blocks.py",
    "tests/core/test_shape_analytic.py",
    "tests/core/test_store_arrays.py",
    "tests/deployments/test_settings.py",
    "tests/tasks/test_digests.py",
)


@cache
def interpreter(minor: int) -> Path | None:
    """Find a Python 3 of this minor version: in PATH, in pyenv, or installed by uv."""
    name = f"python3.{minor}"
    candidates = [shutil.which(name), *Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/{name}")]
    uv = Path("~/.local/share/uv/python").expanduser()
    candidates += uv.glob(f"cpython-3.{minor}.*/bin/{name}")
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", "import sys, venv; print(sys.version_info.minor)"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.stdout.strip() == str(minor):
            return Path(candidate)
    return None


def others() -> list[object]:
    """Return the other versions: the newest one that is here belongs to the environment tests, the rest is slow."""
    minors = [minor for minor in range(NEWEST, OLDEST - 1, -1) if minor != OWN]
    found = [minor for minor in minors if interpreter(minor)]
    marks = {minor: pytest.mark.environment if minor in found[:1] else pytest.mark.slow for minor in minors}
    return [pytest.param(minor, marks=marks[minor], id=f"3.{minor}") for minor in minors]


@pytest.mark.parametrize("minor", others())
@pytest.mark.timeout(1800)
def test_another_python_installs_and_computes(minor: int, tmp_path: Path) -> None:
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} on this machine: install it, or run `uv python install 3.{minor}`")
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        unavailable("no uv beside this interpreter")
    overrides = tmp_path / "without-torch.txt"
    overrides.write_text("".join(f'{name} ; sys_platform == "never"\n' for name in LEFT_OUT))
    own = tmp_path / "venv" / "bin" / "python"
    project = ["-r", ROOT / "pyproject.toml", "--extra", "test", "-c", CONSTRAINTS, "--override", overrides]
    for command in (
        ["venv", "--quiet", "--python", python, tmp_path / "venv"],
        ["pip", "install", "--quiet", "--python", own, *project],
        ["pip", "check", "--quiet", "--python", own],
    ):
        done = subprocess.run([uv, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [own, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *WITHOUT_TORCH],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 200
