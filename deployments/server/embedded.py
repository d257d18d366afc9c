"""Prefect's embedded server, which runs as long as a command: started with a reason where it does not start.

Prefect itself waits for the whole start-up time, also for a server that has ended already, and then names no cause.
"""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from deployments.server.embedded_log import has_failed, last_words, logging_output, server_log
from spherovem_core.errors import SpheroVemError

PAUSE_S = 0.2
PORT_TAKEN = 3
"""Exit code for which Prefect itself tries another port."""


class EmbeddedServerError(SpheroVemError, RuntimeError):
    """An embedded server that does not start."""


def prepare_run() -> None:
    """Start the embedded server for the flows of this process, unless another server is configured.

    Processes of a killed command are ended with it.

    Raises
    ------
    EmbeddedServerError
        If the server cannot start: ``PREFECT_HOME`` cannot be written, it ended, or the machine is too busy.
    """
    from deployments.server.configured import server_is_configured
    from deployments.server.orphans import leave_no_orphans

    leave_no_orphans()
    if server_is_configured():
        return
    check_prefect_home()
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is None and settings.server.ephemeral.enabled:
        start_server(float(settings.server.ephemeral.startup_timeout_seconds))


def check_prefect_home() -> None:
    """Refuse a ``PREFECT_HOME`` in which the server could not keep its database.

    Raises
    ------
    EmbeddedServerError
        If it cannot be made or written.
    """
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"spherovem")
        database = home / "prefect.db"
        if database.exists() and not os.access(database, os.W_OK):
            raise PermissionError(None, "no permission to write", str(database))
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else home
        raise EmbeddedServerError(
            f"Prefect cannot write {place} ({error.strerror or error}); set PREFECT_HOME to a folder on a disk with free space "
            "that you may write, such as PREFECT_HOME=/tmp/prefect"
        ) from error


def start_server(timeout_s: float) -> None:
    """Start Prefect's embedded server and wait until it answers.

    Raises
    ------
    EmbeddedServerError
        If it ends, or does not answer in time.
    """
    from prefect.server.api.server import SubprocessASGIServer

    server: Any = SubprocessASGIServer()
    failed: list[Exception] = []

    def start() -> None:
        try:
            _start(server, timeout_s)
        except Exception as error:
            failed.append(error)

    log = server_log(prefect_home())
    # Prefect's own loop does not see that the server has ended; in a thread it can be left.
    thread = threading.Thread(target=start, daemon=True, name="start of the embedded server")
    with logging_output(server, log):
        thread.start()
        first: Any = None
        while thread.is_alive():
            thread.join(PAUSE_S)
            process = server.server_process
            first = first or process
            # Prefect has started it again. Other commands print to the same log.
            started_again = process is not first
            code = None if process is None else process.poll()
            if (code not in (None, PORT_TAKEN) or (started_again and has_failed(log))) and thread.is_alive():
                raise EmbeddedServerError(
                    f"Prefect's embedded server ended while it started{_said(log)}. Its database is in "
                    f"{prefect_home()}: free disk space, or set PREFECT_HOME to another folder; or start a server with "
                    "spherovem up, and set PREFECT_API_URL"
                )
    if failed:
        raise EmbeddedServerError(
            f"Prefect's embedded server did not answer in {timeout_s:g} s (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
            f"cores{_said(log)}). Try again when the machine is less busy, raise "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or use a server that runs already: set PREFECT_API_URL"
        ) from failed[0]


def _start(server: Any, timeout_s: float) -> None:
    """Start a server; where it is slow to answer, ask again for the rest of the time, as Prefect does not."""
    import httpx

    from deployments.server.answering import wait_for_answer

    end = time.monotonic() + timeout_s
    try:
        server.start(timeout_s)
    except (httpx.TimeoutException, httpx.ReadError, httpx.RemoteProtocolError, httpx.HTTPStatusError):
        wait_for_answer(server.api_url, end - time.monotonic())
        server.running = True


def _said(log: Path) -> str:
    """Describe where the messages of a server are, with the last one."""
    words = last_words(log)
    return f"; its messages are in {log}" + (f", the last one: {words}" if words else "")


def prefect_home() -> Path:
    """Return the folder of Prefect's database and settings."""
    from prefect.settings import get_current_settings

    return Path(get_current_settings().home)
