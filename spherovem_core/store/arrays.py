"""Arrays in the volume: written block by block with a ledger, counted only once their completion marker is there."""

import itertools
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

from spherovem_core.blocks import Block
from spherovem_core.errors import IncompleteArtifactError, ShapeMismatchError
from spherovem_core.references import ArtifactRef
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.checkpoints import Ledger
from spherovem_core.store.layout import Layout, array_path

ATTRIBUTE = "spherovem"
LEDGER = ".ledger"
Content = Literal["image", "label", "field"]


@dataclass(frozen=True)
class ArraySpec:
    """What an array is, before it is written.

    Attributes
    ----------
    group
        Multiscale group inside the volume, such as ``raw`` or ``registered/labels/cells``.
    content
        ``image`` and ``field`` are averaged in coarser levels, ``label`` takes the most frequent value;
        a ``field`` may hold NaN.
    shape
        (Z, Y, X), or (C, Z, Y, X).
    chunks, shards
        Shards are the unit of writing: one file each.
    origin_nm
        Position of the centre of voxel (0, 0, 0).
    """

    group: str
    content: Content
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    spacing_nm: SpacingNm
    origin_nm: SpacingNm = (0.0, 0.0, 0.0)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a partial array to be continued."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "chunks": list(self.chunks),
            "shards": list(self.shards),
            "spacing_nm": list(self.spacing_nm),
            "origin_nm": list(self.origin_nm),
        }


def slice_shards(shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunks and shards for a full-resolution image: one file a slice, chunks of up to 512²."""
    _, height, width = shape
    chunk = (1, min(512, height), min(512, width))
    return chunk, (1, _round_up(height, chunk[1]), _round_up(width, chunk[2]))


def cube_shards(shape: Sequence[int], edge: int = 128) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunks and shards for labels and fields: files of `edge`³ voxels in chunks of 64³, channels together."""
    *lead, depth, height, width = shape
    small = tuple(min(64, edge, n) for n in (depth, height, width))
    large = tuple(
        min(edge, _round_up(n, c)) // c * c for n, c in zip((depth, height, width), small, strict=True)
    )
    return (*lead, *small), (*lead, *large)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


@dataclass(frozen=True)
class StoredArray:
    """A complete array opened for reading; slices like a zarr array."""

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
    def history(self) -> list[dict[str, Any]]:
        """History entries, the newest last."""
        return list(self.details.get("history", []))

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return np.asarray(self.array[region])


class ArrayWriter:
    """Writes one array of a volume block by block; a killed writing is continued by the next.

    Blocks must be aligned to the shards, so that no two of them touch one file. `write` may be called from several threads.
    The array does not count before `commit`.
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
        self._ledger = Ledger(self._folder / LEDGER, digest)

    def _continues(self) -> bool:
        attributes = _read_attributes(self._folder)
        return (
            attributes is not None
            and attributes.get("fingerprint") == self.digest
            and all(attributes.get(key) == value for key, value in self.spec.identity.items())
            and not attributes.get("complete")
        )

    def _create(self) -> None:
        # A new finest level makes all that the group holds stale: coarser levels, and labels drawn on it.
        discard(self.layout, self._folder.parent if self.level == 0 else self._folder)
        ensure_group(self.layout, self.spec.group)
        axes = ("c", "z", "y", "x")[-len(self.spec.shape) :]
        zarr.create_array(
            self._folder,
            shape=self.spec.shape,
            dtype=self.spec.dtype,
            chunks=self.spec.chunks,
            shards=self.spec.shards,
            compressors=_compressor(self.spec.dtype),
            fill_value=np.nan if self.spec.dtype.kind == "f" else 0,
            dimension_names=axes,
            attributes={ATTRIBUTE: {"complete": False, "fingerprint": self.digest, **self.spec.identity}},
            config={"write_empty_chunks": True},
            zarr_format=3,
        )

    def pending(self, blocks: Sequence[Block]) -> list[Block]:
        """Those of the blocks that are not yet written, or whose files are gone again."""
        return [block for block in blocks if block.key not in self._ledger or not self._on_disk(block)]

    def _on_disk(self, block: Block) -> bool:
        ranges = [
            range(s.start // n, -(-s.stop // n)) for s, n in zip(block.core, self.spec.shards, strict=True)
        ]
        return all(
            self._folder.joinpath("c", *map(str, index)).is_file() for index in itertools.product(*ranges)
        )

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
        self.array[block.core] = values
        self._ledger[block.key] = None

    def commit(self, history: Sequence[Mapping[str, Any]] = (), **details: Any) -> ArtifactRef:
        """Set the completion marker; nothing may be written afterwards.

        Parameters
        ----------
        history
            Entries of the stages that led here.
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
        (self._folder / LEDGER).unlink(missing_ok=True)
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
        """The array for reading back what this writer wrote, complete or not."""
        return StoredArray(self.array, self.spec.spacing_nm, self.spec.origin_nm, self.digest, {})


def _compressor(dtype: np.dtype[Any]) -> Any:
    """Zstd without shuffle for 8-bit data; wider types compress better with their bytes shuffled."""
    if dtype.itemsize == 1:
        return ZstdCodec(level=1)
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=dtype.itemsize)


