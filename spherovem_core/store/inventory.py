"""The inventory of a volume: shapes, files, sizes and history of its arrays, without reading values."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.markers import written_fraction
from spherovem_core.store.nodes import ATTRIBUTE, METADATA
from spherovem_core.store.ome import multiscale_of, spacing_of_level
from spherovem_core.store.shards import PARTIAL

KEPT_ELSEWHERE = (
    *("history", "fingerprint", "complete", "shape", "dtype", "chunks", "shards", "codec"),
    *("content", "checksum", "levels"),
)


@dataclass(frozen=True)
class Level:
    """One array of a multiscale group.

    Attributes
    ----------
    chunks, shards
        Extents that are decoded at once, and extents of one file.
    codecs
        Codecs of the chunks, innermost last.
    files, missing_files
        Number of files that exist, and of files that are absent: a reader gets the fill value in their place.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    spacing_nm: SpacingNm | None
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    codecs: tuple[str, ...]
    files: int
    missing_files: int
    bytes_on_disk: int


@dataclass(frozen=True)
class ArrayInventory:
    """Inventory of a multiscale group, or of an array that is in none.

    Attributes
    ----------
    group
        Path inside the volume.
    state
        ``complete``, ``partial``, ``damaged`` (files of a complete array are gone), or ``foreign`` (not written by spherovem).
    fraction
        Fraction of a partial array that is written, 0 to 1; None for others.
    details
        Further values that the step kept with it, such as the source of the voxel size or the number of labels.
    """

    group: str
    state: str
    fraction: float | None
    fingerprint: str | None
    levels: tuple[Level, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def bytes_on_disk(self) -> int:
        """Size of all levels."""
        return sum(level.bytes_on_disk for level in self.levels)

    def document(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**asdict(self), "bytes_on_disk": self.bytes_on_disk}


def volume_inventory(folder: Path) -> list[ArrayInventory]:
    """Describe every array below a zarr group, or the one array that `folder` is, in the order of their paths.

    Raises
    ------
    IncompleteArtifactError
        If the folder is no zarr (version 3) group or array.
    """
    node = _read_node(folder)
    if node is None:
        raise IncompleteArtifactError(
            f"{folder} is no zarr group or array of version 3: it has no readable {METADATA}"
        )
    root = _volume_root(folder)
    if node["node_type"] == "array":
        return [_describe(root, folder, [folder])]
    found = []
    for group, places in itertools.groupby(
        sorted(_arrays_below(folder), key=_level_order), lambda p: p.parent
    ):
        levels = list(places)
        # A step describes its group last; until then, the levels of a group are known by their marker.
        if multiscale_of(_attributes(group)) or all(map(_marker, levels)):
            found.append(_describe(root, group, levels))
        else:
            found += [_describe(root, level, [level]) for level in levels]
    return found


def _read_node(folder: Path) -> dict[str, Any] | None:
    try:
        node = json.loads((folder / METADATA).read_bytes())
    except (OSError, ValueError):
        return None
    return node if isinstance(node, dict) and node.get("zarr_format") == 3 and "node_type" in node else None


def _arrays_below(folder: Path) -> Iterator[Path]:
    """Yield the arrays of a group and of its groups, without listing folders of chunks."""
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        node = _read_node(child)
        if node is not None and node["node_type"] == "array":
            yield child
        elif node is not None:
            yield from _arrays_below(child)


def _volume_root(folder: Path) -> Path:
    """Find the topmost zarr group that the folder is in."""
    root = folder
    while _read_node(root.parent) is not None:
        root = root.parent
    return root


def _level_order(place: Path) -> tuple[str, int, str]:
    return str(place.parent), int(place.name) if place.name.isdigit() else -1, place.name


def _describe(root: Path, named: Path, levels: Sequence[Path]) -> ArrayInventory:
    """Describe the levels of one multiscale image, or a single array."""
    found = tuple(_level(level) for level in levels)
    marker = _marker(levels[0])
    details = {key: value for key, value in marker.items() if key not in KEPT_ELSEWHERE}
    return ArrayInventory(
        named.relative_to(root).as_posix(),
        _state(marker, found),
        written_fraction(levels[0]),
        marker.get("fingerprint"),
        found,
        details,
        marker.get("history", ()),
    )


def _state(marker: Mapping[str, Any], levels: Sequence[Level]) -> str:
    if not marker:
        return "foreign"
    if not marker.get("complete"):
        return "partial"
    return "damaged" if any(level.missing_files for level in levels) else "complete"


def _marker(place: Path) -> Mapping[str, Any]:
    marker = _attributes(place).get(ATTRIBUTE, {})
    return marker if isinstance(marker, dict) else {}


def _attributes(folder: Path) -> dict[str, Any]:
    return dict((_read_node(folder) or {}).get("attributes") or {})


def _level(place: Path) -> Level:
    node = _read_node(place) or {}
    marker = _marker(place)
    files = tuple(node["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = node.get("codecs", [])
    sharding = next((codec["configuration"] for codec in codecs if codec["name"] == "sharding_indexed"), None)
    chunks = tuple(sharding["chunk_shape"]) if sharding else files
    sizes = [
        path.stat().st_size for path in (place / "c").rglob("*") if path.is_file() and path.suffix != PARTIAL
    ]
    shape = tuple(node["shape"])
    expected = math.prod(-(-n // side) for n, side in zip(shape, files, strict=True))
    spacing = marker.get("spacing_nm")
    return Level(
        place.name,
        shape,
        str(node["data_type"]),
        (spacing[0], spacing[1], spacing[2])
        if spacing
        else spacing_of_level(_attributes(place.parent), place.name),
        chunks,
        files,
        tuple(codec["name"] for codec in (sharding["codecs"] if sharding else codecs)),
        len(sizes),
        max(0, expected - len(sizes)),
        sum(sizes),
    )
