"""The processes that a command has started end when it is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.server.orphans import MARK, PROCESSES

pytestmark = pytest.mark.skipif(not PROCESSES.is_dir(), reason="the guard finds processes in /proc")

COMMAND = """
import subprocess, sys, time
from deployments.server.orphans import leave_no_orphans
before = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
leave_no_orphans()
leave_no_orphans()
ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(120)"
plain = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
deaf = subprocess.Popen([sys.executable, "-c", ignoring], stdout=subprocess.PIPE)
deaf.stdout.readline()
print(before.pid, plain.pid, deaf.pid, flush=True)
time.sleep(120)
"""


def is_running(process: int) -> bool:
    try:
        state = (PROCESSES / str(process) / "stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(process: int, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while is_running(process):
        assert time.monotonic() < end, f"process {process} is still there"
        time.sleep(0.05)


@pytest.fixture
def command() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start a command and its children: one from before the guard, one after it, one that ignores SIGTERM."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    children = [int(number) for number in process.stdout.readline().split()]
    yield process, children
    process.kill()
    for child in filter(is_running, children):
        os.kill(child, signal.SIGKILL)
    process.communicate()


def test_children_of_a_killed_command_end(
    command: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, (before, plain, deaf) = command
    process.kill()
    process.wait()
    wait_until_gone(plain)
    wait_until_gone(deaf)
    assert is_running(before)


def test_children_of_a_living_command_keep_running(command: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, children = command
    time.sleep(1)
    assert process.poll() is None
    assert all(map(is_running, children))


@pytest.mark.slow
def test_the_embedded_server_of_a_killed_run_ends(tmp_path: Path) -> None:
    """Kill the real command as soon as its server runs."""
    dropped = (MARK, "PREFECT_API_URL")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    arguments = ["demo", "--results-root", str(tmp_path), "--name", "killed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.command_line", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        server = None
        while server is None:
            assert process.poll() is None
            time.sleep(0.2)
            server = next(
                (child for child in children_of(process.pid) if "uvicorn" in command_line(child)), None
            )
        process.kill()
        process.wait()
        wait_until_gone(server)
    finally:
        process.kill()
        process.wait()


def children_of(process: int) -> list[int]:
    """Return the children of a process."""
    found = []
    for folder in PROCESSES.iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(folder.name))
    return found


def command_line(process: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    try:
        return (PROCESSES / str(process) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
