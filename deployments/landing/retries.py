"""Requests of an operator to process an acquisition again, as files that the watcher reads."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from deployments.landing.records import STATE_FOLDER, Records
from spherovem_core.errors import ParameterError
from spherovem_core.store import read_json, write_json


def request_retry(results_root: Path, name: str) -> None:
    """Request that an acquisition is checked again and, if valid, processed as a new attempt.

    Raises
    ------
    ParameterError
        If no acquisition of this name has landed.
    """
    names = sorted({record.name for record in Records(results_root)})
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"{len(names)} acquisitions are known"
        raise ParameterError(
            f"--retry {name!r}: no acquisition of this name has landed for the results root {results_root} ({hint})"
        )
    write_json(_folder(results_root) / f"{uuid4().hex}.json", {"name": name})


def pending_retries(results_root: Path) -> Iterable[tuple[str, Path]]:
    """List the requests: the acquisition's name, and the file to remove when the request is met."""
    for path in sorted(_folder(results_root).glob("*.json")):
        document = read_json(path) or {}
        yield str(document.get("name", "")), path


def _folder(results_root: Path) -> Path:
    return results_root / STATE_FOLDER / "retry"
