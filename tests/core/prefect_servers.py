"""Prefect servers and workers as processes on loopback, each with its own home, ended by process id."""

import atexit
import itertools
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import psutil

PREFECT = str(Path(sys.executable).with_name("prefect"))
MARK = "STARTED_BY_TEST"

COMMON = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "spherovem_core,tasks,flows,deployments",
    "PYTHONSAFEPATH": "1",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONUNBUFFERED": "1",
}
SERVER_ONLY = {
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
}


FIRST_PORT = 10_000
PORTS_PER_WORKER = 1000
# A random start keeps apart two pytest processes on one machine.
_port_numbers = itertools.count(random.SystemRandom().randrange(PORTS_PER_WORKER))
_empty_database: list[Path] = []


class Process:
    """Process in its own session, with its output in a file."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.arguments = list(arguments)
        self.log = log
        self.environment = {**environment, MARK: uuid4().hex}
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started yet"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        assert not self.running, f"{self.arguments} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.arguments,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def wait(self, timeout_s: float) -> int:
        """Wait for the end and return the exit code."""
        assert self._process is not None, "not started yet"
        return self._process.wait(timeout_s)

    def stop(self, timeout_s: float = 30.0) -> None:
        """End it by SIGTERM; after `timeout_s` kill the remaining processes."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.wait(timeout_s)
        self.kill_session()

    def kill(self) -> None:
        """Kill only the process, as a crash or the kernel would; its children live on."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait(30)

    def kill_session(self) -> None:
        """Kill the process and everything that it started, flow runs included."""
        if self._process is None:
            return
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(30)

    def family(self) -> list[psutil.Process]:
        """List the process and its descendants that still run, also those with another parent now.

        Flow runs have their own sessions, so an inherited environment variable identifies descendants.
        """
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.environment[MARK]:
                    found.append(process)
        return found


class PrefectServer(Process):
    """Prefect server that may be killed and started again on its port and database."""

    def __init__(
        self,
        home: Path,
        database_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        with_ui: bool = False,
    ) -> None:
        self.home = home
        self._database = home / "prefect.db" if database_url is None else None
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.address}/api"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **clean_environment(),
            **COMMON,
            **SERVER_ONLY,
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_UI_ENABLED": str(with_ui).lower(),
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_UI_API_URL": self.url,
            "PREFECT_UI_URL": self.address,
            **(settings or {}),
        }
        password = environment.get("PREFECT_SERVER_API_AUTH_STRING")
        self.access = {} if password is None else {"PREFECT_API_AUTH_STRING": password}
        if database_url is not None:
            environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database_url
        super().__init__([PREFECT, "server", "start"], home / "server.log", environment, home)

    def start(self, timeout_s: float = 180.0) -> None:
        """Start it and wait until it answers."""
        if self._database is not None:
            use_empty_database(self._database)
        super().start()
        deadline = time.monotonic() + timeout_s
        while not self.healthy():
            assert self.running, f"the server ended while starting:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"no answer in {timeout_s} s:\n{self.output[-3000:]}"
            time.sleep(0.25)
        if self._database is not None:
            keep_empty_database(self._database)

    def healthy(self) -> bool:
        """Return whether it answers."""
        try:
            with urlopen(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def client_environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a client process: a worker, the watcher, the prefect command."""
        home = self.home / "client"
        home.mkdir(exist_ok=True)
        return {
            **clean_environment(),
            **COMMON,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            **self.access,
            **settings,
        }

    def command(
        self, *arguments: str, folder: Path | None = None, check: bool = True, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the prefect command against this server."""
        return run_command(
            [PREFECT, *arguments], self.client_environment(**settings), folder or self.home, check=check
        )

    def worker(self, pool: str, name: str, limit: int | None = None, **settings: str) -> Process:
        """Prepare a process worker for an existing pool without starting it."""
        arguments = [PREFECT, "worker", "start", "--pool", pool, "--name", name]
        if limit is not None:
            arguments += ["--limit", str(limit)]
        folder = self.home / "workers" / name
        folder.mkdir(parents=True, exist_ok=True)
        return Process(arguments, folder / "worker.log", self.client_environment(**settings), folder)


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command; a failure shows its output."""
    done = subprocess.run(
        arguments, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


@contextmanager
def running_server(home: Path, **options: Any) -> Iterator[PrefectServer]:
    """Run a server; options are those of `PrefectServer`."""
    server = PrefectServer(home, **options)
    try:
        server.start()
        yield server
    finally:
        server.kill_session()


@contextmanager
def running_worker(
    server: PrefectServer, pool: str, name: str = "worker", limit: int | None = None, **settings: str
) -> Iterator[Process]:
    """Run a process worker for a pool, which is made if it does not exist; end it with all that it started."""
    server.command("work-pool", "create", pool, "--type", "process", "--overwrite")
    worker = server.worker(pool, name, limit, **settings)
    try:
        worker.start()
        yield worker
    finally:
        worker.stop()


@contextmanager
def connected(server: PrefectServer) -> Iterator[None]:
    """Direct clients of this process to the server."""
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_HOME,
        temporary_settings,
    )

    home = server.home / "client"
    home.mkdir(exist_ok=True)
    settings = {PREFECT_API_URL: server.url, PREFECT_HOME: home}
    if server.access:
        settings[PREFECT_API_AUTH_STRING] = server.access["PREFECT_API_AUTH_STRING"]
    with temporary_settings(settings):
        yield


def use_empty_database(path: Path) -> None:
    """Copy the database with the tables of an earlier server; making them takes 12 s of processor time."""
    if _empty_database and not path.exists():
        shutil.copyfile(_empty_database[0], path)


def keep_empty_database(path: Path) -> None:
    """Keep a copy of the database of the first server for later ones."""
    if _empty_database:
        return
    folder = Path(tempfile.mkdtemp(prefix="spherovem-prefect-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source, copy = sqlite3.connect(path), sqlite3.connect(folder / path.name)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    _empty_database.append(folder / path.name)


def free_port() -> int:
    """Return a port of the loopback device that is free and that no other caller gets.

    Between the choice and the server's bind another process could take the port. So each pytest-xdist worker has a range
    of its own, below the ports that the kernel gives to outgoing connections (from 32768), and takes every port once.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + PORTS_PER_WORKER * (worker % 20)
    ports = (first + number % PORTS_PER_WORKER for number in _port_numbers)
    return next(filter(_is_free, ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def clean_environment() -> dict[str, str]:
    """Return this process's environment without the variables of Prefect and spherovem."""
    # A server imports for 8 s with bytecode and for 13 s without: the first one writes it.
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "SPHEROVEM_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
