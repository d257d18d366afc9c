"""The log of Prefect's embedded server, whose output would stand between the messages of a command."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
"""Size beyond which a log is set aside, as ``.1``, when a server starts."""
SHOWN_CHARACTERS, READ_BYTES = 300, 100_000
HEADING = " server of process "
FAILED = "Application startup failed"
ERROR = re.compile(r"[\w.]*(Error|Exception)\b")


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
        output.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')}{HEADING}{os.getpid()}\n".encode())
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
        self._output = output

    def Popen(self, *arguments: Any, env: dict[str, str] | None = None, **options: Any) -> Any:  # noqa: N802
        """Start a process that prints its warnings to the file, also where the console of the command is quiet."""
        told = {**(os.environ if env is None else env), "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
        start: Any = subprocess.Popen
        return start(*arguments, env=told, stdout=self._output, stderr=subprocess.STDOUT, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def last_words(log: Path) -> str:
    """Return the last error that the last server of a log printed, else its last line, shortened; empty where there is none."""
    said = _of_last_server(log)
    errors = [line for line in said if ERROR.match(line)]
    return (errors or said or [""])[-1][:SHOWN_CHARACTERS]


def has_failed(log: Path) -> bool:
    """Return whether the last server of a log gave up, with the exit code that Prefect takes for that of a port in use."""
    return any(FAILED in line for line in _of_last_server(log))


def _of_last_server(log: Path) -> list[str]:
    try:
        lines = log.read_bytes()[-READ_BYTES:].decode(errors="replace").splitlines()
    except OSError:
        return []
    headings = [number for number, line in enumerate(lines) if HEADING in line]
    own = lines[headings[-1] + 1 :] if headings else lines
    return [line.strip() for line in own if line.strip()]
