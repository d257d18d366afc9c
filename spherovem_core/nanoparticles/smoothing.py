"""Gaussian smoothing in float32 whose result at a voxel is the same to the last bit in whatever block it is computed.

A numba kernel that adds whole rows, several times as fast as `scipy.ndimage` on small blocks; it releases the GIL and has no
GPU counterpart.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray


def gaussian_kernel(sigma: float, radius: int) -> NDArray[np.float32]:
    """Weights of a Gaussian from the centre outwards, such that the whole kernel sums to 1."""
    if radius == 0 or sigma <= 0:
        return np.ones(1, np.float32)
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)


@njit(cache=True, nogil=True)
def _smooth_outer(source, kernel, out):  # type: ignore[no-untyped-def]
    """Along the first axis of (N, M): whole rows are added."""
    count, width = source.shape
    for n in range(count):
        row = out[n]
        for x in range(width):
            row[x] = kernel[0] * source[n, x]
        for k in range(1, kernel.size):
            before, after = source[max(n - k, 0)], source[min(n + k, count - 1)]
            weight = kernel[k]
            for x in range(width):
                row[x] += weight * (before[x] + after[x])


@njit(cache=True, nogil=True)
def _smooth_inner(source, kernel, out):  # type: ignore[no-untyped-def]
    """Along the second axis of (N, M)."""
    count, width = source.shape
    reach = kernel.size - 1
    padded = np.empty(width + 2 * reach, np.float32)
    for n in range(count):
        padded[:reach] = source[n, 0]
        padded[reach : reach + width] = source[n]
        padded[reach + width :] = source[n, width - 1]
        row = out[n]
        for x in range(width):
            row[x] = kernel[0] * padded[reach + x]
        for k in range(1, kernel.size):
            weight = kernel[k]
            before, after = padded[reach - k : reach - k + width], padded[reach + k : reach + k + width]
            for x in range(width):
                row[x] += weight * (before[x] + after[x])


def smooth(volume: NDArray[np.float32], sigma: Sequence[float], radius: Sequence[int]) -> NDArray[np.float32]:
    """Smooth a volume by a truncated Gaussian.

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of float32
    sigma, radius
        Along each axis in voxels; a radius of 0 leaves the axis alone. Beyond the border the outermost
        voxels go on.

    Returns
    -------
    (Z, Y, X) ndarray of float32
    """
    kernels = [gaussian_kernel(s, r) for s, r in zip(sigma, radius, strict=True)]
    depth, width = volume.shape[0], volume.shape[2]
    volume = np.ascontiguousarray(volume, np.float32)
    if kernels[0].size > 1:
        out = np.empty_like(volume)
        _smooth_outer(volume.reshape(depth, -1), kernels[0], out.reshape(depth, -1))
        volume = out
    if kernels[1].size > 1:
        out = np.empty_like(volume)
        for source, target in zip(volume, out, strict=True):
            _smooth_outer(source, kernels[1], target)
        volume = out
    if kernels[2].size > 1:
        out = np.empty_like(volume)
        _smooth_inner(volume.reshape(-1, width), kernels[2], out.reshape(-1, width))
        volume = out
    return volume
