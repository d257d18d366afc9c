"""Console output of a command: log lines of all packages, and bars on a terminal."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TextIO

from deployments.environment import LOGGERS


class _StandardOutput(logging.StreamHandler[TextIO]):
    """A handler that writes to the standard output of the moment."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


@contextmanager
def console() -> Iterator[None]:
    """Show the log lines of all packages, and bars where standard output is a terminal.

    Without a terminal, log lines tell the progress, so that the log of a run can be read later. Warnings of libraries
    are hidden, since no operator can act on them.
    """
    handler = _StandardOutput()
    with warnings.catch_warnings(), ExitStack() as shown:
        warnings.simplefilter("ignore")
        if is_terminal():
            shown.enter_context(_bars())
            handler.addFilter(_is_no_progress)
        for name in LOGGERS:
            shown.enter_context(_shown_by(handler, logging.getLogger(name)))
        yield


def is_terminal() -> bool:
    """Return whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def _shown_by(handler: logging.Handler, logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _bars() -> AbstractContextManager[None]:
    from deployments.command_line.progress_bars import ProgressBars
    from tasks.progress import shown_on

    return shown_on(ProgressBars())


def _is_no_progress(record: logging.LogRecord) -> bool:
    """Leave out the lines that repeat the figures of a bar."""
    return not getattr(record, "progress", False)
