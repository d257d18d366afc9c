"""Arrays of a volume, written block by block with a ledger; they count once their completion marker is written."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import Block
from spherovem_core.errors import IncompleteArtifactError, ShapeMismatchError
from spherovem_core.references import ArtifactRef
from spherovem_core.store.codecs import compressor
from spherovem_core.store.groups import discard, ensure_group
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.ledger import Ledger
from spherovem_core.store.reading import ARRAY_LEDGER, ATTRIBUTE, StoredArray, missing_shards, read_attributes
from spherovem_core.store.shards import ShardFiles
from spherovem_core.store.spec import ArraySpec


class ArrayWriter:
    """Writer of one array of a volume, block by block; it continues an array that a killed run began.

    Blocks must be aligned to the shards, so that no two of them touch one file. `write` may be called from several threads.
    The array does not count before `commit`.

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
        self._form = (spec.chunks, spec.shards, spec.fill_value)
        self._shards = ShardFiles(self._folder, *self._form)
        self._ledger = Ledger(self._folder / ARRAY_LEDGER, digest)

    def _continues(self) -> bool:
        attributes = read_attributes(self._folder)
        return (
            attributes is not None
            and attributes.get("fingerprint") == self.digest
            and all(attributes.get(key) == value for key, value in self.spec.identity.items())
            and not attributes.get("complete")
        )

    def _create(self) -> None:
        # A new finest level makes the rest of the group stale: coarser levels, and labels drawn on it.
        discard(self.layout, self._folder.parent if self.level == 0 else self._folder)
        ensure_group(self.layout, self.spec.group)
        axes = ("c", "z", "y", "x")[-len(self.spec.shape) :]
        zarr.create_array(
            self._folder,
            shape=self.spec.shape,
            dtype=self.spec.dtype,
            chunks=self.spec.chunks,
            shards=self.spec.shards,
            compressors=compressor(self.spec.dtype),
            fill_value=self.spec.fill_value,
            dimension_names=axes,
            attributes={ATTRIBUTE: {"complete": False, "fingerprint": self.digest, **self.spec.identity}},
            zarr_format=3,
        )

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Return those of the blocks that are not yet written, or whose files have been deleted since."""
        return [block for block in blocks if block.key not in self._ledger or not self._on_disk(block)]

    def _on_disk(self, block: Block) -> bool:
        return all(self._shards.path(index).is_file() for index in self._shard_indices(block))

    def _shard_indices(self, block: Block) -> Iterator[tuple[int, ...]]:
        sides = zip(block.core, self.spec.shards, strict=True)
        return itertools.product(*(range(s.start // n, -(-s.stop // n)) for s, n in sides))

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Write the block's core and note it in the ledger.

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
        values = values.astype(self.spec.dtype, copy=False)
        for index in self._shard_indices(block):
            sides = zip(index, self.spec.shards, block.core, strict=True)
            self._shards.write(
                index, values[tuple(slice(i * n - s.start, (i + 1) * n - s.start) for i, n, s in sides)]
            )
        self._ledger[block.key] = None

    def take_over(self, block: Block, source: StoredArray) -> bool:
        """Write a block by taking the files of another array of the same form over as they are, and note it in the ledger.

        Files are linked where the file system can, so that they take no space twice; neither array may be changed in place.

        Returns
        -------
        bool
            False, and nothing is written, if the other array has another form or lacks a file.
        """
        attributes = read_attributes(source.folder) or {}
        same = all(attributes.get(key) == value for key, value in self.spec.identity.items())
        indices = list(self._shard_indices(block))
        files = [ShardFiles(source.folder, *self._form).path(index) for index in indices]
        if not same or not all(file.is_file() for file in files):
            return False
        for index, file in zip(indices, files, strict=True):
            self._shards.link(index, file)
        self._ledger[block.key] = None
        return True

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
            If a shard was never written.
        """
        missing = missing_shards(self._folder)
        if missing:
            raise IncompleteArtifactError(
                f"{self.spec.group}/{self.level} cannot be completed: {missing} of its shards were never written"
            )
        marker = {
            "complete": True,
            "fingerprint": self.digest,
            **self.spec.identity,
            "history": [dict(entry) for entry in history],
            **details,
        }
        self.array.update_attributes({ATTRIBUTE: marker})
        (self._folder / ARRAY_LEDGER).unlink(missing_ok=True)
        return self.reference

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
