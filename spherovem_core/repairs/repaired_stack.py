"""A stack whose slices are repaired as they are read; the array that it reads from stays as acquired."""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.repairs.estimate import Repairs
from spherovem_core.repairs.shading import Shading
from spherovem_core.repairs.stripes import find_stripes, remove_stripes
from spherovem_core.utils.accelerator import select_accelerator
from spherovem_core.utils.slice_choice import good_slices

# A filled slice and the two from which it is filled: those are repaired once for a run of filled slices.
_KEPT = 3


class RepairedStack:
    """Repaired slices of a stack, of its shape and type.

    Shading is divided out, then contrast matched, then stripes are removed; all on the CPU, so that the values are the same on
    every machine. Pixels that the detector clipped stay clipped. Slices that were filled are filled again, from repaired
    neighbours.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
    repairs
        What `estimate_repairs` found for this stack.
    bad_slices
        Slices that were filled.
    """

    def __init__(self, source: ArrayLike, repairs: Repairs, bad_slices: Collection[int] = ()) -> None:
        self.source = source
        self.repairs = repairs
        self.bad_slices = frozenset(bad_slices)
        self._good = good_slices(source.shape[0], self.bad_slices)
        self._reset()

    def _reset(self) -> None:
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._field: NDArray[np.float32] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in ("_kept", "_lock", "_field")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stack."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(self.source.dtype)

    def __getattr__(self, name: str) -> Any:
        """Return what else the source has, such as its voxel size."""
        if name.startswith("_") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        """Read a region of repaired slices, given by an index or slices."""
        first, rest = (region[0], tuple(region[1:])) if isinstance(region, tuple) else (region, ())
        if isinstance(first, slice):
            numbers = range(*first.indices(self.shape[0]))
            parts = [self.slice(z)[rest] for z in numbers]
            return np.stack(parts) if parts else np.asarray(self.source[region])
        return np.asarray(self.slice(int(first) % self.shape[0])[rest])

    def slice(self, z: int) -> NDArray[Any]:
        """Return a repaired slice."""
        with self._lock:
            if z in self._kept:
                self._kept.move_to_end(z)
                return self._kept[z]
        values = self._fill(z) if z in self.bad_slices else self._repair(z)
        with self._lock:
            self._kept[z] = values
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return values

    def _repair(self, z: int) -> NDArray[Any]:
        raw = np.asarray(self.source[z])
        values = raw.astype(np.float32)
        if self.repairs.shading:
            values /= self._shading(raw.shape)
        if z in self.repairs.contrast:
            gain, offset = self.repairs.contrast[z]
            values = values * np.float32(gain) + np.float32(offset)
        if self.repairs.stripes != "none":
            values = self._without_stripes(values)
        if np.issubdtype(raw.dtype, np.integer):
            limits = np.iinfo(raw.dtype)
            repaired = np.clip(np.rint(values), limits.min, limits.max).astype(raw.dtype)
            return np.where((raw == limits.min) | (raw == limits.max), raw, repaired)
        return values.astype(raw.dtype)

    def _shading(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self._field is None:
            self._field = Shading(self.repairs.shading).field((shape[0], shape[1]))
        return self._field

    def _without_stripes(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        accelerator = select_accelerator("cpu")
        lying = self.repairs.stripes == "horizontal"
        upright = np.ascontiguousarray(values.T) if lying else values
        repaired = remove_stripes(upright, find_stripes(upright, accelerator), accelerator)
        return np.asarray(repaired.T if lying else repaired)

    def _fill(self, z: int) -> NDArray[Any]:
        """Interpolate between the nearest good slices, as ingest does; at the ends repeat the nearest."""
        place = bisect_left(self._good, z)
        if not self._good:
            return np.asarray(self.source[z])
        below, above = self._good[max(place - 1, 0)], self._good[min(place, len(self._good) - 1)]
        if place == 0 or below == above or place == len(self._good):
            return self.slice(above if place == 0 else below)
        fraction = np.float32((z - below) / (above - below))
        mixed = self.slice(below) * (1 - fraction) + self.slice(above) * fraction
        return np.rint(mixed).astype(self.dtype)
