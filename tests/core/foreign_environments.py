"""Programs that are not part of this project's environment: tests that need them fail or skip where they are absent."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
# Without the prefix SPHEROVEM_, under which the settings refuse a name that they do not know.
REQUIRED = {"CI": "true", "REQUIRE_ENVIRONMENTS": "1"}


def unavailable(reason: str) -> NoReturn:
    """Fail the test if foreign environments are required (in CI, or by ``REQUIRE_ENVIRONMENTS=1``), else skip it."""
    if any(os.environ.get(name) == value for name, value in REQUIRED.items()):
        pytest.fail(f"required, but absent: {reason}", pytrace=False)
    pytest.skip(reason)


def make_environment(folder: Path, *packages: str) -> Path:
    """Make a Python environment with packages from the index and return its interpreter."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        unavailable(f"no uv beside this interpreter to make an environment for {', '.join(packages)}")
    python = folder / "bin" / "python"
    venv = [uv, "venv", "-q", "--allow-existing", "--python", sys.executable, folder]
    install = [uv, "pip", "install", "-q", "--python", python, "-c", CONSTRAINTS, *packages]
    for command in (venv, install):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode:
            unavailable(f"{', '.join(packages)} cannot be installed here: {done.stderr.strip()[-300:]}")
    return python


def make_extension(folder: Path, *packages: str) -> Path:
    """Make an environment with packages beside everything that this interpreter has, and return its interpreter."""
    python = make_environment(folder, *packages)
    (site,) = folder.glob("lib/python*/site-packages")
    own = [sysconfig.get_paths()["purelib"], *(path for path in sys.path if path.endswith("tests/core"))]
    (site / "beside.pth").write_text("".join(f"{path}\n" for path in (*own, CONSTRAINTS.parent)))
    return python
