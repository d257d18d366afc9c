"""The ``zarr.json`` of arrays, read as plain JSON: shape, files, and the marker that spherovem keeps in the attributes."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spherovem_core.references import canonical_json
from spherovem_core.store.checksums import new_checksum

METADATA = "zarr.json"
METADATA_OF_VERSION_2 = ".zarray"
ATTRIBUTE = "spherovem"
ESSENTIALS = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")
"""Fields on which the values of an array depend. Other programs may change the rest and add attributes of their own."""

Node = Mapping[str, Any]


def read_node(folder: Path) -> Node | None:
    """Read the metadata of a zarr array or group of version 3; None where they are absent or damaged."""
    try:
        node = json.loads((folder / METADATA).read_bytes())
    except (OSError, ValueError):
        return None
    return node if isinstance(node, dict) and node.get("zarr_format") == 3 and "node_type" in node else None


def is_own_volume(path: Path) -> bool:
    """Return whether spherovem wrote a zarr array, or the arrays of a group; their levels are marked, not the groups around."""
    files = (path / METADATA, *path.glob(f"*/{METADATA}"), *path.glob(f"*/*/{METADATA}"))
    return any(f'"{ATTRIBUTE}"' in file.read_text("utf-8", "replace") for file in files if file.is_file())


def is_array_folder(folder: Path) -> bool:
    """Return whether a folder holds the metadata of a zarr array, of whatever version or program."""
    return (folder / METADATA).exists() or (folder / METADATA_OF_VERSION_2).exists()


def marker_of(node: Node | None) -> dict[str, Any] | None:
    """Return what spherovem keeps with an array; None if spherovem did not write it."""
    attributes = (node or {}).get("attributes")
    found = attributes.get(ATTRIBUTE) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else None


def is_replaced_group(folder: Path) -> bool:
    """Return whether a program wrote an array in the place of a group."""
    node = read_node(folder)
    return (folder / METADATA_OF_VERSION_2).exists() or (node is not None and node["node_type"] == "array")


def arrays_below(folder: Path) -> Iterator[Path]:
    """Yield the folders of arrays in a group and in its groups, without listing folders of chunks."""
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        node = read_node(child)
        if node is not None and node["node_type"] == "group":
            yield from arrays_below(child)
        elif is_array_folder(child):
            yield child


def shard_shape(node: Node) -> tuple[int, ...]:
    """Return the extents in voxels of a file."""
    return tuple(node["chunk_grid"]["configuration"]["chunk_shape"])


def shard_grid(node: Node) -> tuple[int, ...]:
    """Return the number of files along each axis."""
    return tuple(-(-n // side) for n, side in zip(node["shape"], shard_shape(node), strict=True))


def essentials(node: Node) -> str:
    """Return the fields on which the values depend, as canonical JSON."""
    return canonical_json(_plain({name: node.get(name) for name in ESSENTIALS}))


def seal(node: Node) -> str:
    """Compute the checksum of the fields on which the values depend and of the marker; the marker holds it itself."""
    marker = {name: value for name, value in (marker_of(node) or {}).items() if name != "checksum"}
    return new_checksum(f"{essentials(node)}\n{canonical_json(_plain(marker))}".encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return JSON with whole numbers as integers: programs that rewrite the file write 1.0 or 1."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
