"""Service units and their settings: valid for systemd, with programs, options and settings that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import prefect.settings
import pytest

from deployments.settings import Settings

DEPLOYMENTS = Path(__file__).parents[2] / "deployments" / "units"
UNITS = sorted((DEPLOYMENTS / "systemd").glob("*.service"))
INSTALLED = "/opt/spherovem/.venv/bin/"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    environment = Path(sys.executable).parent
    for unit in UNITS:
        name = unit.name.replace("@.", "@0.")
        (tmp_path / name).write_text(unit.read_text().replace(INSTALLED, f"{environment}/"))
    units = sorted(str(path) for path in tmp_path.glob("*.service"))
    assert len(units) == 4
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "spherovem" in line]
    assert (done.returncode, ours) == (0, [])


def test_systemd_refuses_a_damaged_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = tmp_path / "spherovem-watcher.service"
    text = (DEPLOYMENTS / "systemd" / "spherovem-watcher.service").read_text()
    unit.write_text(text.replace("Restart=always", "Restart=sometimes").replace(INSTALLED, "/nowhere/"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "sometimes" in done.stderr
    assert "/nowhere/spherovem" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_service_starts_a_program_with_options_that_exist(unit: Path) -> None:
    (command,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
    program, *words = command.split()
    assert program.startswith(INSTALLED)
    environment = Path(sys.executable).parent
    named = [word for word in words if not word.startswith(("-", "$", "%")) and not word.isdigit()]
    helped = subprocess.run(
        [environment / Path(program).name, *named, "--help"], capture_output=True, text=True, check=False
    )
    assert helped.returncode == 0, helped.stderr
    absent = [word for word in words if word.startswith("--") and word not in helped.stdout]
    assert absent == []


def test_the_settings_file_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOYMENTS / "systemd" / "spherovem.env").read_text()
    variables = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert "SPHEROVEM_NETWORK" in variables, "variables in comments were not read"
    for name, value in variables.items():
        if name.startswith("SPHEROVEM_"):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.landing_folders == (Path("/data/landing"),)
    assert settings.results_root == Path("/data/results")


@pytest.mark.parametrize(
    "file",
    [
        *UNITS,
        *(DEPLOYMENTS / name for name in ("systemd/spherovem.env", "slurm/worker.sbatch", "../README.md")),
    ],
    ids=lambda file: file.name,
)
def test_every_prefect_setting_exists(file: Path) -> None:
    assert not hasattr(prefect.settings, "PREFECT_SERVER_NO_SUCH_SETTING")
    names = set(re.findall(r"\bPREFECT_[A-Z_]+[A-Z]", file.read_text()))
    assert {name for name in names if not hasattr(prefect.settings, name)} == set()
