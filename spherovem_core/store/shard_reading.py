"""Regions read straight from the files of shards.

zarr needs 2 to 5 times as much of a processor for a region of labels: it runs an event loop, copies each chunk several times, and
holds Python's lock meanwhile. Distances, which compress less, gain less. Here the chunks that a region meets are decoded by
imagecodecs, outside of the lock (figures: `benchmarks/storage.py`). Whatever is not of the form in which spherovem and zarr write
these arrays is left to zarr, and so is a damaged file: its errors are zarr's.
"""

import itertools
import math
import operator
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    ShardingCodec,
    ShardingCodecIndexLocation,
    ZstdCodec,
)
from zarr.storage import LocalStore

from spherovem_core.blocks import Region

ABSENT = 2**64 - 1
ENTRY_BYTES, CHECKSUM_BYTES = 16, 4


class UnreadableShardError(Exception):
    """A file is not a shard of the expected form; zarr reads it, or says what is wrong."""


def read_region(array: zarr.Array[Any], index: Any) -> NDArray[Any]:
    """Read what ``array[index]`` reads, with the same values, type and shape.

    Parameters
    ----------
    array
        Any array; one in shards of zstd or blosc in a local folder is read without zarr where the index is made of whole numbers
        and slices without a step.
    """
    region = plain_region(index, array.shape)
    form = None if region is None else _form(array)
    if region is not None and form is not None:
        try:
            values = form.read(region)
        except (UnreadableShardError, OSError):
            return np.asarray(array[index])
        places = index if isinstance(index, tuple) else (index,)
        return values[tuple(slice(None) if isinstance(place, slice) else 0 for place in places)]
    return np.asarray(array[index])


def plain_region(index: Any, shape: Sequence[int]) -> Region | None:
    """Return the region that an index reads; None for an empty one, and for an index of another form."""
    places = index if isinstance(index, tuple) else (index,)
    if len(places) > len(shape):
        return None
    region = []
    whole: tuple[Any, ...] = (slice(None),) * (len(shape) - len(places))
    for place, extent in zip((*places, *whole), shape, strict=True):
        if isinstance(place, slice):
            start, stop, step = place.indices(extent)
            if step != 1 or start >= stop:
                return None
        elif isinstance(place, int | np.integer):
            start = operator.index(place)
            start += extent if start < 0 else 0
            stop = start + 1
            if not 0 <= start < extent:
                return None
        else:
            return None
        region.append(slice(start, stop))
    return tuple(region)


def _form(array: zarr.Array[Any]) -> "_ShardForm | None":
    """Return how an array is stored; None if it is in another form than that of shards with one compressor."""
    metadata: Any = array.metadata
    store: Any = array.store
    codecs: Sequence[Any] = getattr(metadata, "codecs", ())
    if not isinstance(store, LocalStore) or len(codecs) != 1 or not isinstance(codecs[0], ShardingCodec):
        return None
    sharding = codecs[0]
    inner: Sequence[Any] = sharding.codecs
    if (
        sharding.index_location != ShardingCodecIndexLocation.end
        or [type(codec) for codec in sharding.index_codecs] != [BytesCodec, Crc32cCodec]
        or len(inner) != 2
        or not isinstance(inner[0], BytesCodec)
        or not isinstance(inner[1], ZstdCodec | BloscCodec)
        or metadata.chunk_key_encoding.name != "default"
        or metadata.chunk_key_encoding.separator != "/"
        or getattr(inner[0].endian, "value", "little") != "little"
        or sys.byteorder != "little"
    ):
        return None
    return _ShardForm(
        Path(store.root) / array.path / "c",
        tuple(sharding.chunk_shape),
        tuple(metadata.chunk_grid.chunk_shape),
        np.dtype(array.dtype),
        array.fill_value,
        isinstance(inner[1], BloscCodec),
    )


@dataclass(frozen=True)
class _ShardForm:
    """How an array is stored: folder of its files, extents of chunks and shards in voxels, type, padding and compressor."""

    folder: Path
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any
    is_blosc: bool

    def read(self, region: Region) -> NDArray[Any]:
        """Read a region.

        Raises
        ------
        UnreadableShardError
            If a file is no whole shard.
        """
        out = np.empty([s.stop - s.start for s in region], self.dtype)
        for index in _grid(region, self.shards):
            low = [max(s.start, i * n) for s, i, n in zip(region, index, self.shards, strict=True)]
            high = [min(s.stop, (i + 1) * n) for s, i, n in zip(region, index, self.shards, strict=True)]
            part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            target = out[
                tuple(slice(a - s.start, b - s.start) for a, b, s in zip(low, high, region, strict=True))
            ]
            with _opened(self.folder.joinpath(*map(str, index))) as file:
                if file is None:
                    target[...] = self.fill_value
                else:
                    self._read_shard(file, index, part, target)
        return out

    def _read_shard(self, file: int, index: Sequence[int], part: Region, target: NDArray[Any]) -> None:
        """Read the chunks that a part of a shard meets."""
        per_shard = [n // c for n, c in zip(self.shards, self.chunks, strict=True)]
        entries = _read_index(file, math.prod(per_shard)).reshape(*per_shard, 2)
        buffer = np.empty(self.chunks, self.dtype)
        for chunk in _grid(part, self.chunks):
            inside = [k - i * n for k, i, n in zip(chunk, index, per_shard, strict=True)]
            offset, length = (int(value) for value in entries[tuple(inside)])
            sides = list(zip(part, chunk, self.chunks, strict=True))
            cuts = [(max(s.start, k * n), min(s.stop, (k + 1) * n)) for s, k, n in sides]
            place = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(cuts, part, strict=True))
            if offset == ABSENT and length == ABSENT:
                target[place] = self.fill_value
                continue
            content = os.pread(file, length, offset)
            self._decode(content, length, buffer)
            own = tuple(slice(a - k * n, b - k * n) for (a, b), (_, k, n) in zip(cuts, sides, strict=True))
            target[place] = buffer[own]

    def _decode(self, content: bytes, length: int, out: NDArray[Any]) -> None:
        if len(content) != length:
            raise UnreadableShardError
        decode: Any = imagecodecs.blosc_decode if self.is_blosc else imagecodecs.zstd_decode
        try:
            decoded = decode(content, out=out.reshape(-1).view(np.uint8))
        except (RuntimeError, ValueError) as error:
            raise UnreadableShardError from error
        # The rest of the buffer would be another chunk's.
        if len(decoded) != out.nbytes:
            raise UnreadableShardError


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a file for reading; yield None where it is not there."""
    try:
        file = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _read_index(file: int, chunks: int) -> NDArray[np.uint64]:
    """Read offset and length of each chunk from the end of a shard."""
    length = ENTRY_BYTES * chunks + CHECKSUM_BYTES
    start = os.fstat(file).st_size - length
    content = os.pread(file, length, start) if start >= 0 else b""
    entries, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    if len(content) != length or google_crc32c.value(entries) != int.from_bytes(checksum, "little"):
        raise UnreadableShardError
    return np.frombuffer(entries, "<u8").reshape(chunks, 2)


def _grid(region: Region, sides: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the positions of the shards or chunks that a region meets."""
    return itertools.product(
        *(range(s.start // n, -(-s.stop // n)) for s, n in zip(region, sides, strict=True))
    )
