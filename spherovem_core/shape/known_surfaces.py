"""Surfaces measured before, found by the voxels of their labels, so that a label that did not change is not measured again."""

import re
from collections.abc import Collection, Mapping, MutableMapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from spherovem_core.known_blocks import KnownResults
from spherovem_core.shape.descriptor_table import SURFACE
from spherovem_core.shape.meshes import MeshFormat

VALUES = (*SURFACE, "shape_note")


class KnownSurfaces:
    """Surface measures by the content hash of a label's voxels.

    What `spherovem_core.shape.measure_labels` measures on a surface depends on the label's own voxels, on the shape of the volume
    (its border cuts labels), on the spacing and on the parameters, but neither on the label's number nor on other labels: a voxel
    face counts whatever lies beyond it, and beyond the volume's border a label is continued by its own outline. A mesh depends on
    the origin too, and its file is named by the label's number. Columns that follow from the voxels alone are always computed.

    `entries` must therefore hold measurements of one spacing, origin, shape of the volume, set of parameters and version of the
    method. A mesh counts only while its file is the one that was written.

    Parameters
    ----------
    entries
        Measurements so far. New ones are added at once, so that entries that survive a kill let the next run continue.
    statistics
        Statistics of blocks of labels so far; None reads all labels.

    Attributes
    ----------
    measured, taken_over
        Numbers of labels that were measured, and whose measurements were known.
    used
        Content hashes of all labels that were asked for.
    meshed
        Labels that have a mesh.
    """

    def __init__(
        self, entries: MutableMapping[str, Any] | None = None, statistics: KnownResults | None = None
    ) -> None:
        self.entries: MutableMapping[str, Any] = {} if entries is None else entries
        self.statistics = statistics
        self.measured = self.taken_over = 0
        self.used: set[str] = set()
        self.meshed: set[int] = set()

    def find(self, content: str, label: int, mesh: Path | None) -> dict[str, Any] | None:
        """Return the measurements of the voxels with this hash, or None if the label must be measured.

        Parameters
        ----------
        mesh
            File of the label's mesh; None if no meshes are wanted.
        """
        self.used.add(content)
        entry = self.entries.get(content)
        if entry is None or (mesh is not None and not _has_mesh(entry, label, mesh)):
            return None
        if mesh is not None and entry["mesh"]:
            self.meshed.add(label)
        self.taken_over += 1
        return {"label": label, **{name: entry[name] for name in VALUES}}

    def add(self, content: str, outcome: dict[str, Any]) -> None:
        """Keep the measurements of the voxels with this hash; `mesh` in them is the checksum of the mesh's file."""
        entry = {name: outcome[name] for name in VALUES}
        if "mesh" in outcome:
            entry |= {"meshed_label": outcome["label"], "mesh": outcome["mesh"]}
        if outcome.get("mesh"):
            self.meshed.add(outcome["label"])
        self.entries[content] = entry
        self.measured += 1


def _has_mesh(entry: Mapping[str, Any], label: int, mesh: Path) -> bool:
    """Return whether the file of a known label's mesh is the one that was written, or the label has none."""
    if entry.get("meshed_label") != label:
        return False
    return not entry["mesh"] or (mesh.is_file() and file_checksum(mesh) == entry["mesh"])


def file_checksum(path: Path) -> str:
    """Compute the checksum of a file's bytes."""
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def remove_stale_meshes(folder: Path, labels: Collection[int], mesh_format: MeshFormat = "ply") -> None:
    """Delete the meshes in a folder whose labels have none any more; files of other names stay."""
    for path in folder.glob(f"*.{mesh_format}"):
        if re.fullmatch(r"\d{6,}", path.stem) and int(path.stem) not in labels:
            path.unlink()
