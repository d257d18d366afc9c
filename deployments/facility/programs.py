"""Programs of a facility: Prefect server, watcher, one worker per GPU, one worker without."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from deployments.environment import DEFAULTS
from deployments.facility.children import Program
from deployments.facility.home import Access, FacilityHome
from deployments.settings import Settings

PREFECT = (sys.executable, "-m", "prefect")
SPHEROVEM = (sys.executable, "-m", "deployments.command_line")

PATHS = ("results_root", "parameters")

RUNS = {
    # The log of a worker tells what it does; the command line keeps to its own messages.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    "PREFECT_LOGGING_COLORS": "false",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PYTHONUNBUFFERED": "1",
}


def server_program(home: FacilityHome, access: Access) -> Program:
    """Return the Prefect server."""
    environment = {
        **_own_environment(),
        **access.client_environment(),
        **access.server_environment(),
        "PREFECT_HOME": str(home.folder / "server"),
        "TMPDIR": str(home.temporary),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.folder / "server" / "ui"),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    return Program("server", (*PREFECT, "server", "start"), environment)


def setup_program(home: FacilityHome, access: Access, settings: Settings) -> Program:
    """Return the set-up of the server."""
    return Program("setup", (*SPHEROVEM, "setup"), client_environment(home, access, settings))


def daily_programs(home: FacilityHome, access: Access, settings: Settings, gpus: int) -> list[Program]:
    """Return watcher and workers. Without a GPU one worker computes on the processor what the others would on theirs."""
    environment = client_environment(home, access, settings)
    host = socket.gethostname()
    programs = [Program("watcher", (*SPHEROVEM, "watch"), environment)]
    for gpu in range(gpus):
        programs.append(_worker(f"{host}-gpu{gpu}", settings.gpu_pool, 1, environment, str(gpu)))
    if not gpus:
        programs.append(_worker(f"{host}-no-gpu", settings.gpu_pool, 1, environment, ""))
    programs.append(_worker(f"{host}-cpu", settings.cpu_pool, 2, environment, ""))
    return programs


def client_environment(home: FacilityHome, access: Access, settings: Settings) -> dict[str, str]:
    """Return the environment of watcher, workers and set-up: the settings of this command, whatever file they came from."""
    return {
        **_own_environment(),
        **access.client_environment(),
        **settings_environment(settings),
        "PREFECT_HOME": str(home.folder / "client"),
        "TMPDIR": str(home.temporary),
    }


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return the settings that were set, as variables, with absolute paths: the processes work in another folder."""
    values = settings.model_dump(mode="json", include=settings.model_fields_set, exclude_none=True)
    found = {}
    for name, value in sorted(values.items()):
        if name in PATHS or (name == "network" and Path(value).exists()):
            value = str(Path(value).expanduser().absolute())
        found[f"SPHEROVEM_{name.upper()}"] = (
            json.dumps(value) if isinstance(value, list | dict) else str(value)
        )
    return found


def _own_environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API_")}
    return {**DEFAULTS, **own, **RUNS}


def _worker(name: str, pool: str, limit: int, environment: Mapping[str, str], devices: str) -> Program:
    arguments = (*PREFECT, "worker", "start", "--pool", pool, "--name", name, "--limit", str(limit))
    return Program(f"worker-{name}", arguments, {**environment, "CUDA_VISIBLE_DEVICES": devices})
