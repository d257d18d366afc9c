"""Labels opened for reading, whatever their format."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

EXPECTED = (
    "expected a zarr array, OME-Zarr image or webKnossos dataset, a folder of TIFF slices, or a file .npz, .npy, .tif, .tiff, "
    ".nii, .nii.gz, .mrc, .map or .rec"
)


@dataclass(frozen=True)
class LabelVolume:
    """Labels opened for reading; indexed like an array.

    Attributes
    ----------
    shape, dtype
        Shape and type of the whole array; the last three axes are z, y, x.
    chunks
        Smallest extents that are read at once.
    spacing_nm
        Voxel size if the file states it, else None.
    origin_nm
        Centre of the first voxel if the file states it, else None.
    unpack
        Unpacks a compressed file, which otherwise happens when the first region is read; None where there is nothing to unpack.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    spacing_nm: SpacingNm | None
    _read: Callable[[Any], NDArray[Any]] = field(repr=False)
    origin_nm: SpacingNm | None = None
    unpack: Callable[[], Any] | None = field(default=None, repr=False)

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return np.asarray(self._read(region))


class Deferred:
    """An array that is made when its first region is read.

    Parameters
    ----------
    make
        Makes the array, once.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = Lock()
        self._array: Any = None

    def make(self) -> Any:
        """Return the array."""
        with self._lock:
            if self._array is None:
                self._array = self._make()
        return self._array

    def __getitem__(self, region: Any, /) -> NDArray[Any]:
        return np.asarray(self.make()[region])


def deferred_volume(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    make: Callable[[], Any],
    spacing_nm: SpacingNm | None = None,
    origin_nm: SpacingNm | None = None,
) -> LabelVolume:
    """Wrap an array whose file is unpacked when its first region is read."""
    array, row = Deferred(make), (*(1 for _ in shape[1:]), *shape[-1:])
    return LabelVolume(shape, dtype, row, spacing_nm, array.__getitem__, origin_nm, array.make)


def volume_of_array(
    array: Any, spacing_nm: SpacingNm | None = None, origin_nm: SpacingNm | None = None
) -> LabelVolume:
    """Wrap an array that lies in memory or is mapped from a file."""
    row = (*(1 for _ in array.shape[1:]), *array.shape[-1:])
    return LabelVolume(array.shape, array.dtype, row, spacing_nm, array.__getitem__, origin_nm)


def triple(values: Any) -> SpacingNm:
    """Return three numbers as floats."""
    z, y, x = (float(value) for value in values)
    return z, y, x
