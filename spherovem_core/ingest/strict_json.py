"""JSON from strangers: read within bounds, and refused where it can be read in two ways."""

import json
import math
from pathlib import Path
from typing import Any

from spherovem_core.ingest import locations

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32


def read_strict_json(path: Path) -> Any:
    """Read a JSON document.

    Raises
    ------
    ValueError
        If it is no JSON, holds a key twice, a number that is not finite, more than 32 levels or more than 64 MiB.
    """
    size = locations.size_of(path)
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes, more than {MAX_BYTES}")
    try:
        content = json.loads(
            locations.read_range(path, 0, size).decode("utf-8-sig"),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_without_twins,
        )
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep") from None
    _check_depth(content)
    return content


def _refuse(constant: str) -> None:
    # Python reads NaN and Infinity, which are no JSON and cannot be written into the array's history.
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the entry {twin[:40]!r} is there twice")
    return content


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
