"""Reading of many small regions of a stored array, with the chunks that were decoded last kept in memory."""

import itertools
import math
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike

EDGE = 64
"""Side in voxels of the cubes that are kept: the chunks in which labels and maps are stored."""

CACHE_BYTES = 1 << 26


class CachedChunks:
    """An array of which the cubes read last are kept: boxes of neighbouring cells meet the same chunks.

    The array must not change meanwhile. Threads may share it; another process begins with an empty cache.

    Parameters
    ----------
    array : (Z, Y, X) array-like
    cache_bytes
        Memory of the cubes.
    """

    def __init__(self, array: ArrayLike, cache_bytes: int = CACHE_BYTES) -> None:
        self._array = array
        self._bytes = cache_bytes
        self._most = max(1, cache_bytes // (EDGE**3 * np.dtype(array.dtype).itemsize))
        self._cubes: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedChunks, (self._array, self._bytes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self._array.dtype)

    def __getitem__(self, region: tuple[slice, ...], /) -> NDArray[Any]:
        """Read a region of whole slices without a step, inside the array."""
        if isinstance(self._array, np.ndarray):
            return self._array[region]
        sides = [range(s.start // EDGE, -(-s.stop // EDGE)) for s in region]
        if math.prod(map(len, sides)) > self._most:
            return np.asarray(self._array[region])
        found = np.empty([s.stop - s.start for s in region], self.dtype)
        for place in itertools.product(*sides):
            cube = self._cube(place)
            cuts = [
                (max(s.start, k * EDGE), min(s.stop, k * EDGE + n))
                for s, k, n in zip(region, place, cube.shape, strict=True)
            ]
            target = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(cuts, region, strict=True))
            found[target] = cube[
                tuple(slice(a - k * EDGE, b - k * EDGE) for (a, b), k in zip(cuts, place, strict=True))
            ]
        return found

    def _cube(self, place: tuple[int, ...]) -> NDArray[Any]:
        with self._lock:
            cube = self._cubes.get(place)
            if cube is not None:
                self._cubes.move_to_end(place)
                return cube
        sides = zip(place, self.shape, strict=True)
        # Read outside of the lock: at worst two threads read one cube.
        cube = np.asarray(self._array[tuple(slice(k * EDGE, min((k + 1) * EDGE, n)) for k, n in sides)])
        with self._lock:
            self._cubes[place] = cube
            while len(self._cubes) > self._most:
                self._cubes.popitem(last=False)
        return cube
