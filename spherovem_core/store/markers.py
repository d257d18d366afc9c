"""Markers of outputs and progress of unfinished arrays, read without opening an array."""

import fcntl
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spherovem_core.blocks import core_of_key
from spherovem_core.store.ledger import read_entries
from spherovem_core.store.nodes import ATTRIBUTE
from spherovem_core.store.reading import ARRAY_LEDGER

Marker = Mapping[str, Any]
"""Attributes of an output: ``fingerprint``, ``history``, and for an array whether it is ``complete``."""


def array_marker(folder: Path) -> Marker | None:
    """Return the marker of an array; None where it is absent or damaged."""
    try:
        found = json.loads((folder / "zarr.json").read_bytes())["attributes"][ATTRIBUTE]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def written_fraction(folder: Path) -> float | None:
    """Return the fraction of an unfinished array that its ledger lists; None where there is no unfinished array.

    Parameters
    ----------
    folder
        The array's folder, such as ``volume.zarr/raw/0``.
    """
    marker = array_marker(folder)
    if marker is None or marker.get("complete"):
        return None
    total = math.prod(marker["shape"])
    written = sum(_voxels(key) for key in read_entries(folder / ARRAY_LEDGER))
    return min(1.0, written / total) if total else 1.0


def lock_is_held(path: Path) -> bool:
    """Return whether another process holds a lock file; the file stays as it is."""
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


@contextmanager
def holding_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file until the context is left, or yield False where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
            return
        yield True


def _voxels(block: str) -> int:
    """Count the voxels of a block by its key, such as ``0:16,0:512,0:512``."""
    return math.prod(side.stop - side.start for side in core_of_key(block))
