"""File locks that the kernel frees when their holder dies, for Prefect's serializable isolation and for runs without Prefect."""

import asyncio
import fcntl
import json
import logging
import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from spherovem_core.references import Acquisition

logger = logging.getLogger(__name__)

POLL_S = 0.2
LOG_AFTER_S = 5.0
"""Seconds of waiting after which the log names the holder."""

_changed = threading.Condition()
_held: dict[Path, tuple[str, IO[str] | None]] = {}


class FileLocks:
    """One lock per key, as a file in `folder` that its holder locks with ``fcntl.lockf``.

    The kernel frees such a lock when its process ends, also by a kill, and a forked child does not inherit it. It does not
    exclude threads of one process from each other; a table of this process's locks does that. Files stay after the
    release: if they were removed, two holders could lock two files of one name.

    It has the methods of Prefect's protocol `LockManager`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock, waiting at most `acquire_timeout` seconds (None: without limit); return whether it is held.

        `hold_timeout` is not supported: a lock lasts until it is released or its process ends.
        """
        if hold_timeout is not None:
            raise ValueError(
                f"hold_timeout {hold_timeout} is not supported; locks last until they are released"
            )
        deadline = None if acquire_timeout is None else time.monotonic() + acquire_timeout
        path = self._path(key)
        if self.is_lock_holder(key, holder):
            return True
        if not _reserve(path, holder, deadline):
            return False
        try:
            file = _lock_file(path, deadline)
        except BaseException:
            _drop(path)
            raise
        if file is None:
            _drop(path)
            return False
        with suppress(OSError):
            _write_holder(file, holder)
        with _changed:
            _held[path] = holder, file
        return True

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock in a thread."""
        return await asyncio.to_thread(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Release the lock.

        Raises
        ------
        ValueError
            If `holder` does not hold it.
        """
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} does not hold the lock {key}; only its holder can release it")
        _drop(self._path(key))

    def is_locked(self, key: str) -> bool:
        """Return whether any thread or process holds the lock."""
        return not self.wait_for_lock(key, timeout=0.0)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Return whether `holder` holds the lock."""
        with _changed:
            owner, file = _held.get(self._path(key), (None, None))
        return owner == holder and file is not None

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until nobody holds the lock; return False after `timeout` seconds."""
        probe = f"probe of thread {threading.get_ident()}"
        if not self.acquire_lock(key, probe, acquire_timeout=timeout):
            return False
        self.release_lock(key, probe)
        return True

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait for the lock in a thread."""
        return await asyncio.to_thread(self.wait_for_lock, key, timeout)

    def _path(self, key: str) -> Path:
        return self.folder.resolve() / f"{key}.lock"


def acquisition_locks(acquisition: Acquisition) -> FileLocks:
    """Return the locks beside the acquisition's results."""
    from spherovem_core.store import Layout

    return FileLocks(Layout(acquisition.folder.absolute()).scratch / "locks")


def _reserve(path: Path, holder: str, deadline: float | None) -> bool:
    """Reserve the file for one thread of this process; return False past the deadline."""
    with _changed:
        free = _changed.wait_for(
            lambda: path not in _held, None if deadline is None else max(0.0, deadline - time.monotonic())
        )
        if free:
            _held[path] = holder, None
        return free


def _drop(path: Path) -> None:
    with _changed:
        _, file = _held.pop(path)
        if file is not None:
            file.close()
        _changed.notify_all()


def _lock_file(path: Path, deadline: float | None) -> IO[str] | None:
    """Open and lock the file; return None past the deadline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    log_at = time.monotonic() + LOG_AFTER_S
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            now = time.monotonic()
        except BaseException:
            file.close()
            raise
        if deadline is not None and now >= deadline:
            file.close()
            return None
        if now >= log_at:
            log_at = float("inf")
            logger.info("waiting for another run that computes %s (%s)", path.stem, _read_holder(path))
        time.sleep(POLL_S)


def _write_holder(file: IO[str], holder: str) -> None:
    """Write the holder into the file, for a person who reads it."""
    file.truncate(0)
    json.dump({"host": platform.node(), "process": os.getpid(), "holder": holder}, file)
    file.flush()


def _read_holder(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "holder unknown"


def _forget_after_fork() -> None:
    """Clear the table in a forked child, which holds none of its parent's locks."""
    global _changed
    _changed = threading.Condition()
    _held.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
