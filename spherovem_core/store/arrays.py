"""Arrays of a volume, written block by block with a ledger; they count once their completion marker is written."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import Block, Region, core_of_key
from spherovem_core.errors import IncompleteArtifactError, ShapeMismatchError
from spherovem_core.references import ArtifactRef
from spherovem_core.store.checksums import XXH3, FileState
from spherovem_core.store.files import write_text
from spherovem_core.store.groups import discard, ensure_group
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.ledger import Ledger
from spherovem_core.store.nodes import ATTRIBUTE, METADATA, essentials, marker_of, read_node, seal, shard_grid
from spherovem_core.store.protection import refuse_to_replace
from spherovem_core.store.reading import ARRAY_LEDGER, StoredArray
from spherovem_core.store.shard_record import ShardRecord, stat_shards
from spherovem_core.store.shards import ShardFiles
from spherovem_core.store.spec import ArraySpec


class ArrayWriter:
    """Writer of one array of a volume, block by block; it continues an array that a killed run began.

    Blocks must be aligned to the shards, so that no two of them touch one file. `write` may be called from several threads.
    The array does not count before `commit`. What each file holds is noted as it is written, so that a later change is found.

    Parameters
    ----------
    layout
        Results folder of the acquisition.
    spec
        Shape, type and files of the array.
    digest
        Digest of the step that computes the array. A partial array of another digest is discarded.
    level
        Level of the multiscale group; 0 is the finest, and writing it discards all other levels.

    Attributes
    ----------
    content
        Content digest of the array; empty before `commit`.
    grown
        Called with the core and the values of each block after it was written; see `spherovem_core.store.pyramid.grow_levels`.

    Raises
    ------
    ChangedArtifactError
        If a finest level would replace an array, or labels drawn on it, that a person changed.
    """

    def __init__(self, layout: Layout, spec: ArraySpec, digest: str, level: int = 0) -> None:
        self.layout = layout
        self.spec = spec
        self.digest = digest
        self.level = level
        self._folder = layout.path(array_path(spec.group, level))
        if not self._continues():
            self._create()
        self.array: zarr.Array[Any] = zarr.open_array(self._folder, mode="r+", zarr_format=3)
        self._alike: dict[Path, bool] = {}
        self._form = (spec.chunks, spec.shards, spec.fill_value, spec.codec)
        self._shards = ShardFiles(self._folder, *self._form)
        self._ledger = Ledger(self._folder / ARRAY_LEDGER, digest)
        self.content = ""
        self.grown: Callable[[Region, NDArray[Any]], None] | None = None

    def _continues(self) -> bool:
        attributes = marker_of(read_node(self._folder))
        return (
            attributes is not None
            and attributes.get("fingerprint") == self.digest
            and all(attributes.get(key) == value for key, value in self.spec.identity.items())
            and not attributes.get("complete")
        )

    def _create(self) -> None:
        # A new finest level makes the rest of the group stale: coarser levels, and labels drawn on it.
        if self.level == 0:
            refuse_to_replace(self.layout, self.spec.group)
        discard(self.layout, self._folder.parent if self.level == 0 else self._folder)
        ensure_group(self.layout, self.spec.group)
        axes = ("c", "z", "y", "x")[-len(self.spec.shape) :]
        zarr.create_array(
            self._folder,
            shape=self.spec.shape,
            dtype=self.spec.dtype,
            chunks=self.spec.chunks,
            shards=self.spec.shards,
            compressors=self.spec.codec.compressor(self.spec.dtype),
            fill_value=self.spec.fill_value,
            dimension_names=axes,
            attributes={ATTRIBUTE: {"complete": False, "fingerprint": self.digest, **self.spec.identity}},
            zarr_format=3,
        )

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Return those of the blocks that are not yet written, or whose files have been deleted or changed since."""
        return [block for block in blocks if block.key not in self._ledger or not self._on_disk(block)]

    def _on_disk(self, block: Block) -> bool:
        states = _states(self._ledger[block.key])
        return all(
            self._shards.path(index).is_file()
            and (not states or states[number].is_that_of(self._shards.path(index)))
            for number, index in enumerate(self._shard_indices(block.core))
        )

    def _shard_indices(self, core: Sequence[slice]) -> Iterator[tuple[int, ...]]:
        sides = zip(core, self.spec.shards, strict=True)
        return itertools.product(*(range(s.start // n, -(-s.stop // n)) for s, n in sides))

    def write(
        self, block: Block, values: NDArray[Any], like: tuple[NDArray[Any], Path] | None = None
    ) -> None:
        """Write the block's core and note it in the ledger.

        Parameters
        ----------
        like
            Values of the block in another array, and the folder of that array. If it has the same form, chunks of the same values
            are not compressed again.

        Raises
        ------
        ShapeMismatchError
            If the values do not fill the block, or the block cuts through a shard.
        """
        expected = tuple(s.stop - s.start for s in block.core)
        if values.shape != expected:
            raise ShapeMismatchError(
                f"block {block.key} of {self.spec.group} needs shape {expected}, got {values.shape}"
            )
        for cut, shard, extent in zip(block.core, self.spec.shards, self.spec.shape, strict=True):
            if cut.start % shard or (cut.stop % shard and cut.stop != extent):
                raise ShapeMismatchError(
                    f"block {block.key} of {self.spec.group} cuts through shards of {self.spec.shards}; "
                    "align the block grid to the shards"
                )
        values = self.spec.rounded(values)
        states = []
        for index in self._shard_indices(block.core):
            sides = zip(index, self.spec.shards, block.core, strict=True)
            place = tuple(slice(i * n - s.start, (i + 1) * n - s.start) for i, n, s in sides)
            other = None
            if like is not None and self._has_form_of(like[1]):
                other = like[0][place], ShardFiles(like[1], *self._form).path(index)
            states.append(self._shards.write(index, values[place], other).text)
        self._ledger[block.key] = states
        if self.grown is not None:
            self.grown(block.core, values)

    def forget(self, blocks: Sequence[Block]) -> None:
        """Let blocks count as not written."""
        self._ledger.drop([block.key for block in blocks])

    def take_over(self, block: Block, folder: Path, *, link: bool = False) -> bool:
        """Write a block by taking the files of another array of the same form over as they are, and note it in the ledger.

        Parameters
        ----------
        folder
            Folder of that array, whose values in the block are those to be written.
        link
            Link the files where the file system can. Not for an array that stays; see `ShardFiles.copy`.

        Returns
        -------
        bool
            False, and nothing is written, if the other array has another form or lacks a file.
        """
        other, indices = ShardFiles(folder, *self._form), list(self._shard_indices(block.core))
        if not self._has_form_of(folder) or not all(other.path(index).is_file() for index in indices):
            return False
        self._ledger[block.key] = [
            self._shards.copy(index, other.path(index), link=link).text for index in indices
        ]
        return True

    def _has_form_of(self, folder: Path) -> bool:
        """Return whether another array has the same form; its metadata are read once, not for each block."""
        if folder not in self._alike:
            attributes = marker_of(read_node(folder)) or {}
            self._alike[folder] = all(
                attributes.get(key) == value for key, value in self.spec.identity.items()
            )
        return self._alike[folder]

    def commit(self, history: Sequence[Mapping[str, Any]] = (), **details: Any) -> ArtifactRef:
        """Set the completion marker; nothing may be written afterwards.

        Parameters
        ----------
        history
            Entries of the steps that led to this array, the newest last.
        details
            JSON values to keep with the array, such as transforms or the crop.

        Raises
        ------
        IncompleteArtifactError
            If a shard was never written, or changed since.
        """
        node = dict(read_node(self._folder) or {})
        record = self._record(node)
        record.save(self._folder)
        self.content = record.content(essentials(node))
        marker = {
            "complete": True,
            "fingerprint": self.digest,
            **self.spec.identity,
            "history": [dict(entry) for entry in history],
            **details,
            "content": self.content,
        }
        complete_array(self._folder, marker)
        (self._folder / ARRAY_LEDGER).unlink(missing_ok=True)
        return self.reference

    def _record(self, node: Mapping[str, Any]) -> ShardRecord:
        """Gather what was noted of every file as it was written."""
        grid = shard_grid(node)
        sizes, times = stat_shards(self._folder, grid)
        if missing := int((sizes < 0).sum()):
            raise IncompleteArtifactError(
                f"{self.spec.group}/{self.level} cannot be completed: {missing} of its shards were never written"
            )
        noted: dict[tuple[int, ...], list[FileState]] = {}
        for key, entry in self._ledger.items():
            for index, state in zip(self._shard_indices(core_of_key(key)), _states(entry), strict=False):
                noted.setdefault(index, []).append(state)
        record = ShardRecord.empty(grid)
        for index in np.ndindex(*grid):
            record.set(
                index, self._state(index, noted.get(index, []), (int(sizes[index]), int(times[index])))
            )
        return record

    def _state(self, index: tuple[int, ...], noted: Sequence[FileState], found: tuple[int, int]) -> FileState:
        """Return the state of a file as it was written; blocks of other sizes may have written it more than once."""
        path = self._shards.path(index)
        for state in noted:
            if (state.size, state.mtime_ns) == found:
                return state if state.checksum.startswith(XXH3) else FileState.of(path)
        # The ledger of an older version says nothing of files; those of a copied folder have other times.
        now = FileState.of(path)
        if noted and not any(state.holds_same(FileState.of(path, state.checksum)) for state in noted):
            raise IncompleteArtifactError(
                f"{path} was changed while {self.spec.group} was computed; run the acquisition again to write it again"
            )
        return now

    @property
    def reference(self) -> ArtifactRef:
        """Reference to the array, whether complete or not."""
        return ArtifactRef(
            store=str(self.layout.folder),
            path=array_path(self.spec.group, self.level),
            shape=self.spec.shape,
            dtype=self.spec.dtype.name,
            spacing_nm=self.spec.spacing_nm,
            digest=self.digest,
        )

    @cached_property
    def stored(self) -> StoredArray:
        """The array for reading back the written blocks, whether complete or not."""
        return StoredArray(self.array, self.spec.spacing_nm, self.spec.origin_nm, self.digest, {})


def complete_array(folder: Path, marker: Mapping[str, Any]) -> None:
    """Set the marker of an array, sealed, in one step."""
    node = dict(read_node(folder) or {})
    node["attributes"] = {**(node.get("attributes") or {}), ATTRIBUTE: dict(marker)}
    node["attributes"][ATTRIBUTE]["checksum"] = seal(node)
    write_text(folder / METADATA, json.dumps(node, indent=2))


def _states(entry: Any) -> list[FileState]:
    """Return the states of a block's files, in the order of their indices; empty for a ledger that holds none."""
    states = [FileState.from_text(text) for text in entry or ()]
    return [state for state in states if state is not None] if None not in states else []
