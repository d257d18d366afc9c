"""Where smoothed evidence can be above the threshold at all: bounds from sums over small squares.

A numba kernel that releases the GIL; it has no GPU counterpart.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import gaussian_weights
from spherovem_core.nanoparticles.delineation import smoothing_radii, threshold_evidence
from spherovem_core.nanoparticles.lookup import EVIDENCE_LIMIT
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

SIDE = 16
# Sums of float32 against a bound: far more than their rounding.
_SLACK = 0.999


class Squares(NamedTuple):
    """Evidence of the squares of a slice, SIDE voxels wide.

    Attributes
    ----------
    hot : (Y / SIDE, X / SIDE) ndarray of bool
        Whether a voxel is above the threshold.
    excess : (Y / SIDE, X / SIDE) ndarray of float32
        Sum of the evidence, counted from its lowest possible value.
    """

    hot: NDArray[np.bool_]
    excess: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _sum_squares(image, excess, above, side, hot, sums):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    for y in range(rows):
        row = image[y]
        for i in range(hot.shape[1]):
            found = 0
            total = np.float32(0)
            for x in range(i * side, min((i + 1) * side, columns)):
                found |= above[row[x]]
                total += excess[row[x]]
            hot[y // side, i] |= found
            sums[y // side, i] += total


def find_squares(image: NDArray[Any], evidence: NDArray[np.float32], threshold: float) -> Squares:
    """Sum the evidence of a slice (Y, X) of unsigned integers over squares, given that of each intensity."""
    shape = [-(-n // SIDE) for n in image.shape]
    hot, sums = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    _sum_squares(
        image, evidence + np.float32(EVIDENCE_LIMIT), (evidence > threshold).astype(np.uint8), SIDE, hot, sums
    )
    return Squares(hot > 0, sums)


def possible_squares(
    planes: Sequence[Squares], spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> NDArray[np.bool_]:
    """Squares in which smoothed evidence can be above the threshold in one of the slices.

    Evidence is never below -L. Smoothed by weights of at most w that sum to 1, it exceeds t only if the sum of
    (evidence + L) over all voxels that reach there exceeds (t + L) / w; and only if one of them exceeds t. Beyond the
    border the outermost voxels go on, and weigh as much as half the kernel and more: w allows for it there.

    Parameters
    ----------
    planes
        Consecutive slices; the first and the last may be the volume's border.
    spacing_nm, parameters
        Voxel size (dz, dy, dx), and the smoothing.

    Returns
    -------
    (Y / SIDE, X / SIDE) ndarray of bool
    """
    sigma = [parameters.smoothing_nm / step for step in spacing_nm]
    radii = smoothing_radii(spacing_nm, parameters)
    excess = np.stack([plane.excess for plane in planes]).astype(np.float64)
    hot = np.stack([plane.hot for plane in planes])
    # Voxels that reach a square lie in so many squares, or slices, around it.
    reach = (radii[0], *(-(-r // SIDE) for r in radii[1:]))
    need = np.full((1, 1, 1), threshold_evidence(parameters) + EVIDENCE_LIMIT)
    for axis, (s, r, n) in enumerate(zip(sigma, radii, reach, strict=True)):
        count = excess.shape[axis]
        centre = float(gaussian_weights(s, r)[0])
        at_border = np.minimum(np.arange(count), np.arange(count)[::-1]) <= n
        # In a single slice or square, the voxel of an image one voxel wide stands for all its neighbours.
        at_most = (1 + centre) / 2 if count > 1 else 1.0
        largest = np.where(at_border, at_most, centre)
        need = need / np.expand_dims(largest, tuple({0, 1, 2} - {axis}))
        excess, hot = _over_window(excess, n, axis, np.sum), _over_window(hot, n, axis, np.any)
    return np.asarray((hot & (excess > _SLACK * need)).any(axis=0))


def _over_window(values: NDArray[Any], reach: int, axis: int, reduce: Any) -> NDArray[Any]:
    padding = [(0, 0)] * values.ndim
    padding[axis] = (reach, reach)
    return np.asarray(reduce(sliding_window_view(np.pad(values, padding), 2 * reach + 1, axis=axis), axis=-1))
