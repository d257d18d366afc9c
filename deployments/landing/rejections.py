"""``REJECTED.json``: why an acquisition is not processed, beside the results."""

from contextlib import suppress
from pathlib import Path

from deployments.landing.records import Rejection
from spherovem_core.store import Layout, read_json, write_json


def write_rejection(rejection: Rejection) -> None:
    """Write why, once; the same rejection is not written again."""
    path = Layout(Path(rejection.folder)).rejection
    document = {
        "name": rejection.name,
        "source": rejection.source,
        "error": rejection.error,
        "message": rejection.message,
        "reasons": reasons(rejection.message),
        "fingerprint": rejection.fingerprint,
        "rejected_at": rejection.rejected_at,
        "what_next": (
            "It is checked again when its content changes, or on demand: spherovem watch --retry NAME. "
            "This file goes when it is accepted."
        ),
    }
    if read_json(path) != document:
        write_json(path, document)


def clear_rejection(folder: Path, source: str) -> None:
    """Remove what was written about this source, and the folder if nothing else is in it."""
    path = Layout(folder).rejection
    document = read_json(path)
    if document is None or document.get("source") != source:
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def reasons(message: str) -> list[str]:
    """The problems that a message lists line by line, or the message as the only one."""
    listed = [line.removeprefix("  - ") for line in message.splitlines() if line.startswith("  - ")]
    return listed or [message]
