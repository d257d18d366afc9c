"""Signed distance to a label's surface from its smoothed occupancy.

Smoothing the occupancy of a half-space with a Gaussian of width s gives the normal distribution of the
distance over s, so that minus s times the normal quantile of the smoothed occupancy is the signed distance: exact at a flat
surface, nearly linear through any other, and free of the half-voxel steps of a distance transform. What
curvature adds to it is known in closed form and taken off again (see `spherovem_core.shape.surface`).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from spherovem_core.gaussian_filtering import filter_between_zeros, gaussian_weights
from spherovem_core.shape.occupancy import Grid

# Gaussian tails beyond this many widths are cut off (2e-4 of the weight).
TAIL = 3.7
# The signed distance is held at this many widths: the surface's stencils reach 2.5 cells, a cell is at most
# one width.
BAND = 3.0


def signed_distance(occupancy: NDArray[np.float32], grid: Grid, smoothing_nm: float) -> NDArray[np.float32]:
    """Signed distance in nm to the half level of a smoothed occupancy, negative inside.

    Parameters
    ----------
    occupancy : (Z, Y, X) ndarray of float32
        Share of each cell that the label takes. It is overwritten.
    grid
        Its grid.
    smoothing_nm
        Standard deviation of the Gaussian, what the cells average over their voxels included; 0.7 cells or more.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Held at ``±BAND * smoothing_nm`` away from the surface. Runs on the CPU (numba).
    """
    smoothed = filter_between_zeros(occupancy, smoothing_weights(grid, smoothing_nm))
    _to_distance(smoothed, (smoothing_nm * _QUANTILES).astype(np.float32))
    return smoothed


def smoothing_weights(grid: Grid, smoothing_nm: float) -> list[NDArray[np.float32]]:
    """Compute the filter's weights along z, y, x; what the cells average over their voxels is taken off its variance."""
    variance = (smoothing_nm / np.array(grid.spacing_nm)) ** 2 - grid.averaging_variance
    widths = np.sqrt(np.maximum(variance, 0.0)).tolist()
    return [gaussian_weights(width, int(np.ceil(TAIL * width))) for width in widths]


def quantile_table() -> NDArray[np.float32]:
    """Signed distance, in widths, at equal steps of the smoothed occupancy from 0 to 1.

    Between two of the 8192 steps a straight line is within 2e-6 widths at two widths from the surface.
    """
    share = np.linspace(0, 1, 8193)
    # Adding 0 leaves no minus zero: signs are told by the sign bit.
    return np.clip(-ndtri(share), -BAND, BAND).astype(np.float32) + np.float32(0)


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _to_distance(values: Any, table: Any) -> None:
    """Turn smoothed occupancy into signed distance in place."""
    steps = np.float32(len(table) - 1)
    flat = values.reshape(-1)
    for i in range(len(flat)):
        place = min(max(flat[i], np.float32(0)), np.float32(0.99999)) * steps
        k = np.int32(place)
        flat[i] = table[k] + (place - np.float32(k)) * (table[k + 1] - table[k])


_QUANTILES = quantile_table()
