"""Dilation, erosion and closing of sparse masks by a ball in nm.

The result in a block is the same as in the whole volume. The numba kernels visit only the voxels of the mask; they have no
GPU counterpart.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm


def ball_extent(radius_nm: float, spacing_nm: SpacingNm) -> tuple[int, int, int]:
    """Count the voxels that a ball reaches from its centre along each axis."""
    dz, dy, dx = (int(np.floor(radius_nm / step + 1e-9)) for step in spacing_nm)
    return dz, dy, dx


def ball_offsets(radius_nm: float, spacing_nm: SpacingNm) -> NDArray[np.int64]:
    """List the offsets (N, 3) of the voxels whose centres lie within a radius of a voxel's centre."""
    axes = [np.arange(-n, n + 1) for n in ball_extent(radius_nm, spacing_nm)]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = ((offsets * np.asarray(spacing_nm)) ** 2).sum(axis=1) <= radius_nm**2 * (1 + 1e-9)
    return np.asarray(offsets[inside])


@njit(cache=True, nogil=True)
def _dilate(mask, offsets, out):  # type: ignore[no-untyped-def]
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not mask[z, y, x]:
                    continue
                out[z, y, x] = True
                # A voxel inside the mask adds nothing beyond what the voxels on its surface add.
                if (
                    0 < z < depth - 1 and 0 < y < height - 1 and 0 < x < width - 1
                    and mask[z - 1, y, x] and mask[z + 1, y, x] and mask[z, y - 1, x]
                    and mask[z, y + 1, x] and mask[z, y, x - 1] and mask[z, y, x + 1]
                ):  # fmt: skip
                    continue
                for n in range(offsets.shape[0]):
                    k, j, i = z + offsets[n, 0], y + offsets[n, 1], x + offsets[n, 2]
                    if 0 <= k < depth and 0 <= j < height and 0 <= i < width:
                        out[k, j, i] = True


@njit(cache=True, nogil=True)
def _erode(mask, offsets, out):  # type: ignore[no-untyped-def]
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not mask[z, y, x]:
                    continue
                whole = True
                for n in range(offsets.shape[0]):
                    k, j, i = z + offsets[n, 0], y + offsets[n, 1], x + offsets[n, 2]
                    if 0 <= k < depth and 0 <= j < height and 0 <= i < width and not mask[k, j, i]:
                        whole = False
                        break
                out[z, y, x] = whole


def dilate(mask: NDArray[np.bool_], radius_nm: float, spacing_nm: SpacingNm) -> NDArray[np.bool_]:
    """Dilate a mask (Z, Y, X) by a ball."""
    out = np.zeros_like(mask)
    _dilate(mask, ball_offsets(radius_nm, spacing_nm), out)
    return out


def close(mask: NDArray[np.bool_], radius_nm: float, spacing_nm: SpacingNm) -> NDArray[np.bool_]:
    """Close a mask (Z, Y, X) by a ball: dilate it, then erode it. The border of the array does not erode it."""
    grown = dilate(mask, radius_nm, spacing_nm)
    out = np.zeros_like(mask)
    _erode(grown, ball_offsets(radius_nm, spacing_nm), out)
    return out
