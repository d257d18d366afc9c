"""Structure of the image at 0.1 to 1 µm, measured from tiles without the noise."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import filter_repeating_border
from spherovem_core.nanoparticles.specimen.tiles import EVEN, ODD
from spherovem_core.spacing import SpacingNm

SMOOTHING_NM = 80.0
WINDOW_NM = 500.0
"""Standard deviations of the Gaussians that define the structure's scales, and of the window in which its variance is taken.

The flattest tissue of a phantom with cells of 14 µm had 0.18 of the median with windows of 350 nm, 0.25 with 500 nm, 0.32 with
700 nm; wider windows see less of narrow resin.
"""
LEAST_TILES = 1.5
"""A window is at least so many tiles wide, which matters for the coarse tiles of very large volumes."""
TISSUE_FRACTION = 0.25
MOST_SAMPLES = 100_000
_ROUNDS = 20

Floats = NDArray[np.float32]


def fill_gaps(tiles: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Fill slices of tiles without any usable slice from the nearest good ones; returns a copy and the mask of bad slices."""
    bad: NDArray[np.bool_] = np.isnan(tiles[:, EVEN, 0, 0])
    if bad.all() or not bad.any():
        return np.nan_to_num(tiles), bad
    good = np.flatnonzero(~bad)
    nearest = good[np.abs(good[:, None] - np.arange(len(tiles))).argmin(axis=0)]
    return tiles[nearest], bad


def structure_products(tiles: Floats, spacing_nm: SpacingNm) -> Floats:
    """Multiply the structure of the even rows of each tile with that of the odd rows.

    Averaged over a window (`average`) the product is the variance of the structure, without the noise: the noise of a scanning
    microscope is independent from row to row, also where it is correlated along the row. Structure is what is left between
    Gaussians of 80 and 500 nm, in each slice, since slices differ in brightness.

    Parameters
    ----------
    tiles : (Z, 3, Y, X) ndarray of float32
        As `collect_tiles` writes them, without gaps.
    spacing_nm
        Size of a tile.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        In squared grey values.
    """
    plane = np.array((np.inf, *spacing_nm[1:]))
    return _band(tiles[:, EVEN], plane) * _band(tiles[:, ODD], plane)


def average(products: Floats, spacing_nm: SpacingNm, window_nm: float = WINDOW_NM) -> Floats:
    """Average over a Gaussian window; noise can make the result slightly negative."""
    return _smooth(products, np.maximum(window_nm / np.array(spacing_nm), LEAST_TILES))


def tissue_structure(structure: Floats) -> float:
    """Find the median structure of tissue: of the tiles with more than a quarter of it.

    Resin may fill up to two thirds of the volume.
    """
    sample = structure.ravel()[:: 1 + structure.size // MOST_SAMPLES]
    typical = float(np.quantile(sample, 0.75))
    for _ in range(_ROUNDS):
        before, typical = typical, float(np.median(sample[sample > TISSUE_FRACTION * typical]))
        if typical == before:
            break
    return typical


def _band(image: Floats, sides_nm: NDArray[np.float64]) -> Floats:
    fine = _smooth(image, SMOOTHING_NM / sides_nm)
    coarse = np.where(np.isinf(sides_nm), 0, np.maximum(WINDOW_NM / sides_nm, LEAST_TILES))
    return fine - _smooth(fine, coarse)


def _smooth(image: Floats, sigma: NDArray[np.float64]) -> Floats:
    """Filter with mirrored borders: repeating the outermost tiles would repeat their noise."""
    radius = [int(3 * s + 0.5) for s in sigma]
    padded = np.pad(image, [(r, r) for r in radius], mode="symmetric")
    filtered = filter_repeating_border(padded, sigma.tolist(), radius)
    return filtered[tuple(slice(r, r + n) for r, n in zip(radius, image.shape, strict=True))]
