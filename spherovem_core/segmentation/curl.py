"""Helmholtz-Hodge decomposition: the curl-free part of a vector field."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

PADDING = 0.25
"""Zeros added to each side as a fraction of the extent, to keep the field away from its periodic copies."""


def remove_curl(
    vectors: NDArray[np.float32], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Project a vector field on its curl-free part.

    Flows of an object point to one place, like the gradient of a bump. A rotation, around a hole in a nucleus for
    example, moves voxels nowhere and is removed: at each wave vector k the field keeps its
    component along k (Bhatia et al. 2013, "The Helmholtz-Hodge Decomposition - A Survey", IEEE TVCG 19).

    Parameters
    ----------
    vectors : (3, Z, Y, X) ndarray of float32
        Physical components along z, y, x.
    spacing
        Voxel size in any unit; only its ratios matter.

    Returns
    -------
    (3, Z, Y, X) ndarray of float32
        Within some voxels of the border it is wrong where the field does not fade towards the border.
    """
    extents = vectors.shape[1:]
    before = [int(np.ceil(PADDING * n)) for n in extents]
    shape = [fft.next_fast_len(n + 2 * b, real=True) for n, b in zip(extents, before, strict=True)]
    padded = np.zeros((3, *shape), np.float32)
    inside = tuple(slice(b, b + n) for b, n in zip(before, extents, strict=True))
    padded[(slice(None), *inside)] = vectors
    spectra = [fft.rfftn(component) for component in padded]
    waves = [
        (fft.rfftfreq if axis == 2 else fft.fftfreq)(n, side).astype(np.float32)
        for axis, (n, side) in enumerate(zip(shape, spacing, strict=True))
    ]
    k = np.meshgrid(*waves, indexing="ij", sparse=True)
    square = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    # The mean has no direction of its own and stays.
    square[0, 0, 0] = 1.0
    along = (k[0] * spectra[0] + k[1] * spectra[1] + k[2] * spectra[2]) / square
    for axis in range(3):
        mean = spectra[axis][0, 0, 0]
        spectra[axis] = k[axis] * along
        spectra[axis][0, 0, 0] = mean
        padded[axis] = fft.irfftn(spectra[axis], shape)
    return np.ascontiguousarray(padded[(slice(None), *inside)])
