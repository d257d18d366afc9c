"""Filters of an image that show membranes."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import ndimage

TRUNCATE = 3.0


def image_filters(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Compute the usual filters of trainable segmentation at one scale.

    Arganda-Carreras et al. 2017, "Trainable Weka Segmentation", Bioinformatics 33; Berg et al. 2019, "ilastik", Nat. Methods 16.

    Parameters
    ----------
    image : (Z, Y, X) ndarray of float32
        Intensities.
    sigma
        Standard deviation of the smoothing in voxels.

    Returns
    -------
    (5, Z, Y, X) ndarray of float32
        The smoothed image, the magnitude of its gradient, and the eigenvalues of its Hessian, which tell sheets from lines, the
        largest first. The outermost 3 sigma + 1 voxels depend on where the array ends.
    """
    features = np.empty((5, *image.shape), np.float32)
    features[0] = ndimage.gaussian_filter(image, sigma, truncate=TRUNCATE, mode="nearest")
    _derivatives(features[0], np.float32(sigma), features[1:])
    return features


@njit(cache=True, nogil=True, parallel=True)
def _derivatives(image, sigma, out):  # type: ignore[no-untyped-def]
    """Write the gradient's magnitude and the Hessian's eigenvalues, by central differences, times sigma and sigma squared."""
    depth, rows, columns = image.shape
    for z in prange(depth):
        a, b = max(z - 1, 0), min(z + 1, depth - 1)
        for y in range(rows):
            c, d = max(y - 1, 0), min(y + 1, rows - 1)
            for x in range(columns):
                e, f = max(x - 1, 0), min(x + 1, columns - 1)
                here = image[z, y, x]
                gz = (image[b, y, x] - image[a, y, x]) / 2
                gy = (image[z, d, x] - image[z, c, x]) / 2
                gx = (image[z, y, f] - image[z, y, e]) / 2
                out[0, z, y, x] = sigma * np.sqrt(gz * gz + gy * gy + gx * gx)
                zz = image[b, y, x] - 2 * here + image[a, y, x]
                yy = image[z, d, x] - 2 * here + image[z, c, x]
                xx = image[z, y, f] - 2 * here + image[z, y, e]
                zy = (image[b, d, x] - image[b, c, x] - image[a, d, x] + image[a, c, x]) / 4
                zx = (image[b, y, f] - image[b, y, e] - image[a, y, f] + image[a, y, e]) / 4
                yx = (image[z, d, f] - image[z, d, e] - image[z, c, f] + image[z, c, e]) / 4
                high, middle, low = _eigenvalues(zz, yy, xx, zy, zx, yx)
                out[1, z, y, x] = sigma * sigma * high
                out[2, z, y, x] = sigma * sigma * middle
                out[3, z, y, x] = sigma * sigma * low


@njit(cache=True, nogil=True)
def _eigenvalues(zz, yy, xx, zy, zx, yx):  # type: ignore[no-untyped-def]
    """Return the eigenvalues of a symmetric 3 x 3 matrix, the largest first (Smith 1961, Commun. ACM 4)."""
    off = zy * zy + zx * zx + yx * yx
    mean = (zz + yy + xx) / 3
    p2 = (zz - mean) ** 2 + (yy - mean) ** 2 + (xx - mean) ** 2 + 2 * off
    if p2 < 1e-20:
        return mean, mean, mean
    p = np.sqrt(p2 / 6)
    a, b, c = (zz - mean) / p, (yy - mean) / p, (xx - mean) / p
    d, e, f = zy / p, zx / p, yx / p
    half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / 2
    angle = np.arccos(min(max(half, -1.0), 1.0)) / 3
    high = mean + 2 * p * np.cos(angle)
    low = mean + 2 * p * np.cos(angle + 2 * np.pi / 3)
    return high, 3 * mean - high - low, low
