"""A folder for all temporary files of one test session, so that it leaves none behind, and the processes that it leaves."""

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

LONGEST = 40
"""Longest path of the folder in which it is made: sockets below it have at most 107 characters in all."""

KEPT = "keep"
ENDING_S = 15.0


def use_own_folder() -> Path | None:
    """Make the folder, for this process and all that it starts. Workers of parallel tests have that of their session.

    Returns
    -------
    Path or None
        The folder; None in a worker. It is removed at exit, unless it holds a file of the name `KEPT`.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return None
    place = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="sv-", dir=place if len(place) <= LONGEST else "/tmp"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    # Forked children inherit the call.
    if os.getpid() == owner and not (folder / KEPT).exists():
        shutil.rmtree(folder, ignore_errors=True)


def left_processes(folder: Path) -> list[str]:
    """Name the processes that were started with the folder and outlived their parent; those that are ending have 15 s."""
    deadline = time.monotonic() + ENDING_S
    while (found := _orphans(str(folder))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _orphans(folder: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            theirs = process.environ().get("TMPDIR", "")
            is_ours = theirs == folder or theirs.startswith(f"{folder}/")
            if is_ours and os.getpid() not in {process.pid, *(each.pid for each in process.parents())}:
                found.append(f"{process.pid}: {' '.join(process.cmdline())[:150]}")
    return found
