"""What a command shows, and how it ends when told to."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TextIO


class _StandardOutput(logging.StreamHandler[TextIO]):
    """Writes to whatever standard output is at the moment of writing."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


@contextmanager
def console() -> Iterator[None]:
    """Show the stages' log lines, and bars where standard output is a terminal.

    Without a terminal lines tell the progress, so that the log of a run can be read later. Warnings of libraries, which
    no operator can act on, are not shown.
    """
    logger = logging.getLogger("spherovem_core")
    handler, level = _StandardOutput(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), ExitStack() as shown:
            warnings.simplefilter("ignore")
            if is_terminal():
                shown.enter_context(_bars())
                handler.addFilter(_is_no_progress)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def is_terminal() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _bars() -> AbstractContextManager[None]:
    from deployments.command_line.progress_bars import ProgressBars
    from tasks.progress import shown_on

    return shown_on(ProgressBars())


def _is_no_progress(record: logging.LogRecord) -> bool:
    """Leave out the lines that repeat what a bar shows."""
    return not getattr(record, "progress", False)


@contextmanager
def ending_in_order() -> Iterator[threading.Event]:
    """Turn a termination signal into `KeyboardInterrupt`, so that an embedded Prefect server does not stay behind.

    The event tells whether this or Ctrl-C has happened: a library may make an exit of its own of the exception, as
    Lightning does while it trains.
    """
    told_to_end = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told_to_end
        return

    def stop(number: int, frame: object) -> None:
        told_to_end.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told_to_end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
