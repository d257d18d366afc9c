"""What a command shows, and how it ends when told to."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Show the stages' log lines; warnings of libraries, which no operator can act on, are not shown."""
    logger = logging.getLogger("spherovem_core")
    handler, level = _StandardOutput(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Turn a termination signal into `KeyboardInterrupt`, so that an embedded Prefect server does not stay behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
