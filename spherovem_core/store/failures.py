"""Notes beside the results that an acquisition could not be processed, for whoever asks how far it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from spherovem_core.errors import SpheroVemError
from spherovem_core.store.layout import Layout
from spherovem_core.store.tables import read_json, write_json

LONGEST_ERROR = 4000


@dataclass(frozen=True)
class Failure:
    """Why a run ended.

    Attributes
    ----------
    stage
        Title of the stage, such as ``segment_masks cells``.
    error
        The message, with the error's type where it is not one of ours.
    time
        ISO 8601 with the offset from UTC.
    """

    stage: str
    error: str
    time: str


@contextmanager
def noting_failure(layout: Layout, stage: str) -> Iterator[None]:
    """Note an error that ends a stage, and forget the note of an earlier one once a stage has passed.

    A note that cannot be written is left out: the error itself matters more.
    """
    try:
        yield
    except Exception as error:
        message = str(error) if isinstance(error, SpheroVemError) else f"{type(error).__name__}: {error}"
        failure = Failure(stage, message[:LONGEST_ERROR], time.strftime("%Y-%m-%dT%H:%M:%S%z"))
        with suppress(OSError):
            write_json(layout.failure, asdict(failure))
        raise
    with suppress(OSError):
        layout.failure.unlink(missing_ok=True)


def read_failure(layout: Layout) -> Failure | None:
    """The note of the last run's failure, None where it did not fail."""
    document = read_json(layout.failure)
    if document is None:
        return None
    return Failure(*(str(document.get(name, "")) for name in ("stage", "error", "time")))


def read_rejection(layout: Layout) -> str | None:
    """Why the watcher rejected the acquisition, None where it did not."""
    document = read_json(layout.rejection)
    if document is None:
        return "rejected, but its note cannot be read" if layout.rejection.exists() else None
    reasons = document.get("reasons", document.get("reason", document))
    return "; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
