"""Tables, report and provenance of results that a run replaces, kept beside the new ones."""

import hashlib
import os
import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path

from spherovem_core.store.layout import Layout


def keep_in_history(layout: Layout) -> Path | None:
    """Copy tables, report and provenance of the last finished run into a folder of ``history``.

    The folder has the time of that run and a digest of its provenance in its name, so that a run which is repeated after a kill
    finds it: the first copy is the one that holds what belongs together.

    Returns
    -------
    Path or None
        The folder; None if no run was finished.
    """
    try:
        provenance = layout.provenance.read_bytes()
        finished = datetime.fromtimestamp(layout.provenance.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256(provenance).hexdigest()[:8]
    target = layout.history / f"{finished:%Y%m%dT%H%M%SZ}-{digest}"
    if any(layout.history.glob(f"*-{digest}")):
        return next(layout.history.glob(f"*-{digest}"))
    fresh = layout.scratch / f"history-{uuid.uuid4().hex}"
    try:
        _copy(layout, fresh)
        layout.history.mkdir(exist_ok=True)
        fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _copy(layout: Layout, target: Path) -> None:
    (target / layout.tables.name).mkdir(parents=True)
    files = [layout.provenance, layout.report]
    if layout.tables.is_dir():
        files += [path for path in layout.tables.iterdir() if path.is_file() and path.name[0] != "."]
    for path in files:
        if path.is_file():
            copy = target / path.relative_to(layout.folder)
            shutil.copy2(path, copy)
            with copy.open("rb") as file:
                os.fsync(file.fileno())
