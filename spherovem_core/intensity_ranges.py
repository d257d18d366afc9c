"""Ranges between two percentiles of intensities: of a sample in memory, or of a volume read piece by piece."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, block_grid
from spherovem_core.histograms import count_intensities

BINS = 65_536
"""Bins over the range of intensities that are not unsigned 8- or 16-bit integers."""

READ_VOXELS = 2**22
"""Voxels read at a time."""


def percentile_range(sample: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the intensities at two percentiles of a sample; a constant sample gets a range of width 1.

    Parameters
    ----------
    sample : ndarray
        Finite intensities, in memory.
    percentiles
        The lower and the higher one, 0 to 100; interpolated linearly between two intensities.
    """
    low, high = (float(v) for v in np.percentile(sample, percentiles))
    return low, high if high > low else low + 1.0


def volume_percentile_range(source: ArrayLike, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Find the intensities at two percentiles of a volume in bounded memory.

    Every finite voxel counts. Unsigned 8- and 16-bit images take one pass, and the result is exact: the lowest intensity
    that the given percentage of voxels does not exceed. Other images take another pass for their range, and the result is
    off by up to 1/65536 of it.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        Read a few slices or a few rows at a time.
    percentiles
        The lower and the higher one, 0 to 100.

    Returns
    -------
    float, float
        Both 0 if the volume holds no finite value.
    """
    dtype = np.dtype(source.dtype)
    whole = dtype.kind == "u" and dtype.itemsize <= 2
    if whole:
        low, width = 0.0, 1.0
        counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)
        for piece in _finite(source):
            counts += count_intensities(piece)
    else:
        limits = [(piece.min(), piece.max()) for piece in _finite(source) if piece.size]
        if not limits:
            return 0.0, 0.0
        low = float(min(least for least, _ in limits))
        width = (float(max(most for _, most in limits)) - low) / (BINS - 1)
        if width == 0:
            return low, low
        counts = np.zeros(BINS, np.int64)
        for piece in _finite(source):
            index = np.rint((piece.astype(np.float64) - low) / width).astype(np.int64)
            counts += np.bincount(index, minlength=BINS)
    cumulative = np.cumsum(counts) / counts.sum()
    first, last = (int(np.searchsorted(cumulative, p / 100)) for p in percentiles)
    return low + first * width, low + last * width


def _finite(source: ArrayLike) -> Iterator[NDArray[Any]]:
    """Yield all finite values, a few slices or a few rows at a time."""
    depth, rows, columns = source.shape
    height = min(rows, max(1, READ_VOXELS // columns))
    thickness = max(1, READ_VOXELS // (height * columns))
    for piece in block_grid((depth, rows, columns), (thickness, height, columns)):
        values = np.asarray(source[piece.core]).ravel()
        yield values[np.isfinite(values)] if values.dtype.kind == "f" else values
