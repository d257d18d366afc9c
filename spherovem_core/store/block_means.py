"""Means of blocks of whole numbers, by sums that are exact, with the rounding of `numpy.rint`."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

SUM_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype(np.uint16), 2: np.dtype(np.uint32)}
"""Type of the sums of up to 64 values, by the bytes of a value."""


def is_exact(dtype: np.dtype[Any], step: Sequence[int]) -> bool:
    """Return whether blocks are averaged here: extents of 1, 2 or 4 along each axis, unsigned values of 1 or 2 bytes."""
    return dtype.kind == "u" and dtype.itemsize in SUM_TYPES and set(step) <= {1, 2, 4} and max(step) > 1


def empty_sums(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make sums of 0 for values of a type."""
    return np.zeros(tuple(shape), SUM_TYPES[dtype.itemsize])


def add_plane(plane: NDArray[Any], step: Sequence[int], sums: NDArray[Any], weight: int = 1) -> None:
    """Add the sums over blocks of a plane to `sums`.

    Parameters
    ----------
    plane : (Y, X) ndarray of uint8 or uint16
        Of an extent that the factor does not divide, the last row or column counts several times.
    step
        Factor along y and x, 1, 2 or 4.
    sums : (⌈Y/fy⌉, ⌈X/fx⌉) ndarray
        As `empty_sums` makes it.
    weight
        Times that the plane counts.
    """
    fy, fx = step
    width = plane.shape[1]
    plane = np.ascontiguousarray(plane)
    if fx == 2 and width % 2 == 0:
        # Two neighbours are one value of twice the size: sums over whole words run several at a time.
        pairs = plane.view(np.dtype(f"<u{2 * plane.itemsize}"))
        _add_pairs(pairs, 8 * plane.itemsize, (1 << 8 * plane.itemsize) - 1, fy, sums, weight)
    elif fx == 4 and width % 4 == 0:
        _add_fours(plane, fy, sums, weight)
    else:
        _add_any(plane, fy, fx, sums, weight)


def means(sums: NDArray[Any], count: int, out: NDArray[Any]) -> None:
    """Write the means of `count` values, a power of two from 2 to 64, with these sums, halves rounded to the even number."""
    _round(sums, count.bit_length() - 1, out)


def block_means(values: NDArray[Any], step: Sequence[int]) -> NDArray[Any]:
    """Average blocks of a volume; where one lies in it in part, the last values count several times.

    Parameters
    ----------
    values : (Z, Y, X) ndarray of uint8 or uint16
    step
        Factor along each axis, 1, 2 or 4.

    Returns
    -------
    (⌈Z/fz⌉, ⌈Y/fy⌉, ⌈X/fx⌉) ndarray of the same type
    """
    fz, fy, fx = step
    depth = values.shape[0]
    extent = tuple(-(-n // f) for n, f in zip(values.shape, step, strict=True))
    out = np.empty(extent, values.dtype)
    sums = empty_sums(extent[1:], values.dtype)
    for z in range(extent[0]):
        sums[...] = 0
        for fine in range(z * fz, z * fz + fz):
            add_plane(values[min(fine, depth - 1)], (fy, fx), sums)
        means(sums, fz * fy * fx, out[z])
    return out


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_pairs(pairs: Any, bits: Any, mask: Any, fy: Any, sums: Any, weight: Any) -> None:
    height = pairs.shape[0]
    for y in range(sums.shape[0]):
        for j in range(fy):
            row = pairs[min(y * fy + j, height - 1)]
            for x in range(sums.shape[1]):
                sums[y, x] += weight * ((row[x] & mask) + (row[x] >> bits))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_fours(plane: Any, fy: Any, sums: Any, weight: Any) -> None:
    height = plane.shape[0]
    for y in range(sums.shape[0]):
        for j in range(fy):
            row = plane[min(y * fy + j, height - 1)]
            for x in range(sums.shape[1]):
                four = row[4 * x] + row[4 * x + 1] + row[4 * x + 2] + row[4 * x + 3]
                sums[y, x] += weight * four


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_any(plane: Any, fy: Any, fx: Any, sums: Any, weight: Any) -> None:
    height, width = plane.shape
    for y in range(sums.shape[0]):
        for j in range(fy):
            row = plane[min(y * fy + j, height - 1)]
            for x in range(sums.shape[1]):
                for k in range(fx):
                    sums[y, x] += weight * row[min(x * fx + k, width - 1)]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _round(sums: Any, shift: Any, out: Any) -> None:
    half = (1 << (shift - 1)) - 1
    for y in range(sums.shape[0]):
        for x in range(sums.shape[1]):
            total = sums[y, x]
            out[y, x] = (total + half + ((total >> shift) & 1)) >> shift
