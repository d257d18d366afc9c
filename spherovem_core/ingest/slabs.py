"""Volumes that are stored in chunks of several slices: each chunk is decoded once, in bounded memory."""

import errno
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import StoreNotWritableError

Load = Callable[[slice, slice, slice], NDArray[Any]]
Window = tuple[int, int, int, int, int]

MEMORY_BYTES = 2**29
"""Bytes of slabs that one volume keeps in memory; the two that are in use stay in any case."""
SLAB_BYTES = 2**28
"""A larger slab is kept in a file in the folder for temporary files."""
TILE_BYTES = 2**26
"""Bytes that are decoded at a time into such a file, at least one chunk."""
LARGEST_CHUNK_BYTES = 2**32


class ChunkedVolume:
    """Reads slices of a volume slab by slab; a slab is all that the chunks of one depth hold of the wanted rows and columns.

    Parameters
    ----------
    shape, dtype
        (Z, Y, X) and type.
    chunks
        (Z, Y, X) of the pieces that are decoded as a whole.
    load
        Reads a box; called from several threads.
    """

    def __init__(
        self, shape: tuple[int, int, int], dtype: np.dtype[Any], chunks: tuple[int, int, int], load: Load
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.chunks = tuple(max(1, min(chunk, side)) for chunk, side in zip(chunks, shape, strict=True))
        self._load = load
        self._slabs: OrderedDict[Window, _Slab] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, z: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part of one slice.

        Raises
        ------
        StoreNotWritableError
            If the folder for temporary files has no room for a slab.
        """
        depth = self.chunks[0]
        if depth == 1:
            return np.asarray(self._load(slice(z, z + 1), rows, columns)[0])
        first = z - z % depth
        slab = self._slab((first, rows.start, rows.stop, columns.start, columns.stop))
        with slab.lock:
            if slab.values is None:
                slab.values = self._fill(slice(first, min(first + depth, self.shape[0])), rows, columns)
            return np.array(slab.values[z - first])

    def _slab(self, window: Window) -> "_Slab":
        with self._lock:
            slab = self._slabs.setdefault(window, _Slab())
            self._slabs.move_to_end(window)
            while len(self._slabs) > 2 and (self._bytes() > MEMORY_BYTES or self._spooled() > 2):
                self._slabs.popitem(last=False)
            return slab

    def _bytes(self) -> int:
        return sum(slab.values.nbytes for slab in list(self._slabs.values()) if slab.values is not None)

    def _spooled(self) -> int:
        return sum(isinstance(slab.values, np.memmap) for slab in list(self._slabs.values()))

    def _fill(self, z: slice, rows: slice, columns: slice) -> NDArray[Any]:
        shape = (z.stop - z.start, rows.stop - rows.start, columns.stop - columns.start)
        if prod(shape) * self.dtype.itemsize <= SLAB_BYTES:
            return self._load(z, rows, columns)
        values = _spool(shape, self.dtype)
        for tile_rows, tile_columns in self._tiles(rows, columns, shape[0]):
            values[
                :,
                tile_rows.start - rows.start : tile_rows.stop - rows.start,
                tile_columns.start - columns.start : tile_columns.stop - columns.start,
            ] = self._load(z, tile_rows, tile_columns)
        return values

    def _tiles(self, rows: slice, columns: slice, depth: int) -> Iterator[tuple[slice, slice]]:
        """Cut a window at the borders of chunks into pieces of some of them."""
        _, high, wide = self.chunks
        chunk_bytes = depth * high * wide * self.dtype.itemsize
        across = max(1, TILE_BYTES // chunk_bytes) * wide
        for part in _aligned(rows, high):
            yield from ((part, piece) for piece in _aligned(columns, across))


class _Slab:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: NDArray[Any] | None = None


def _aligned(extent: slice, step: int) -> Iterator[slice]:
    start = extent.start
    while start < extent.stop:
        stop = min(extent.stop, start - start % step + step)
        yield slice(start, stop)
        start = stop


def _spool(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make an array in a temporary file that has no name, so that it is gone with the process."""
    size = prod(shape) * dtype.itemsize
    with tempfile.TemporaryFile(prefix="spherovem-slab-") as file:
        try:
            # Without room, a write into the map would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise StoreNotWritableError(
                f"no room for {size / 2**30:.1f} GiB in {tempfile.gettempdir()} ({error.strerror}), where the slices that "
                "share chunks are kept; free space there, or set TMPDIR to a folder with room"
            ) from error
        return np.memmap(file, dtype, "r+", 0, shape)