def ensure_group(layout: Layout, group: str) -> None:
    """Create the volume and the groups down to `group`, where they are not there yet."""
    layout.ensure_writable()
    folder = layout.volume
    for name in ("", *group.split("/")):
        folder = folder / name
        if not (folder / "zarr.json").exists():
            zarr.open_group(folder, mode="a", zarr_format=3)


def discard(layout: Layout, folder: Path) -> None:
    """Delete a folder such that a kill leaves it whole or gone: renamed out of the way first."""
    if not folder.exists():
        return
    trash = layout.scratch / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    folder.replace(trash / uuid.uuid4().hex)
    shutil.rmtree(trash, ignore_errors=True)


def _read_attributes(folder: Path) -> dict[str, Any] | None:
    if not (folder / "zarr.json").is_file():
        return None
    attributes = zarr.open_array(folder, mode="r", zarr_format=3).attrs.asdict().get(ATTRIBUTE)
    return attributes if isinstance(attributes, dict) else None


def missing_shards(folder: Path) -> int:
    """Count the shards of an array that have no file."""
    array = zarr.open_array(folder, mode="r", zarr_format=3)
    expected = int(
        np.prod([-(-n // s) for n, s in zip(array.shape, array.shards or array.chunks, strict=True)])
    )
    found = sum(1 for path in (folder / "c").rglob("*") if path.is_file() and path.suffix != ".partial")
    return max(0, expected - found)


def open_array(layout: Layout, group: str, level: int = 0, *, digest: str | None = None) -> StoredArray:
    """Open a complete array for reading.

    Raises
    ------
    IncompleteArtifactError
        If the array is absent, unfinished, has lost a file, or carries another fingerprint than `digest`.
    """
    folder = layout.path(array_path(group, level))
    attributes = _read_attributes(folder)
    problem = _problem(folder, attributes, digest)
    if problem or attributes is None:
        raise IncompleteArtifactError(f"{folder} {problem}; run the acquisition again to compute it")
    spacing = attributes["spacing_nm"]
    origin = attributes["origin_nm"]
    return StoredArray(
        zarr.open_array(folder, mode="r", zarr_format=3),
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        attributes["fingerprint"],
        attributes,
    )


def _problem(folder: Path, attributes: Mapping[str, Any] | None, digest: str | None) -> str:
    if attributes is None:
        return "is not there"
    if not attributes.get("complete"):
        return "is unfinished"
    if digest is not None and attributes["fingerprint"] != digest:
        return f"was computed under other inputs or parameters ({attributes['fingerprint'][:12]}, not {digest[:12]})"
    missing = missing_shards(folder)
    return f"has lost {missing} of its files" if missing else ""


def find_array(layout: Layout, group: str, digest: str) -> ArtifactRef | None:
    """Reference to the complete array of this fingerprint, or None."""
    try:
        stored = open_array(layout, group, digest=digest)
    except IncompleteArtifactError:
        return None
    return ArtifactRef(
        store=str(layout.folder),
        path=array_path(group),
        shape=stored.shape,
        dtype=stored.dtype.name,
        spacing_nm=stored.spacing_nm,
        digest=digest,
    )
