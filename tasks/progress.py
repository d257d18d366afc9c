"""Progress of a long stage: an artifact in the Prefect UI and lines in the log, off the computing threads."""

import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from spherovem_core.execution import Progress
from tasks.artifacts import attempt

logger = logging.getLogger("spherovem_core.stages")

UPDATE_S = 3.0
LOG_S = 30.0


@contextmanager
def report_progress(title: str, update_s: float = UPDATE_S) -> Iterator[Progress]:
    """Publish what the stage reports every few seconds, until the context is left.

    The stage's call only notes two numbers; a thread of its own talks to the server, so a slow
    server slows no block and a dead one fails no run. A stage shorter than `update_s` publishes nothing.
    """
    state = _Progress(title)
    stop = threading.Event()
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(state.publish_until, stop, update_s), daemon=True, name="progress"
    )
    thread.start()
    try:
        yield state.note
    finally:
        stop.set()
        thread.join()


class _Progress:
    def __init__(self, title: str) -> None:
        self._title = title
        self._latest: tuple[int, int] | None = None
        self._published: tuple[int, int] | None = None
        self._artifact: UUID | None = None
        self._logged = time.monotonic()

    def note(self, done: int, total: int) -> None:
        self._latest = done, total

    def publish_until(self, stop: threading.Event, update_s: float) -> None:
        while not stop.wait(update_s):
            self._publish()
        if self._artifact is not None:
            self._publish()

    def _publish(self) -> None:
        if self._latest is None or self._latest == self._published:
            return
        self._published = done, total = self._latest
        if time.monotonic() - self._logged >= LOG_S:
            self._logged = time.monotonic()
            logger.info("%s: %d of %d", self._title, done, total)
        attempt(self._send, 100.0 * done / max(total, 1))

    def _send(self, percent: float) -> None:
        from prefect import artifacts

        if self._artifact is None:
            made: Any = artifacts.create_progress_artifact(progress=percent, description=self._title)
            self._artifact = made
        else:
            artifacts.update_progress_artifact(self._artifact, progress=percent)
