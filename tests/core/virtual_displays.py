"""A screen in memory, for tests of windows."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from foreign_environments import unavailable

PACKAGES = "xvfb libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxkbcommon-x11-0 libegl1 libgl1"
SCREEN = "1600x1000x24"


@contextmanager
def virtual_display() -> Iterator[dict[str, str]]:
    """Run Xvfb, and yield the variables of an environment in which Qt shows its windows there."""
    program = shutil.which("Xvfb")
    if program is None:
        unavailable(f"Xvfb is not installed: apt-get install {PACKAGES}")
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", SCREEN, "-nolisten", "tcp"]
    process = subprocess.Popen(
        command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as file:
            # Written when the screen is there; empty if the server ended.
            number = file.readline().strip()
        if not number:
            unavailable("Xvfb does not start")
        yield {**os.environ, "DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        process.terminate()
        process.wait(20)
