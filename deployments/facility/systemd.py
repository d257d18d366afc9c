"""systemd unit of a facility: ``spherovem up`` as a service of this user, which starts with the machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.facility.home import FacilityError, FacilityHome
from deployments.facility.programs import settings_environment
from deployments.private_files import PLAIN, write_private_variables
from deployments.settings import Settings

UNIT = "spherovem.service"

TEMPLATE = """\
# Written by spherovem up --systemd, which may be repeated.
[Unit]
Description=spherovem: Prefect server, watcher and workers
StartLimitIntervalSec=0

[Service]
EnvironmentFile={variables}
WorkingDirectory={home}
ExecStart={command}
Restart=always
RestartSec=10
# The facility ends its children in order; what is left is killed.
KillMode=mixed
TimeoutStopSec=150
# When a run is killed because memory is short, the others must survive to report it.
OOMPolicy=continue
NoNewPrivileges=true

[Install]
WantedBy=default.target
"""


def install_units(home: FacilityHome, settings: Settings, gpus: int, port: int | None) -> str:
    """Write the unit and its settings, start it, and return what was done and what is left to do.

    The settings are those of this call: variables, ``.env`` and options. Calling it again replaces them.
    """
    if os.geteuid() == 0:
        raise FacilityError(
            "--systemd makes a service of the user who runs it, and runs must not have the rights of root: "
            "run it as the user who owns the results; or install the units of deployments/units/systemd by hand"
        )
    variables = home.folder / "settings.env"
    write_private_variables(variables, settings_environment(settings))
    unit = units_folder() / UNIT
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(unit_text(home, variables, gpus, port))
    lines = [f"unit      {unit}", f"settings  {variables}"]
    commands = [
        ["systemctl", "--user", "daemon-reload"],
        ["systemctl", "--user", "enable", UNIT],
        # A service that runs already takes new settings only so.
        ["systemctl", "--user", "restart", UNIT],
        ["loginctl", "enable-linger"],
    ]
    left = _run_all(commands)
    if left:
        lines.append("to do     " + " && ".join(" ".join(command) for command in left))
    if len(left) < 2:  # without lingering it ends with the login
        lines.append(f"started   systemctl --user status {UNIT}; addresses and password: {home.access_file}")
    return "\n".join(lines)


def unit_text(home: FacilityHome, variables: Path, gpus: int, port: int | None) -> str:
    """Return the unit."""
    command = [
        str(Path(sys.executable).with_name("spherovem")),
        "up",
        "--home",
        str(home.folder),
        "--gpus",
        str(gpus),
    ]
    if port is not None:
        command += ["--port", str(port)]
    return TEMPLATE.format(
        variables=_escaped(variables), home=_escaped(home.folder), command=" ".join(map(_quoted, command))
    )


def units_folder() -> Path:
    """Return the folder of this user's units."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user"


def _run_all(commands: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Run commands until one fails; return those that are left to do."""
    for place, command in enumerate(commands):
        if shutil.which(command[0]) is None:
            return list(commands[place:])
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return list(commands[place:])
    return []


def _quoted(word: str) -> str:
    """Quote a word of a command line for systemd."""
    text = _escaped(word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$"))
    return text if PLAIN.fullmatch(word) else f'"{text}"'


def _escaped(text: str | Path) -> str:
    """Escape what systemd replaces in paths, too: with a % begins a name that it knows."""
    return str(text).replace("%", "%%")
