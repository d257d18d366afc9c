"""Processes that a test kills at a chosen moment, and what they wrote."""

import inspect
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spherovem_core.store.reading import ARRAY_LEDGER
from spherovem_core.store.shard_record import RECORD


def kill(
    target: Callable[..., None], *arguments: Any, reached: Callable[[], bool], seconds: float = 0.0
) -> None:
    """Start ``target(*arguments, begun)`` and kill it `seconds` after `reached` holds.

    The target sets the event `begun` when its imports are done.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([target.__module__])
    with pytest.MonkeyPatch.context() as patched:
        # The fork server of Python 3.11 imports by the environment's path, not by that of pytest.
        folders = {Path(__file__).parent, Path(inspect.getfile(target)).parent}
        path = [*map(str, sorted(folders)), *filter(None, [os.environ.get("PYTHONPATH")])]
        patched.setenv("PYTHONPATH", os.pathsep.join(path))
        begun = processes.Event()
        process = processes.Process(target=target, args=(*arguments, begun))
        process.start()
    assert begun.wait(180)
    while not reached() and process.is_alive():
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode == -9


def written_bytes(path: Path) -> bytes:
    """Read a file; of a record of files all but their times."""
    if path.name == RECORD:
        entries = np.load(path)
        return entries["size"].tobytes() + entries["xxh3"].tobytes()
    content = path.read_bytes()
    if path.name == ARRAY_LEDGER or "checksums" in path.parts:
        return re.sub(rb"(\d+) \d+ (xxh3:[0-9a-f]{32})", rb"\1 \2", content)
    return content
