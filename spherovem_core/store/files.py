"""Small files, written whole or not at all."""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then move it into place; a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON document whole or not at all."""
    write_text(path, format_json(value))


def format_json(value: Mapping[str, Any]) -> str:
    """Format a JSON document as all documents are written."""
    return json.dumps(value, indent=2, sort_keys=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""

    def write(fresh: Path) -> None:
        fresh.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""

    def write(fresh: Path) -> None:
        fresh.write_bytes(content)

    write_atomically(path, write)


def bytes_in(folder: Path) -> int:
    """Count the bytes of the files in a folder, at any depth; 0 where it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON document; return None if there is no readable one."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
