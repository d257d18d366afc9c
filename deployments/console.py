"""What a command shows: what the stages say, on standard output, and nothing else."""

import logging
import sys
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
