"""Strength of boundaries in an image: the range of grey values around each voxel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTHING = 0.5
"""Voxels: enough against noise of single voxels; 1.0 made membranes of two voxels as weak as the texture of cells."""

MARGIN = 3
"""Voxels around a region that its gradient depends on: 2 for the smoothing, 1 for the range."""


def boundary_gradient(image: NDArray[Any]) -> NDArray[np.float32]:
    """Measure the range of the smoothed image within 3 x 3 x 3 voxels.

    Unlike a difference it does not vanish in the middle of a thin membrane. The outer `MARGIN` voxels depend on what lies beyond
    the array, unless the volume ends there.

    Parameters
    ----------
    image : (Z, Y, X) ndarray
        Grey values.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Range in grey values.
    """
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTHING, truncate=3.0)
    return _extreme(smooth, np.maximum) - _extreme(smooth, np.minimum)


def _extreme(values: NDArray[np.float32], larger: np.ufunc) -> NDArray[np.float32]:
    """Return the largest or smallest value within 3 x 3 x 3 voxels; a quarter of the time of SciPy's filters, the same bits."""
    for axis in range(3):
        found = values.copy()
        before, behind = (
            tuple(part if a == axis else slice(None) for a in range(3))
            for part in (slice(None, -1), slice(1, None))
        )
        larger(found[before], values[behind], out=found[before])
        larger(found[behind], values[before], out=found[behind])
        values = found
    return values
