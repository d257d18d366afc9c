"""Complete arrays opened for reading; absent and unfinished ones are refused."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.references import ArtifactRef
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.shards import PARTIAL

ATTRIBUTE = "spherovem"
ARRAY_LEDGER = ".ledger"
"""Name of the ledger of finished blocks in an unfinished array's folder."""


@dataclass(frozen=True)
class StoredArray:
    """Complete array opened for reading; indexed like a zarr array."""

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

    @property
    def folder(self) -> Path:
        """Folder of the array on disk."""
        store: Any = self.array.store
        return Path(store.root) / self.array.path

    def shards_of(self, region: Sequence[slice]) -> Iterator[tuple[int, ...]]:
        """Yield the shards that hold a region, by their positions in the grid of shards."""
        sides = zip(region, self.array.shards or self.array.chunks, strict=True)
        return itertools.product(*(range(s.start // n, -(-s.stop // n)) for s, n in sides))

    def shard_digest(self, index: Sequence[int]) -> str:
        """Digest a shard as it is on disk, without decoding it; equal digests mean equal values. Empty if its file is gone.

        Shards of one content may differ on disk if they were written by different versions of the compressor.
        """
        form = f"{self.dtype} {self.array.chunks} {self.array.shards} {self.array.compressors}"
        path = self.folder.joinpath("c", *map(str, index))
        if not path.is_file():
            return ""
        content = path.read_bytes()
        return blake2b(form.encode() + b"\n" + content, digest_size=16).hexdigest()


def read_attributes(folder: Path) -> dict[str, Any] | None:
    """Read what spherovem keeps with an array; return None if spherovem wrote no array there."""
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
    found = sum(1 for path in (folder / "c").rglob("*") if path.is_file() and path.suffix != PARTIAL)
    return max(0, expected - found)


def open_array(layout: Layout, group: str, level: int = 0, *, digest: str | None = None) -> StoredArray:
    """Open a complete array for reading.

    Raises
    ------
    IncompleteArtifactError
        If the array is absent or unfinished, has lost a file, or carries another digest than `digest`.
    """
    folder = layout.path(array_path(group, level))
    attributes = read_attributes(folder)
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
    """Return a reference to the complete array of this digest, or None."""
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
