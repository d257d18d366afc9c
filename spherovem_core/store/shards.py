"""The files of shards, each written in one pass and then moved into place.

zarr encodes the chunks of a shard one after another under Python's lock; here imagecodecs compresses them outside of it,
so that several threads write at full speed (figures: `benchmarks/storage.py`). The files have the format of zarr's
``sharding_indexed`` codec: the chunks, then 16 bytes per chunk (offset and length), then the checksum of that index.
The package zarrs writes them as fast, but leaves a torn file behind when the disk is full, with an error that has no number.
"""

import itertools
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from spherovem_core.store.checksums import FileChecksum, FileState
from spherovem_core.store.codecs import Codec

PARTIAL = ".partial"
# Offset and length of a chunk that lies wholly outside the array and is not stored.
ABSENT = (2**64 - 1, 2**64 - 1)


@dataclass(frozen=True)
class ShardFiles:
    """Files of the shards of one array.

    Attributes
    ----------
    folder
        The array's folder.
    chunks, shards
        Extents in voxels; a shard is a whole number of chunks along each axis.
    fill_value
        Value that pads chunks at the end of the array.
    codec
        Codec of the chunks.
    """

    folder: Path
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    fill_value: float
    codec: Codec

    def path(self, index: Sequence[int]) -> Path:
        """Return the file of a shard by its position in the grid of shards."""
        return self.folder.joinpath("c", *map(str, index))

    def write(
        self, index: Sequence[int], values: NDArray[Any], like: tuple[NDArray[Any], Path] | None = None
    ) -> FileState:
        """Write one shard, and return what its file holds; after a kill its file is as before.

        Parameters
        ----------
        index
            Position in the grid of shards.
        values
            Values of the shard; fewer than a whole shard at the end of the array.
        like
            Values of the shard of another array of the same form, and its file. Of a chunk with the same values the compressed
            bytes are taken over.
        """
        checksum = FileChecksum()
        known = self._unchanged(values, *like) if like else {}
        with self._placing(index) as partial:
            with partial.open("wb", buffering=0) as file:
                entries, offset = [], 0
                for number, chunk in enumerate(self._chunks(values)):
                    content = b"" if chunk is None else known.get(number) or self.codec.encode(chunk)
                    entries.append(ABSENT if chunk is None else (offset, len(content)))
                    offset += _write_whole(file, content)
                    checksum.update(content)
                index_bytes = np.array(entries, "<u8").tobytes()
                index_bytes += google_crc32c.value(index_bytes).to_bytes(4, "little")
                _write_whole(file, index_bytes)
                checksum.update(index_bytes)
            found = partial.stat()
        return FileState(found.st_size, found.st_mtime_ns, checksum.text)

    def copy(self, index: Sequence[int], source: Path, *, link: bool = False) -> FileState:
        """Take a shard over from a file of the same chunks, and return what it holds; after a kill its file is as before.

        Parameters
        ----------
        source
            The file.
        link
            Link it where the file system can, so that it takes no space twice. Not for a file that stays: a program that writes
            into one of the two would change the other as well.
        """
        with self._placing(index) as partial:
            if not (link and _is_linked(partial, source)):
                shutil.copyfile(source, partial)
            return FileState.of(partial)

    def _unchanged(self, values: NDArray[Any], before: NDArray[Any], source: Path) -> dict[int, bytes]:
        """Return the compressed bytes of the chunks of the same values, bit for bit; empty if the file is no whole shard."""
        pairs = enumerate(zip(self._chunks(values), self._chunks(before), strict=True))
        same = [number for number, (own, other) in pairs if own is not None and _is_same(own, other)]
        return _encoded_chunks(source, same, math.prod(self._chunk_counts)) if same else {}

    @property
    def _chunk_counts(self) -> list[int]:
        return [shard // chunk for shard, chunk in zip(self.shards, self.chunks, strict=True)]

    @contextmanager
    def _placing(self, index: Sequence[int]) -> Iterator[Path]:
        """Yield the path of a new file, and move it into the place of a shard; it is deleted if an error comes first."""
        path = self.path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        partial.unlink(missing_ok=True)
        try:
            yield partial
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(path)

    def _chunks(self, values: NDArray[Any]) -> Iterator[NDArray[Any] | None]:
        """Yield the chunks of a shard in C order, padded at the end of the array; None for a chunk outside of it."""
        for place in itertools.product(*map(range, self._chunk_counts)):
            region = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, self.chunks, strict=True))
            part = values[region]
            if part.size == 0:
                yield None
            elif part.shape == self.chunks:
                yield np.ascontiguousarray(part)
            else:
                padded = np.full(self.chunks, self.fill_value, values.dtype)
                padded[tuple(map(slice, part.shape))] = part
                yield padded


def _is_same(own: NDArray[Any], other: NDArray[Any] | None) -> bool:
    """Compare chunks by their bits: NaN equals NaN, and 0 differs from -0."""
    return other is not None and np.array_equal(
        own.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)
    )


def _encoded_chunks(path: Path, numbers: Sequence[int], count: int) -> dict[int, bytes]:
    """Read the compressed bytes of some chunks of a shard with `count` ones; empty if the file is no whole shard."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    end = len(content) - 16 * count - 4
    if end < 0 or google_crc32c.value(content[end:-4]) != int.from_bytes(content[-4:], "little"):
        return {}
    entries = np.frombuffer(content[end:-4], "<u8").reshape(count, 2).tolist()
    return {number: content[slice(entries[number][0], sum(entries[number]))] for number in numbers}


def _is_linked(path: Path, source: Path) -> bool:
    """Link a file to a new path; return False where the file system cannot."""
    try:
        path.hardlink_to(source)
    except OSError:
        return False
    return True


def _write_whole(file: Any, content: bytes) -> int:
    """Write all of the content: an unbuffered file may take less at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
    return len(content)
