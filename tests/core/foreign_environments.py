"""Environments of their own for programs whose packages are not in ours."""

import subprocess
import sys
from pathlib import Path

import pytest

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def make_environment(folder: Path, *packages: str) -> Path:
    """Interpreter of a new environment with packages from the index; the test is skipped where that cannot be made."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip(f"no uv beside this interpreter to make an environment for {', '.join(packages)}")
    python = folder / "bin" / "python"
    venv = [uv, "venv", "-q", "--allow-existing", "--python", sys.executable, folder]
    install = [uv, "pip", "install", "-q", "--python", python, "-c", CONSTRAINTS, *packages]
    for command in (venv, install):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{', '.join(packages)} cannot be installed here: {done.stderr.strip()[-300:]}")
    return python
