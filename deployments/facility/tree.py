"""The tree of processes of a facility, from the start of the server to the end of the last child."""

import logging
import subprocess
import threading
import time
from pathlib import Path

from deployments.facility.children import Child, Program
from deployments.facility.home import Access, FacilityError, FacilityHome
from deployments.facility.own_server import is_own_server
from deployments.facility.programs import daily_programs, server_program, setup_program
from deployments.settings import Settings

logger = logging.getLogger(__name__)

SERVER_TIMEOUT_S = 600.0
MAX_STARTS = 3
PAUSE_S = 0.5
END_S = 60.0
"""Longest time for a child to end: a worker reports the run that it ends."""


class ProcessTree:
    """Server, watcher and workers, kept running until `stopped` is set.

    Parameters
    ----------
    gpus
        Number of GPUs, each with a worker of its own.
    """

    def __init__(self, home: FacilityHome, access: Access, settings: Settings, gpus: int) -> None:
        self._home, self._access, self._settings = home, access, settings
        self._server = self._child(server_program(home, access))
        self._daily = [self._child(program) for program in daily_programs(home, access, settings, gpus)]

    def _child(self, program: Program) -> Child:
        return Child(program, self._home.logs, self._home.folder)

    @property
    def children(self) -> list[Child]:
        """All children, the server first."""
        return [self._server, *self._daily]

    def run(self, stopped: threading.Event) -> None:
        """Start everything, restart what dies, and end everything when `stopped` is set.

        Raises
        ------
        FacilityError
            If the server cannot be started or set up.
        """
        try:
            self._start_server(stopped)
            if not stopped.is_set():
                self._set_up(stopped)
                self._announce()
            while not stopped.wait(PAUSE_S):
                for child in self.children:
                    child.keep_running()
        finally:
            self._end()

    def _start_server(self, stopped: threading.Event) -> None:
        deadline = time.monotonic() + SERVER_TIMEOUT_S
        logger.info("starting the Prefect server at %s", self._access.address)
        while not stopped.is_set():
            self._server.keep_running()
            if is_own_server(self._access, self._home.access_file, self._server.pid):
                return
            if self._server.restarts >= MAX_STARTS or time.monotonic() > deadline:
                raise FacilityError(
                    f"the Prefect server does not start; the end of its log {self._server.log}:\n{self._server.last_lines()}"
                )
            stopped.wait(PAUSE_S)

    def _set_up(self, stopped: threading.Event) -> None:
        """Set the server up; again if the server died meanwhile, which is no fault of the set-up."""
        log = self._home.logs / "setup.log"
        while not stopped.is_set():
            starts = self._server.restarts
            if self._run_set_up(log, stopped) == 0 or stopped.is_set():
                return
            if self._server.pid is not None and self._server.restarts == starts:
                raise FacilityError(f"the set-up of the server failed; its log {log}:\n{_end_of(log)}")
            self._start_server(stopped)

    def _run_set_up(self, log: Path, stopped: threading.Event) -> int:
        """Run the set-up to its end, or until `stopped` is set; return its exit code."""
        program = setup_program(self._home, self._access, self._settings)
        with log.open("wb") as file:
            process = subprocess.Popen(
                list(program.arguments),
                env=dict(program.environment),
                cwd=self._home.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while process.poll() is None and not stopped.wait(PAUSE_S):
            self._server.keep_running()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def _announce(self) -> None:
        for child in self._daily:
            child.keep_running()
        logger.info("the facility is running: UI %s, logs %s", self._access.address, self._home.logs)

    def _end(self) -> None:
        """End watcher and workers at the same time, the server last: they report to it."""
        logger.info("ending; interrupted runs continue at the next start")
        threads = [threading.Thread(target=child.end, args=(END_S,)) for child in self._daily]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._server.end(END_S)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
