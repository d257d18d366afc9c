"""Compiled loop over the Fourier coefficients of a phase correlation."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.compiled_loops import compiled

Complex = NDArray[np.float32]


@compiled  # type: ignore[untyped-decorator]
def whiten(
    fixed: Complex, moving: Complex, down: NDArray[np.float32], along: NDArray[np.float32], out: Complex
) -> None:
    """Multiply the conjugate of one spectrum by the other, divide by the amplitude, and multiply by two factors.

    Parameters
    ----------
    fixed, moving, out : (Y, X, 2) ndarray of float32
        Real and imaginary parts.
    down, along
        Factors of rows and columns.
    """
    rows, columns = fixed.shape[:2]
    total = 0.0
    for y in range(rows):
        part = np.float32(0.0)
        for x in range(columns):
            a, b, c, d = fixed[y, x, 0], fixed[y, x, 1], moving[y, x, 0], moving[y, x, 1]
            real, imaginary = a * c + b * d, a * d - b * c
            out[y, x, 0], out[y, x, 1] = real, imaginary
            part += np.sqrt(real * real + imaginary * imaginary)
        total += float(part)
    floor = np.float32(1e-3 * total / (rows * columns) + 1e-20)
    for y in range(rows):
        for x in range(columns):
            real, imaginary = out[y, x, 0], out[y, x, 1]
            factor = down[y] * along[x] / (np.sqrt(real * real + imaginary * imaginary) + floor)
            out[y, x, 0], out[y, x, 1] = factor * real, factor * imaginary
