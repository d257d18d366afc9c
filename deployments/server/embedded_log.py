"""The log of Prefect's embedded server, whose output would stand between the messages of a command."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
"""Size beyond which a log is set aside, as ``.1``, when a server starts."""
SHOWN_CHARACTERS = 300


def server_log(home: Path) -> Path:
    """Return the file that embedded servers of a ``PREFECT_HOME`` append their output to."""
    return home / "logs" / "embedded-server.log"


@contextmanager
def logging_output(server: Any, log: Path) -> Iterator[None]:
    """Append what a ``SubprocessASGIServer`` that starts in this context prints to a log.

    Prefect has no setting for it: its call of ``Popen`` gets the file, for this server alone.
    """
    import prefect.server.api.server

    module: Any = prefect.server.api.server
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > MAX_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab", buffering=0) as output:
        output.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} server of process {os.getpid()}\n".encode())
        start = server._run_uvicorn_command

        def start_into_log() -> Any:
            original = module.subprocess
            module.subprocess = _WithOutput(output)
            try:
                return start()
            finally:
                module.subprocess = original

        server._run_uvicorn_command = start_into_log
        try:
            yield
        finally:
            del server._run_uvicorn_command


class _WithOutput:
    """The module ``subprocess`` whose processes print to a file."""

    def __init__(self, output: Any) -> None:
        self.Popen = partial(subprocess.Popen, stdout=output, stderr=subprocess.STDOUT)

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def last_words(log: Path) -> str:
    """Return the last line of a log that is no heading, shortened; empty where there is none."""
    try:
        lines = log.read_bytes()[-20_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    last = said[-1] if said else ""
    return "" if " server of process " in last else last[:SHOWN_CHARACTERS]
