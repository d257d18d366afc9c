"""Guard that ends the processes of a killed command: the Prefect server that it started, and its worker processes.

As a script this module is the guard, a process in its own session. It waits until the command has ended or was killed,
and then ends every process that has the command's mark in its environment. It imports the standard library only.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

MARK = "ORPHANS_OF_SPHEROVEM"
GRACE_S = 5.0
PROCESSES = Path("/proc")

_guard: "subprocess.Popen[bytes] | None" = None


def leave_no_orphans() -> None:
    """Mark the processes that this process starts from now on, and start the guard that ends them.

    Without ``/proc`` (not on Linux) nothing is marked, and the server of a killed command stays.
    """
    global _guard
    if _guard is not None or not PROCESSES.is_dir():
        return
    mark = uuid.uuid4().hex
    _guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark],
        stdin=subprocess.PIPE,  # stays open as long as this process lives
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.environ[MARK] = mark


def guard(mark: str) -> None:
    """Wait for the end of standard input, then end the marked processes."""
    sys.stdin.buffer.read()
    _signal_all(mark, signal.SIGTERM)
    _wait_until(lambda: not marked_processes(mark), GRACE_S)
    _signal_all(mark, signal.SIGKILL)


def marked_processes(mark: str) -> list[int]:
    """List the processes that have the mark in their environment and have not ended."""
    entry = f"{MARK}={mark}".encode()
    found = []
    for folder in PROCESSES.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            # A zombie process has an empty environment.
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _signal_all(mark: str, number: int) -> None:
    for process in marked_processes(mark):
        try:
            os.kill(process, number)
        except OSError:
            continue


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.1)


if __name__ == "__main__":
    guard(sys.argv[1])
