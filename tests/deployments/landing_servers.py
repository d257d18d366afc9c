"""Watchers and workers of a real server, and acquisitions that land slowly."""

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
    """A watcher, not yet started."""
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
    """The watcher at work; ended in order afterwards."""
    process.start()
    try:
        yield process
    finally:
        process.stop()
    assert process.wait(1.0) == 0, process.output


def set_up(server: PrefectServer) -> None:
    """Pools, limits, automations and deployments, as an operator makes them."""
    run_command([*SPHEROVEM, "setup", "--gpus", "1"], server.client_environment(), server.home)


def copy_slowly(source: Path, target: Path, seconds: float) -> None:
    """Copy a folder file by file, each of them in two halves."""
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
    """Acquisitions that have a REJECTED.json, by name."""
    return sorted(path.parent.name for path in results_root.glob("*/REJECTED.json"))
