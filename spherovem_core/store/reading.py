"""Complete arrays opened for reading; absent, unfinished and changed ones are refused."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import core_of_key
from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.adoptions import effective_digest
from spherovem_core.store.array_check import ArrayCheck, check_array
from spherovem_core.store.changes import Change, changed_error, command
from spherovem_core.store.checksums import XXH3, FileState, new_checksum
from spherovem_core.store.layout import VOLUME, Layout, array_path
from spherovem_core.store.ledger import read_entries
from spherovem_core.store.nodes import (
    METADATA,
    Node,
    is_array_folder,
    is_replaced_group,
    marker_of,
    read_node,
    shard_grid,
)
from spherovem_core.store.shard_reading import read_region
from spherovem_core.store.shard_record import ShardRecord, shard_path, stat_shards

ARRAY_LEDGER = ".ledger"
"""Name of the ledger of finished blocks in an unfinished array's folder."""


TRIES = 3
"""Times that an array is looked at again which another process replaces meanwhile."""


@dataclass(frozen=True)
class StoredArray:
    """Complete array opened for reading; indexed like a zarr array.

    Attributes
    ----------
    digest
        Digest under which others read it: that of its step, unless a change was adopted.
    """

    array: zarr.Array[Any]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm
    digest: str
    details: Mapping[str, Any] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self.array.dtype)

    @property
    def own_digest(self) -> str:
        """Digest under which its step computed it."""
        return str(self.details["fingerprint"])

    @property
    def history(self) -> list[dict[str, Any]]:
        """History entries, the newest last."""
        return list(self.details.get("history", []))

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        """Read a region.

        Raises
        ------
        IncompleteArtifactError
            If the array is gone since it was opened: a file that is not there reads as fill values.
        """
        values = read_region(self.array, region)
        if not self._metadata.exists():
            raise IncompleteArtifactError(
                f"{self.folder} was discarded or replaced by a run while it was read; open it again"
            )
        return values

    @cached_property
    def _metadata(self) -> Path:
        return self.folder / METADATA

    @cached_property
    def folder(self) -> Path:
        """Folder of the array on disk."""
        store: Any = self.array.store
        return Path(store.root) / self.array.path

    def shards_of(self, region: Sequence[slice]) -> Iterator[tuple[int, ...]]:
        """Yield the shards that hold a region, by their positions in the grid of shards."""
        sides = zip(region, self.array.shards or self.array.chunks, strict=True)
        return itertools.product(*(range(s.start // n, -(-s.stop // n)) for s, n in sides))

    def shard_record(self) -> ShardRecord | None:
        """Return the record of what each file held when it was written; of an unfinished array, as its ledger notes it.

        None where neither is there.
        """
        grid = shard_grid(read_node(self.folder) or {})
        record = ShardRecord.load(self.folder, grid)
        ledger = self.folder / ARRAY_LEDGER
        return self._noted_record(ledger, grid) if record is None and ledger.exists() else record

    def _noted_record(self, ledger: Path, grid: Sequence[int]) -> ShardRecord:
        """Gather what a ledger notes of files; those of which it notes nothing have size 0, which no file of a shard has."""
        record = ShardRecord.empty(grid)
        for key, entry in read_entries(ledger).items():
            for index, text in zip(self.shards_of(core_of_key(key)), entry or (), strict=False):
                state = FileState.from_text(text)
                if state is not None and state.checksum.startswith(record.method):
                    record.set(index, state)
        return record

    def shard_digest(self, index: Sequence[int], record: ShardRecord | None = None) -> str:
        """Digest a shard as it is on disk, without decoding it; equal digests mean equal values. Empty if its file is gone.

        Shards of one content may differ on disk if they were written by different versions of the compressor.

        Parameters
        ----------
        record
            What `shard_record` returned: a file of the size and time in it is not read.
        """
        path = shard_path(self.folder, index)
        try:
            found = path.stat()
            state = None if record is None else record.get(index)
            if state is None or (state.size, state.mtime_ns) != (found.st_size, found.st_mtime_ns):
                state = FileState.of(path, XXH3 if record is None else record.method)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return new_checksum(f"{self._form}\n{state.checksum}".encode()).hexdigest()

    @cached_property
    def _form(self) -> str:
        """Name how its values are stored; zarr takes long to tell it."""
        return f"{self.dtype} {self.array.chunks} {self.array.shards} {self.array.compressors}"


def missing_shards(folder: Path) -> int:
    """Count the shards of an array that have no file."""
    sizes, _ = stat_shards(folder, shard_grid(read_node(folder) or {}))
    return int((sizes < 0).sum())


def open_array(
    layout: Layout, group: str, level: int = 0, *, digest: str | None = None, changed: bool = False
) -> StoredArray:
    """Open a complete array for reading. Its files are looked at, and only read if their times have changed.

    Parameters
    ----------
    digest
        Digest that the array must have.
    changed
        Open the array also if it was changed after it was computed, to show it.

    Raises
    ------
    IncompleteArtifactError
        If the array is absent or unfinished, has lost a file, or carries another digest than `digest`.
    ChangedArtifactError
        If it is not the one that was computed.
    """
    folder = layout.path(array_path(group, level))
    node = complete_node(layout, group, level, changed=changed)
    marker = marker_of(node) or {}
    found = effective_digest(marker["fingerprint"], [marker])
    if digest is not None and found != digest:
        raise _incomplete(
            folder, f"was computed under other inputs or parameters ({found[:12]}, not {digest[:12]})"
        )
    spacing, origin = marker["spacing_nm"], marker["origin_nm"]
    try:
        opened = zarr.open_array(folder, mode="r", zarr_format=3)
    except FileNotFoundError as error:
        # Another process replaced it after the look at its files.
        raise _incomplete(folder, "is being written again") from error
    return StoredArray(
        opened,
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        found,
        marker,
    )


def complete_node(layout: Layout, group: str, level: int | str = 0, *, changed: bool = False) -> Node:
    """Return the metadata of a complete array, after a look at its files.

    Raises
    ------
    IncompleteArtifactError
        If the array is absent or unfinished, or has lost a file.
    ChangedArtifactError
        If it is not the one that was computed, unless `changed` allows it.
    """
    folder = layout.path(array_path(group, level))
    for _ in range(TRIES):
        node = read_node(folder)
        marker = marker_of(node)
        if node is None and not is_array_folder(folder):
            if is_replaced_group(folder.parent):
                raise changed_error(layout, f"{VOLUME}/{group}", _foreign().changes)
            if layout.discarded(group).exists():
                raise IncompleteArtifactError(
                    f"{folder} was discarded when all that is computed from it was complete (storage: lean). To have it again: "
                    f"{command(layout, 'recompute', f'{VOLUME}/{group}')}, then process the acquisition with --storage full"
                )
            raise _incomplete(folder, "is not there")
        if marker is not None and not marker.get("complete"):
            raise _incomplete(folder, "is unfinished")
        try:
            check = _foreign() if node is None or marker is None else check_array(folder, node)
        except FileNotFoundError:
            # Another process moved the array away during the look at its files.
            continue
        if read_node(folder) == node:
            break
    else:
        raise _incomplete(folder, "is being replaced by another process")
    changes = [Change(f"{level}/{each.file}", each.what) for each in check.changes]
    if not changes and is_emptied(group, check):
        what = "is not there: it was deleted, or a program removed it because all of its voxels became 0"
        changes = [Change(f"{level}/{name}", what) for name in check.missing]
    if changed and changes and node is not None and marker is not None:
        return node
    if changes or node is None:
        raise changed_error(layout, f"{VOLUME}/{group}", changes)
    if check.missing:
        raise _incomplete(folder, f"has lost {len(check.missing)} of its files")
    return node


def _foreign() -> ArrayCheck:
    """Return the check of a folder whose metadata are not those of an array that spherovem wrote."""
    return ArrayCheck(
        (), (Change(METADATA, "is damaged, or was written by another program over the array"),), True
    )


def is_emptied(group: str, check: ArrayCheck) -> bool:
    """Return whether files may be missing because labels were removed: zarr deletes a file in which all voxels are 0."""
    return (
        "/labels/" in group
        and check.is_recorded
        and 0 < len(check.missing) < check.files + len(check.missing)
    )


def _incomplete(folder: Path, problem: str) -> IncompleteArtifactError:
    return IncompleteArtifactError(f"{folder} {problem}; run the acquisition again to compute it")


def find_array(layout: Layout, group: str, digest: str) -> ArtifactRef | None:
    """Return a reference to the complete array that was computed under this digest, or None.

    Raises
    ------
    ChangedArtifactError
        If there is an array which is not the one that was computed, under whatever digest.
    """
    try:
        stored = open_array(layout, group)
    except IncompleteArtifactError:
        return None
    return array_reference(layout, group, stored) if stored.own_digest == digest else None


def array_reference(layout: Layout, group: str, stored: StoredArray) -> ArtifactRef:
    """Refer to the finest level of a complete array."""
    return ArtifactRef(
        store=str(layout.folder),
        path=array_path(group),
        shape=stored.shape,
        dtype=stored.dtype.name,
        spacing_nm=stored.spacing_nm,
        digest=stored.digest,
    )
