"""``REJECTED.json``: the reasons why an acquisition is not processed, in its results folder."""

from contextlib import suppress
from pathlib import Path

from deployments.landing.records import Rejection
from spherovem_core.store import Layout, read_json, write_json


def write_rejection(rejection: Rejection) -> None:
    """Write the reasons, unless they are written already."""
    path = Layout(Path(rejection.folder)).rejection
    document = {
        "name": rejection.name,
        "source": rejection.source,
        "error": rejection.error,
        "message": rejection.message,
        "reasons": list_reasons(rejection.message),
        "fingerprint": rejection.fingerprint,
        "rejected_at": rejection.rejected_at,
        "what_next": (
            "It is checked again when its content changes, or on demand: spherovem watch --retry NAME. "
            "This file is removed when the acquisition is accepted."
        ),
    }
    if read_json(path) != document:
        write_json(path, document)


def clear_rejection(folder: Path, source: str) -> None:
    """Remove the ``REJECTED.json`` of this source, and the folder if it is empty then."""
    path = Layout(folder).rejection
    document = read_json(path)
    if document is None or document.get("source") != source:
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def list_reasons(message: str) -> list[str]:
    """Split a message into the problems that it lists line by line; a message without a list is one reason."""
    listed = [line.removeprefix("  - ") for line in message.splitlines() if line.startswith("  - ")]
    return listed or [message]
