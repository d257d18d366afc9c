"""The record of an array's files: size, time and checksum of each, in one small file beside its ``zarr.json``.

The record takes 32 bytes per file. Its content digest, over sizes and checksums, stands in the completion marker; times are left
out, so that a copied or touched file changes the record alone.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.store.checksums import CHECKSUM_BYTES, XXH3, FileState, new_checksum
from spherovem_core.store.files import write_atomically

RECORD = ".checksums.npy"
ENTRY = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("xxh3", "u1", (CHECKSUM_BYTES,))])
EARLIER_ENTRY = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("checksum", "u1", (CHECKSUM_BYTES,))])
"""The record of an earlier version, whose checksums are BLAKE2b."""


@dataclass(frozen=True)
class ShardRecord:
    """States of the files of an array, as a structured array over the grid of files; all checksums are of one method."""

    entries: NDArray[Any]

    @classmethod
    def empty(cls, grid: Sequence[int], *, earlier: bool = False) -> "ShardRecord":
        """Make a record of files that nothing is known of, or one as `earlier` versions made it."""
        return cls(np.zeros(tuple(grid), EARLIER_ENTRY if earlier else ENTRY))

    @property
    def method(self) -> str:
        """Prefix of its checksums."""
        return XXH3 if self.entries.dtype == ENTRY else ""

    @property
    def _checksums(self) -> str:
        return "xxh3" if self.method else "checksum"

    @classmethod
    def load(cls, folder: Path, grid: Sequence[int]) -> "ShardRecord | None":
        """Read the record of an array; None where it is absent, damaged, or of another grid."""
        try:
            entries = np.load(io.BytesIO((folder / RECORD).read_bytes()), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        known = entries.dtype in (ENTRY, EARLIER_ENTRY) and entries.shape == tuple(grid)
        return cls(entries) if known else None

    def save(self, folder: Path) -> None:
        """Write the record whole or not at all."""

        def write(fresh: Path) -> None:
            with fresh.open("wb") as file:
                np.save(file, self.entries, allow_pickle=False)

        write_atomically(folder / RECORD, write)

    def set(self, index: Sequence[int], state: FileState) -> None:
        """Note the state of a file, whose checksum must be of the record's `method`."""
        digits = state.checksum.removeprefix(self.method)
        self.entries[tuple(index)] = (
            state.size,
            state.mtime_ns,
            np.frombuffer(bytes.fromhex(digits), np.uint8),
        )

    def get(self, index: Sequence[int]) -> FileState:
        """Return the state of a file."""
        entry = self.entries[tuple(index)]
        checksum = f"{self.method}{entry[self._checksums].tobytes().hex()}"
        return FileState(int(entry["size"]), int(entry["mtime_ns"]), checksum)

    def content(self, essentials: str) -> str:
        """Compute the digest of the array's content: of the fields on which values depend, and of all files."""
        digest = new_checksum(essentials.encode())
        digest.update(np.ascontiguousarray(self.entries["size"]).tobytes())
        digest.update(np.ascontiguousarray(self.entries[self._checksums]).tobytes())
        return digest.hexdigest()


def shard_path(folder: Path, index: Sequence[int]) -> Path:
    """Return the file of a shard by its position in the grid of files."""
    return folder.joinpath("c", *map(str, index))


def stat_shards(folder: Path, grid: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return size and time of each file of an array, without reading any; the size of one that is not there is -1."""
    sizes = np.full(tuple(grid), -1, np.int64)
    times = np.zeros(tuple(grid), np.int64)
    root = os.fspath(folder / "c")
    flat_sizes, flat_times = sizes.reshape(-1), times.reshape(-1)
    for number, index in enumerate(np.ndindex(*grid)):
        try:
            found = os.stat(f"{root}/{'/'.join(map(str, index))}")  # noqa: PTH116 - a Path per file costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            continue
        flat_sizes[number], flat_times[number] = found.st_size, found.st_mtime_ns
    return sizes, times
