"""Notes in the results folder: the failure of the last run, and the rejection by the watcher."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from spherovem_core.errors import SpheroVemError
from spherovem_core.store.files import read_json, write_json
from spherovem_core.store.layout import Layout

LONGEST_ERROR = 4000


@dataclass(frozen=True)
class Failure:
    """Error that ended a run.

    Attributes
    ----------
    stage
        Title of the step, such as ``masks cells``.
    error
        The message, with the type of the error if it is not one of spherovem's.
    time
        Time in ISO 8601 with the offset from UTC.
    """

    stage: str
    error: str
    time: str


@contextmanager
def noting_failure(layout: Layout, stage: str) -> Iterator[None]:
    """Write a note of an error that leaves the context; remove the note of an earlier error if none does.

    A note that cannot be written is left out: the error itself matters more. The error gets a note of its step, such as
    ``step masks cells``.
    """
    try:
        yield
    except Exception as error:
        message = str(error) if isinstance(error, SpheroVemError) else f"{type(error).__name__}: {error}"
        failure = Failure(stage, message[:LONGEST_ERROR], time.strftime("%Y-%m-%dT%H:%M:%S%z"))
        with suppress(OSError):
            write_json(layout.failure, asdict(failure))
        error.add_note(f"step {stage}")
        raise
    with suppress(OSError):
        layout.failure.unlink(missing_ok=True)


def read_failure(layout: Layout) -> Failure | None:
    """Read the note of the last run's failure; return None if it did not fail."""
    document = read_json(layout.failure)
    if document is None:
        return None
    return Failure(*(str(document.get(name, "")) for name in ("stage", "error", "time")))


def read_rejection(layout: Layout) -> str | None:
    """Read the reason why the watcher rejected the acquisition; return None if it did not."""
    document = read_json(layout.rejection)
    if document is None:
        return "rejected, but its note cannot be read" if layout.rejection.exists() else None
    reasons = document.get("reasons", document.get("reason", document))
    return "; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
