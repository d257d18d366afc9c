"""Bounds on the smoothed evidence from sums over small patches: they show where it can be above the threshold at all.

The numba kernel releases the GIL; it has no GPU counterpart.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import gaussian_weights
from spherovem_core.nanoparticles.delineation import smoothing_radii, threshold_evidence
from spherovem_core.nanoparticles.intensity_tables import EVIDENCE_LIMIT
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

SIDE = 16
# Margin for the rounding of float32 sums, which is far smaller.
_SLACK = 0.999


class EvidencePatches(NamedTuple):
    """Evidence in square patches of a slice, SIDE voxels wide.

    Attributes
    ----------
    hot : (Y / SIDE, X / SIDE) ndarray of bool
        True if a voxel of the patch is above the threshold.
    excess : (Y / SIDE, X / SIDE) ndarray of float32
        Sum of the evidence above its lowest possible value.
    """

    hot: NDArray[np.bool_]
    excess: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _sum_patches(image, excess, above, side, hot, sums):  # type: ignore[no-untyped-def]
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


def sum_patches(image: NDArray[Any], evidence: NDArray[np.float32], threshold: float) -> EvidencePatches:
    """Sum the evidence of a slice (Y, X) of unsigned integers over patches, given the evidence of each intensity."""
    shape = [-(-n // SIDE) for n in image.shape]
    hot, sums = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    _sum_patches(
        image, evidence + np.float32(EVIDENCE_LIMIT), (evidence > threshold).astype(np.uint8), SIDE, hot, sums
    )
    return EvidencePatches(hot > 0, sums)


def possible_patches(
    slices: Sequence[EvidencePatches], spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> NDArray[np.bool_]:
    """Find the patches in which smoothed evidence can be above the threshold in one of the slices.

    Evidence is never below -L. If the smoothing weights are at most w and sum to 1, smoothed evidence exceeds t only if the
    sum of (evidence + L) over all voxels within the kernel exceeds (t + L) / w, and only if one of these voxels exceeds t.
    The outermost voxels are repeated beyond the border, where they weigh up to half the kernel or more: w is larger there.

    Parameters
    ----------
    slices
        Patches of consecutive slices; the first and the last slice may be the volume's border.
    spacing_nm, parameters
        Voxel size (dz, dy, dx), and the parameters of the smoothing.

    Returns
    -------
    (Y / SIDE, X / SIDE) ndarray of bool
    """
    sigma = [parameters.smoothing_nm / step for step in spacing_nm]
    radii = smoothing_radii(spacing_nm, parameters)
    excess = np.stack([entry.excess for entry in slices]).astype(np.float64)
    hot = np.stack([entry.hot for entry in slices])
    # Number of patches, or slices, around a patch that the kernel reaches.
    reach = (radii[0], *(-(-r // SIDE) for r in radii[1:]))
    need = np.full((1, 1, 1), threshold_evidence(parameters) + EVIDENCE_LIMIT)
    for axis, (s, r, n) in enumerate(zip(sigma, radii, reach, strict=True)):
        count = excess.shape[axis]
        centre = float(gaussian_weights(s, r)[0])
        at_border = np.minimum(np.arange(count), np.arange(count)[::-1]) <= n
        # In a single slice or patch the image may be one voxel wide: that voxel stands for all its neighbours.
        at_most = (1 + centre) / 2 if count > 1 else 1.0
        largest = np.where(at_border, at_most, centre)
        need = need / np.expand_dims(largest, tuple({0, 1, 2} - {axis}))
        excess, hot = _over_window(excess, n, axis, np.sum), _over_window(hot, n, axis, np.any)
    return np.asarray((hot & (excess > _SLACK * need)).any(axis=0))


def _over_window(values: NDArray[Any], reach: int, axis: int, reduce: Any) -> NDArray[Any]:
    padding = [(0, 0)] * values.ndim
    padding[axis] = (reach, reach)
    return np.asarray(reduce(sliding_window_view(np.pad(values, padding), 2 * reach + 1, axis=axis), axis=-1))
