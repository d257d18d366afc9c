"""Smooth random fields that can be evaluated at any position and are never stored whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

# Mean over phase of the sum of squared cubic B-spline weights, which is the variance along one axis.
_AXIS_VARIANCE = 151 / 315
# Two lattices of incommensurate steps are added, since blobs of a single lattice look square.
_LATTICES = (1.0, 1.31)


@dataclass(frozen=True)
class SmoothNoise:
    """A stationary random field of cubic B-splines weighted with white noise on a lattice.

    The field is twice differentiable and correlated over about 1.5 lattice steps. Its mean is 0 and its variance 1, within
    8 %: the variance of a spline depends on the phase in its lattice. Each lattice plane has its own generator, so that a
    slice that is evaluated alone has the same values.

    Parameters
    ----------
    key : tuple of int
        Seed and number of the field.
    step_um : float
        Lattice spacing in µm.
    lower_um, upper_um : (z, y, x)
        Box in which the field may be evaluated.
    """

    key: tuple[int, ...]
    step_um: float
    lower_um: tuple[float, float, float]
    upper_um: tuple[float, float, float]

    def on_grid(
        self, z_um: NDArray[np.float64], y_um: NDArray[np.float64], x_um: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Evaluate at the points of a regular grid, shape (len(z), len(y), len(x))."""
        out = np.zeros((z_um.size, y_um.size, x_um.size), np.float32)
        for number, scale in enumerate(_LATTICES):
            (iz, wz), (iy, wy), (ix, wx) = (
                _weights((c - low) / (scale * self.step_um))
                for c, low in zip((z_um, y_um, x_um), self.lower_um, strict=True)
            )
            first = int(iz.min())
            coefficients = self._planes(number, first, int(iz.max()) + 4)
            _evaluate(coefficients, iz - first, wz, iy, wy, ix, wx, out)
        return out

    def at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """Evaluate at scattered points (N, 3); N may be 0."""
        out = np.zeros(len(points_um), np.float32)
        for number, scale in enumerate(_LATTICES if len(points_um) else ()):
            steps = (points_um - np.asarray(self.lower_um)) / (scale * self.step_um)
            first = int(np.floor(steps[:, 0].min()))
            planes = self._planes(number, first, int(np.floor(steps[:, 0].max())) + 4)
            steps[:, 0] -= first
            out += ndimage.map_coordinates(planes, steps.T + 1, order=3, prefilter=False, mode="nearest")
        return out

    def _planes(self, lattice: int, first: int, stop: int) -> NDArray[np.float32]:
        """Draw planes first to stop - 1 of one lattice, scaled so that the sum over lattices has unit variance."""
        step = _LATTICES[lattice] * self.step_um
        extent = np.subtract(self.upper_um, self.lower_um)
        rows, columns = (int(length / step) + 5 for length in extent[1:])
        planes = np.empty((stop - first, rows, columns), np.float32)
        for plane, number in zip(planes, range(first, stop), strict=True):
            generator = np.random.default_rng((*self.key, lattice, number))
            generator.standard_normal(dtype=np.float32, out=plane)
        planes *= np.float32(_AXIS_VARIANCE**-1.5 / np.sqrt(len(_LATTICES)))
        return planes


def _weights(steps: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Compute the first lattice index and the four cubic B-spline weights of each coordinate."""
    index = np.floor(steps).astype(np.int64)
    t = steps - index
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=-1
    )
    return index, (weights / 6).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(coefficients, iz, wz, iy, wy, ix, wx, out):  # type: ignore[no-untyped-def]
    rows, columns = coefficients.shape[1:]
    plane = np.empty((rows, columns), np.float32)
    row = np.empty(columns, np.float32)
    for z in range(iz.size):
        k = iz[z]
        for r in range(rows):
            for c in range(columns):
                plane[r, c] = (
                    wz[z, 0] * coefficients[k, r, c]
                    + wz[z, 1] * coefficients[k + 1, r, c]
                    + wz[z, 2] * coefficients[k + 2, r, c]
                    + wz[z, 3] * coefficients[k + 3, r, c]
                )
        for y in range(iy.size):
            j = iy[y]
            for c in range(columns):
                row[c] = (
                    wy[y, 0] * plane[j, c]
                    + wy[y, 1] * plane[j + 1, c]
                    + wy[y, 2] * plane[j + 2, c]
                    + wy[y, 3] * plane[j + 3, c]
                )
            for x in range(ix.size):
                i = ix[x]
                out[z, y, x] += (
                    wx[x, 0] * row[i] + wx[x, 1] * row[i + 1] + wx[x, 2] * row[i + 2] + wx[x, 3] * row[i + 3]
                )
