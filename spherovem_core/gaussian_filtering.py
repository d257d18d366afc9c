"""Truncated Gaussian filters in float32, compiled for blocks and for labels.

Stages call `scipy.ndimage.gaussian_filter` where speed does not matter. These filters add whole rows and release the GIL; on
the CPU they are several times as fast. One repeats the border of an array, the other assumes zeros beyond it.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.utils.accelerator import Accelerator


def gaussian_weights(sigma: float, radius: int) -> NDArray[np.float32]:
    """Compute the weights of a sampled Gaussian from the centre outwards; both sides together sum to 1.

    Parameters
    ----------
    sigma
        Standard deviation in voxels; 0 leaves the centre alone.
    radius
        Voxels on each side of the centre.

    Returns
    -------
    (radius + 1,) ndarray of float32
    """
    # Below a thousandth of a voxel every weight but the centre's is 0 in any case, and 0 must not be a divisor.
    half = np.exp(-0.5 * (np.arange(radius + 1) / max(sigma, 1e-3)) ** 2)
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)


def filter_repeating_border(
    volume: NDArray[np.float32], sigma: Sequence[float], radius: Sequence[int]
) -> NDArray[np.float32]:
    """Filter a volume, repeating its outermost voxels beyond the border.

    The result at a voxel is the same to the last bit in any block. Runs on the CPU (numba).

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of float32
    sigma, radius
        Along each axis in voxels; a radius of 0 leaves the axis alone.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        The volume itself where no axis is filtered.
    """
    kernels = [gaussian_weights(s, r) for s, r in zip(sigma, radius, strict=True)]
    depth, width = volume.shape[0], volume.shape[2]
    volume = np.ascontiguousarray(volume, np.float32)
    if kernels[0].size > 1:
        out = np.empty_like(volume)
        _filter_outer(volume.reshape(depth, -1), kernels[0], out.reshape(depth, -1))
        volume = out
    if kernels[1].size > 1:
        out = np.empty_like(volume)
        for source, target in zip(volume, out, strict=True):
            _filter_outer(source, kernels[1], target)
        volume = out
    if kernels[2].size > 1:
        out = np.empty_like(volume)
        _filter_inner(volume.reshape(-1, width), kernels[2], out.reshape(-1, width))
        volume = out
    return volume


def filter_between_zeros(
    volume: NDArray[np.float32], weights: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Filter a volume of values of 0 or more with zeros beyond its border; rows of zeros cost nothing.

    Runs on the CPU (numba); `filter_between_zeros_on` is its counterpart on a GPU, equal to float32's rounding.

    Parameters
    ----------
    volume : (Z, Y, X) ndarray of float32
        It is overwritten.
    weights
        Of `gaussian_weights` along each axis.

    Returns
    -------
    (Z, Y, X) ndarray of float32
    """
    source, target = volume, np.zeros_like(volume)
    for axis, kernel in enumerate(weights):
        if axis == 2:
            _filter_rows(source, kernel, target)
        else:
            _filter_across(source, kernel, axis, target)
        source, target = target, source
    return source


def filter_between_zeros_on(gpu: Accelerator, volume: Any, weights: Sequence[NDArray[np.float32]]) -> Any:
    """Filter an array of the device as `filter_between_zeros` does; the array is left as it is."""
    for axis, half in enumerate(weights):
        kernel = gpu.to_device(np.concatenate([half[:0:-1], half]))
        volume = gpu.ndi.correlate1d(volume, kernel, axis=axis, mode="constant", cval=0.0)
    return volume


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _filter_outer(source: Any, kernel: Any, out: Any) -> None:
    """Filter along the first axis of (N, M), whole rows at a time; the first and the last row are repeated."""
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _filter_inner(source: Any, kernel: Any, out: Any) -> None:
    """Filter along the second axis of (N, M); the first and the last column are repeated."""
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


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _filter_across(source: Any, weights: Any, axis: int, target: Any) -> None:
    """Filter along z (axis 0) or y (axis 1), four whole rows at a time; rows of zeros are skipped."""
    depth, height, width = source.shape
    filled = np.zeros((depth, height), np.bool_)
    for z in range(depth):
        for y in range(height):
            row = source[z, y]
            largest = np.float32(0)
            for x in range(width):
                largest = max(largest, row[x])
            filled[z, y] = largest > 0
    length = depth if axis == 0 else height
    reach = len(weights) - 1
    place = np.zeros(2 * reach + 4, np.int64)
    weight = np.zeros(2 * reach + 4, np.float32)
    for z in range(depth):
        for y in range(height):
            here = z if axis == 0 else y
            n = 0
            for k in range(max(0, here - reach), min(length, here + reach + 1)):
                if filled[k, y] if axis == 0 else filled[z, k]:
                    place[n], weight[n] = k, weights[abs(k - here)]
                    n += 1
            weight[n : n + 3] = 0
            place[n : n + 3] = here
            out = target[z, y]
            out[:] = 0
            for i in range(0, n, 4):
                a, b = _row(source, axis, z, y, place[i]), _row(source, axis, z, y, place[i + 1])
                c, d = _row(source, axis, z, y, place[i + 2]), _row(source, axis, z, y, place[i + 3])
                wa, wb, wc, wd = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
                for x in range(width):
                    out[x] += wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _row(source: Any, axis: int, z: int, y: int, place: int) -> Any:
    return source[place, y] if axis == 0 else source[z, place]


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _filter_rows(source: Any, weights: Any, target: Any) -> None:
    """Filter along x; rows of zeros are skipped."""
    depth, height, width = source.shape
    reach = len(weights) - 1
    padded = np.zeros(width + 2 * reach, np.float32)
    for z in range(depth):
        for y in range(height):
            row, out = source[z, y], target[z, y]
            largest = np.float32(0)
            for x in range(width):
                largest = max(largest, row[x])
                padded[reach + x] = row[x]
            if largest == 0:
                out[:] = 0
                continue
            for x in range(width):
                out[x] = weights[0] * row[x]
            for k in range(1, reach + 1):
                # Views, so that no index is below zero: the compiler then takes many voxels at once.
                weight, left, right = weights[k], padded[reach - k :], padded[reach + k :]
                for x in range(width):
                    out[x] += weight * (left[x] + right[x])
