"""Features of voxels by which a boundary between objects is learned: filters of the image, and of a network's flows."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import ndimage

SCALES = (0.7, 1.5, 3.0)
"""Standard deviations of the image's filters in voxels of the flows."""
FLOW_SCALE = 1.5
TRUNCATE = 3.0
MARGIN = 12
"""Voxels around a region on which its features depend."""
FEATURE_COUNT = 5 * len(SCALES) + 6
SMOOTH_IMAGE, RIDGE = 5, 7
"""Features that describe contacts too: the image smoothed by 1.5 voxels, and the largest second derivative there."""


LEAST_REACH = 0.5
"""Voxels of standard deviation from which on a filter reaches the neighbouring section."""


def voxel_features(
    image: NDArray[np.float32], flows: NDArray[np.float32], step: float = 1.0
) -> NDArray[np.float32]:
    """Compute the features of each voxel.

    At each scale: the smoothed image, the magnitude of its gradient, and the eigenvalues of its Hessian, which tell sheets from
    lines, the largest first (Arganda-Carreras et al. 2017, "Trainable Weka Segmentation", Bioinformatics 33; Berg et al.
    2019, "ilastik", Nat. Methods 16). Of the flows: logit, length and divergence, each as it is and smoothed.
    The passes through the three planes are summed in the flows: where they disagree, the sum is short.

    Sections that are thicker than their pixels are filtered and derived across only at scales that reach the next section: below
    half a voxel of standard deviation along z, each section counts by itself.

    Parameters
    ----------
    image : (Z, Y, X) ndarray of float32
        Intensities, 0 and 1 at black and white.
    flows : (4, Z, Y, X) ndarray of float32
        (dz, dy, dx) as networks predict them, and the logit.
    step
        Thickness of the sections in pixels.

    Returns
    -------
    (21, Z, Y, X) ndarray of float32
        The outermost 12 voxels depend on where the arrays end.
    """
    features = np.empty((FEATURE_COUNT, *image.shape), np.float32)
    for number, sigma in enumerate(SCALES):
        part = features[5 * number : 5 * number + 5]
        part[0] = _smoothed(image, sigma, step)
        across = 1 / step if sigma / step >= LEAST_REACH else 0.0
        _derivatives(part[0], np.float32(sigma), np.float32(across), part[1:])
    part = features[5 * len(SCALES) :]
    part[0] = flows[3]
    part[2] = np.sqrt(np.square(flows[:3]).sum(axis=0))
    part[4] = sum(_difference(flows[axis], axis) for axis in range(3))
    for raw, smooth in ((0, 1), (2, 3), (4, 5)):
        part[smooth] = _smoothed(part[raw], FLOW_SCALE, step)
    return features


def _smoothed(values: NDArray[np.float32], sigma: float, step: float) -> NDArray[np.float32]:
    across = sigma / step
    sigmas = (across if across >= LEAST_REACH else 0.0, sigma, sigma)
    return np.asarray(ndimage.gaussian_filter(values, sigmas, truncate=TRUNCATE, mode="nearest"))


def _difference(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return half the difference of both neighbours along an axis; the border repeats."""
    pad = [(int(n == axis),) * 2 for n in range(values.ndim)]
    outer = np.pad(values, pad, mode="edge")
    count = values.shape[axis]
    ahead = np.take(outer, np.arange(2, count + 2), axis)
    before = np.take(outer, np.arange(count), axis)
    return np.asarray((ahead - before) / 2, np.float32)


@njit(cache=True, nogil=True, parallel=True)
def _derivatives(image, sigma, across, out):  # type: ignore[no-untyped-def]
    """Write the gradient's magnitude and the Hessian's eigenvalues, by central differences, times sigma and sigma squared.

    `across` is what one voxel along z counts in pixels' inverse: 1 for cubes, 0 to leave out derivatives along z.
    """
    depth, rows, columns = image.shape
    for z in prange(depth):
        a, b = max(z - 1, 0), min(z + 1, depth - 1)
        for y in range(rows):
            c, d = max(y - 1, 0), min(y + 1, rows - 1)
            for x in range(columns):
                e, f = max(x - 1, 0), min(x + 1, columns - 1)
                here = image[z, y, x]
                gz = across * ((image[b, y, x] - image[a, y, x]) / 2)
                gy = (image[z, d, x] - image[z, c, x]) / 2
                gx = (image[z, y, f] - image[z, y, e]) / 2
                out[0, z, y, x] = sigma * np.sqrt(gz * gz + gy * gy + gx * gx)
                zz = across * across * (image[b, y, x] - 2 * here + image[a, y, x])
                yy = image[z, d, x] - 2 * here + image[z, c, x]
                xx = image[z, y, f] - 2 * here + image[z, y, e]
                zy = across * ((image[b, d, x] - image[b, c, x] - image[a, d, x] + image[a, c, x]) / 4)
                zx = across * ((image[b, y, f] - image[b, y, e] - image[a, y, f] + image[a, y, e]) / 4)
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
