"""Signed distance to a label's surface from its smoothed occupancy.

A half-space whose occupancy is smoothed with a Gaussian of width s has the normal distribution of the distance over s. Minus
s times the normal quantile of the smoothed occupancy is therefore the signed distance: exact at a flat surface, nearly linear
through any other, and free of the half-voxel steps of a distance transform. The shift by curvature is known in closed form and
corrected afterwards (see `spherovem_core.shape.surface`).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from spherovem_core.gaussian_filtering import filter_between_zeros, gaussian_weights
from spherovem_core.shape.label_grid import LabelGrid

# The Gaussian is cut off at this many widths (2e-4 of the weight).
TAIL = 3.7
# The signed distance is limited to this many widths: the stencils of the surface reach 2.5 cells, and a cell is at most one
# width.
BAND = 3.0


def signed_distance(
    occupancy: NDArray[np.float32], grid: LabelGrid, smoothing_nm: float
) -> NDArray[np.float32]:
    """Compute the signed distance in nm to the half level of a smoothed occupancy, negative inside.

    Parameters
    ----------
    occupancy : (Z, Y, X) ndarray of float32
        Fraction of each cell that the label fills. It is overwritten.
    grid
        Its grid.
    smoothing_nm
        Standard deviation of the Gaussian, including the averaging of voxels by cells; 0.7 cells or more.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Limited to ``±BAND * smoothing_nm``. Runs on the CPU (numba).
    """
    smoothed = filter_between_zeros(occupancy, smoothing_weights(grid, smoothing_nm))
    _to_distance(smoothed, (smoothing_nm * _QUANTILES).astype(np.float32))
    return smoothed


def smoothing_weights(grid: LabelGrid, smoothing_nm: float) -> list[NDArray[np.float32]]:
    """Compute the filter's weights along z, y, x; the averaging of voxels by cells is subtracted from its variance."""
    variance = (smoothing_nm / np.array(grid.spacing_nm)) ** 2 - grid.averaging_variance
    widths = np.sqrt(np.maximum(variance, 0.0)).tolist()
    return [gaussian_weights(width, int(np.ceil(TAIL * width))) for width in widths]


def quantile_table() -> NDArray[np.float32]:
    """Tabulate the signed distance, in widths, at equal steps of the smoothed occupancy from 0 to 1.

    Linear interpolation between the 8192 steps is within 2e-6 widths at two widths from the surface.
    """
    occupancy = np.linspace(0, 1, 8193)
    # Adding 0 turns minus zero into zero: the sign bit decides on which side a cell lies.
    return np.clip(-ndtri(occupancy), -BAND, BAND).astype(np.float32) + np.float32(0)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _to_distance(values: Any, table: Any) -> None:
    """Convert smoothed occupancy to signed distance in place."""
    steps = np.float32(len(table) - 1)
    flat = values.reshape(-1)
    for i in range(len(flat)):
        place = min(max(flat[i], np.float32(0)), np.float32(0.99999)) * steps
        k = np.int32(place)
        flat[i] = table[k] + (place - np.float32(k)) * (table[k + 1] - table[k])


_QUANTILES = quantile_table()
