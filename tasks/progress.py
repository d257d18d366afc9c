"""Progress of a long step: an artifact in the Prefect UI, lines in the log, bars on a terminal."""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import UUID

from spherovem_core.execution import Progress
from spherovem_core.utils.progress_rate import ProgressRate, describe_progress
from tasks.artifacts import publish

logger = logging.getLogger(__name__)

UPDATE_S = 3.0
LOG_S = 30.0
PROGRESS_RECORD = {"progress": True}
"""Mark of log records that a progress bar makes redundant."""

Latest = Callable[[], tuple[int, int] | None]


class ProgressDisplay(Protocol):
    """Display of running steps, which asks for their latest counts when it draws."""

    def begin(self, title: str, latest: Latest) -> None:
        """Show a step; `latest` returns the blocks done and their total, None before the first block."""

    def end(self, title: str) -> None:
        """Remove a step."""


_displays: list[ProgressDisplay] = []


@contextmanager
def shown_on(display: ProgressDisplay) -> Iterator[None]:
    """Show the steps of this process on a display while the context lasts."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)


@contextmanager
def report_progress(title: str, update_s: float = UPDATE_S) -> Iterator[Progress]:
    """Publish the progress of a step every `update_s` seconds until the context ends.

    The step's call only stores two numbers. A separate thread talks to the server, so a slow server delays no block and a
    dead one fails no run. A step shorter than `update_s` publishes nothing; a longer one is shown before its first part is done.
    """
    state = _Progress(title)
    stop = threading.Event()
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(state.publish_until, stop, update_s), daemon=True, name="progress"
    )
    displays = list(_displays)
    thread.start()
    try:
        for display in displays:
            display.begin(title, state.latest)
        yield state.note
    finally:
        for display in displays:
            display.end(title)
        stop.set()
        thread.join()


class _Progress:
    def __init__(self, title: str) -> None:
        self._title = title
        self._latest: tuple[int, int] | None = None
        self._published: tuple[int, int] | None = None
        self._artifact: UUID | None = None
        self._logged = time.monotonic()
        self._pace = ProgressRate()

    def note(self, done: int, total: int) -> None:
        self._latest = done, total

    def latest(self) -> tuple[int, int] | None:
        return self._latest

    def publish_until(self, stop: threading.Event, update_s: float) -> None:
        while not stop.wait(update_s):
            self._publish()
        if self._artifact is not None:
            self._publish()

    def _publish(self) -> None:
        if self._latest is None:
            if self._artifact is None:
                publish(self._send, 0.0, f"{self._title}: begun, no part done yet")
            return
        if self._latest == self._published:
            return
        self._published = done, total = self._latest
        self._pace.note(done, total, time.monotonic())
        if time.monotonic() - self._logged >= LOG_S:
            self._logged = time.monotonic()
            logger.info("%s: %s", self._title, describe_progress(self._pace), extra=PROGRESS_RECORD)
        publish(self._send, 100.0 * done / max(total, 1), f"{self._title}: {describe_progress(self._pace)}")

    def _send(self, percent: float, description: str) -> None:
        from prefect import artifacts

        if self._artifact is None:
            made: Any = artifacts.create_progress_artifact(progress=percent, description=description)
            self._artifact = made
        else:
            artifacts.update_progress_artifact(self._artifact, progress=percent, description=description)
