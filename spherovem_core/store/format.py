"""Version of the layout of a results folder, kept in its ``format.json``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spherovem_core.errors import FormatError
from spherovem_core.store.files import read_json, write_json
from spherovem_core.store.layout import Layout
from spherovem_core.store.markers import array_marker
from spherovem_core.store.tables import table_marker

FORMAT = 2
"""Version that this program reads and writes.

1 (spherovem 0.1 before the stages had one name each) has no ``format.json``.
"""
FILE = "format.json"
ARRAYS = ("*/0", "flows/*/0", "registered/labels/*/0")
"""Patterns of the arrays of a volume."""


def stored_format(folder: Path) -> int | None:
    """Return the version of a results folder; None where it holds no finished results yet.

    Raises
    ------
    FormatError
        If its ``format.json`` cannot be read.
    """
    layout = Layout(folder)
    if not folder.is_dir():
        return None
    if not layout.path(FILE).exists():
        return 1 if any(map(_is_of_format_1, _markers(layout))) else None
    document: dict[str, Any] | None = read_json(layout.path(FILE))
    version = None if document is None else document.get("format")
    if type(version) is not int or version < 1:
        raise FormatError(
            f'{layout.path(FILE)} cannot be read; expected {{"format": {FORMAT}}}: copy it from another results folder '
            "that the same version wrote"
        )
    return version


def check_format(folder: Path) -> None:
    """Refuse results that this program does not read.

    Raises
    ------
    FormatError
        If they are of a newer format, or of an older one that can be migrated.
    """
    version = stored_format(folder)
    if version is None or version == FORMAT:
        return
    if version > FORMAT:
        raise FormatError(
            f"{folder} holds results of format {version}, and this version of spherovem reads format {FORMAT}; "
            "install the version that wrote them, or a newer one"
        )
    raise FormatError(
        f"{folder} holds results of format {version}, and this version of spherovem reads format {FORMAT}; "
        f"run 'spherovem migrate {folder}' once: it keeps complete results"
    )


def _markers(layout: Layout) -> Iterator[Mapping[str, Any]]:
    """Yield the markers of the finished outputs in a folder."""
    for pattern in ARRAYS:
        yield from (array_marker(place) or {} for place in layout.volume.glob(pattern))
    yield from (table_marker(place) or {} for place in layout.tables.rglob("*.parquet"))
    yield read_json(layout.provenance) or {}


def _is_of_format_1(marker: Mapping[str, Any]) -> bool:
    """Return whether an output was written before history entries named their step."""
    history = marker.get("history") or [{"step": ""}]
    return "step" not in history[-1]


def mark_format(layout: Layout) -> None:
    """Write the version into a new results folder; an existing ``format.json`` stays."""
    if not layout.path(FILE).exists():
        write_json(layout.path(FILE), {"format": FORMAT})
