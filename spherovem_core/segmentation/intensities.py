"""Percentiles of a volume's intensities, computed in streaming passes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, block_grid
from spherovem_core.parameters import FlowParameters

BINS = 65_536
"""Bins over the range of intensities other than unsigned 8- and 16-bit integers."""

READ_VOXELS = 2**22
"""Voxels read at a time."""


def intensity_range(source: ArrayLike, parameters: FlowParameters) -> tuple[float, float]:
    """Find the intensities at `normalise_percentiles` of a volume.

    Every voxel counts in a histogram. The result is exact for unsigned 8- and 16-bit images, which take one pass; others
    take one more pass for their range and are off by up to 1/65536 of it. Values that are not finite are left out. Memory
    is bounded.

    Returns
    -------
    float, float
        Both 0 if the volume holds no finite value.
    """
    dtype = np.dtype(source.dtype)
    whole = dtype.kind == "u" and dtype.itemsize <= 2
    if whole:
        low, width, bins = 0.0, 1.0, 2 ** (8 * dtype.itemsize)
    else:
        limits = [(values.min(), values.max()) for values in _finite(source) if values.size]
        if not limits:
            return 0.0, 0.0
        low = float(min(least for least, _ in limits))
        width, bins = (float(max(most for _, most in limits)) - low) / (BINS - 1), BINS
        if width == 0:
            return low, low
    counts = np.zeros(bins, np.int64)
    for values in _finite(source):
        index = values if whole else np.rint((values.astype(np.float64) - low) / width).astype(np.int64)
        counts += np.bincount(index, minlength=bins)
    fractions = np.cumsum(counts) / counts.sum()
    first, last = (int(np.searchsorted(fractions, p / 100)) for p in parameters.normalise_percentiles)
    return low + first * width, low + last * width


def _finite(source: ArrayLike) -> Iterator[NDArray[Any]]:
    """Yield all finite values, a few slices or a few rows at a time."""
    depth, rows, columns = source.shape
    height = min(rows, max(1, READ_VOXELS // columns))
    thickness = max(1, READ_VOXELS // (height * columns))
    for block in block_grid((depth, rows, columns), (thickness, height, columns)):
        values = np.asarray(source[block.core]).ravel()
        yield values[np.isfinite(values)] if values.dtype.kind == "f" else values
