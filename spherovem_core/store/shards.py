"""Whole shards written as files, each in one pass and then moved into place.

zarr encodes the chunks of a shard one after another under Python's lock; here they are compressed by imagecodecs outside it,
so that several threads write at full speed (figures: `benchmarks/storage.py`). What is on disk is the format of zarr's
``sharding_indexed`` codec: the chunks, then 16 bytes a chunk (offset and length), then the checksum of that index.
zarrs writes it as fast, but leaves a torn file behind when the disk is full, and tells that without an error number.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from spherovem_core.store.codecs import encode_chunk

PARTIAL = ".partial"
# Offset and length of a chunk that lies wholly outside the array and is not stored.
ABSENT = (2**64 - 1, 2**64 - 1)


@dataclass(frozen=True)
class ShardFiles:
    """The shard files of one array.

    Attributes
    ----------
    folder
        The array's folder.
    chunks, shards
        Their extents in voxels; a shard is a whole number of chunks.
    fill_value
        What pads chunks that the array covers in part.
    """

    folder: Path
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    fill_value: float

    def path(self, index: Sequence[int]) -> Path:
        """File of a shard by its place in the grid of shards."""
        return self.folder.joinpath("c", *map(str, index))

    def write(self, index: Sequence[int], values: NDArray[Any]) -> None:
        """Write one shard; a kill leaves its file as it was.

        Parameters
        ----------
        index
            Place in the grid of shards.
        values
            What the array covers of the shard: smaller than a shard at the array's end.
        """
        path = self.path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        try:
            with partial.open("wb", buffering=0) as file:
                entries, offset = [], 0
                for chunk in self._chunks(values):
                    content = b"" if chunk is None else encode_chunk(chunk)
                    entries.append(ABSENT if chunk is None else (offset, len(content)))
                    offset += _write_whole(file, content)
                index_bytes = np.array(entries, "<u8").tobytes()
                checksum = google_crc32c.value(index_bytes).to_bytes(4, "little")
                _write_whole(file, index_bytes + checksum)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(path)

    def _chunks(self, values: NDArray[Any]) -> Iterator[NDArray[Any] | None]:
        """Yield the chunks of a shard in C order, padded at the array's end; None for one outside of it."""
        counts = [shard // chunk for shard, chunk in zip(self.shards, self.chunks, strict=True)]
        for place in itertools.product(*map(range, counts)):
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


def _write_whole(file: Any, content: bytes) -> int:
    """Write all of it: an unbuffered file may take less at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
    return len(content)
