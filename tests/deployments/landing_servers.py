"""Watchers of a real server, and slow copies into a landing folder."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect_servers import PrefectServer, Process, run_command

SPHEROVEM = [sys.executable, "-m", "deployments.command_line"]


def watcher(
    server: PrefectServer, landing: Path, results_root: Path, log: Path, **settings: object
) -> Process:
    """Prepare a watcher process without starting it."""
    landing.mkdir(parents=True, exist_ok=True)
    chosen = {
        "landing_folders": landing,
        "results_root": results_root,
        "settle_seconds": 4,
        "scan_interval_seconds": 5,
        **settings,
    }
    variables = {f"SPHEROVEM_{name.upper()}": str(value) for name, value in chosen.items()}
    log.parent.mkdir(parents=True, exist_ok=True)
    return Process([*SPHEROVEM, "watch"], log, server.client_environment(**variables), log.parent)


@contextmanager
def watching(process: Process) -> Iterator[Process]:
    """Run a watcher process; end it with SIGTERM afterwards and expect exit code 0."""
    process.start()
    try:
        yield process
    finally:
        process.stop()
    assert process.wait(1.0) == 0, process.output


def set_up(server: PrefectServer) -> None:
    """Run ``spherovem setup`` as an operator does: pools, limits, automations, deployments."""
    run_command([*SPHEROVEM, "setup", "--gpus", "1"], server.client_environment(), server.home)


def copy_slowly(source: Path, target: Path, seconds: float) -> None:
    """Copy a folder file by file, each in two halves, over the given time."""
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(source.iterdir())
    pause = seconds / (2 * len(files))
    for path in files:
        content = path.read_bytes()
        with (target / path.name).open("wb") as file:
            for half in (content[: len(content) // 2], content[len(content) // 2 :]):
                file.write(half)
                file.flush()
                time.sleep(pause)


def rejected_names(results_root: Path) -> list[str]:
    """List the names of acquisitions that have a REJECTED.json."""
    return sorted(path.parent.name for path in results_root.glob("*/REJECTED.json"))
