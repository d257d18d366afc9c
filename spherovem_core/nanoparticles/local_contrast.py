"""Local contrast of slices: how far each pixel lies above what surrounds it.

Large bright bodies (resin, lumina, droplets wider than any particle) are their own surroundings and have no contrast. OpenCV
filters unsigned 16-bit slices several times faster than SciPy; there is no GPU counterpart.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region, block_grid
from spherovem_core.nanoparticles.binning import level_count
from spherovem_core.nanoparticles.contrast_heights import heights_above, tile_medians
from spherovem_core.nanoparticles.intensity_tables import look_up
from spherovem_core.nanoparticles.rectangle_openings import open_by_rectangles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# The opening is this much wider than the largest particle: also a blurred one must not contain it.
_OPENING = 1.25
# Side of the narrowest opening in standard deviations of the smoothing, and the usual ratio from one opening to the next.
_NARROWEST, _OCTAVE = 10.0, 1.7
# The contrast within a narrow opening counts up to this factor of that within the widest.
_BOOST = 1.4
_TILE_NM = 2000.0
# Pixels per tile edge after the reduction whose median is the level of the tile.
_TILE_PIXELS = 16
# A slice of 8 bits is widened by this factor, so that filters round to a fraction of a grey value.
_WIDE_8_BIT = 128
# Side in pixels of the parts of a slice that are opened one after the other; what they look at beyond them is opened again.
_PART = 1024


class ContrastFilters(NamedTuple):
    """Sizes of the filters in pixels along y and x.

    Attributes
    ----------
    sigma
        Standard deviation of the Gaussian that averages noise.
    openings
        Odd sides of the rectangles whose openings remove particles, the smallest first; the last is wider than any particle.
    tile
        Sides of the tiles whose median is the level of the tissue.
    """

    sigma: tuple[float, float]
    openings: tuple[tuple[int, int], ...]
    tile: tuple[int, int]


def contrast_filters(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> ContrastFilters:
    """Choose the filters for a voxel size."""
    sides = spacing_nm[1:]
    sigma = [max(parameters.smoothing_nm / side, 0.6) for side in sides]
    widest = [_OPENING * largest_diameter(parameters) / side for side in sides]
    narrowest = [min(_NARROWEST * value, wide) for value, wide in zip(sigma, widest, strict=True)]
    octaves = np.log(max(w / n for w, n in zip(widest, narrowest, strict=True))) / np.log(_OCTAVE)
    # The sides grow by equal factors from the narrowest to the widest.
    parts = np.linspace(0, 1, 1 + round(float(octaves))) if octaves >= 0.5 else np.ones(1)
    sides_px = [
        [2 * int(np.ceil(n * (w / n) ** part / 2)) + 1 for part in parts]
        for n, w in zip(narrowest, widest, strict=True)
    ]
    openings = tuple(zip(*sides_px, strict=True))
    tile = [max(8, round(_TILE_NM / side)) for side in sides]
    return ContrastFilters((sigma[0], sigma[1]), openings, (tile[0], tile[1]))


def largest_diameter(parameters: NanoparticleParameters) -> float:
    """Return the largest diameter in nm of a single particle."""
    expected = parameters.expected_diameter_nm
    return float(1.2 * expected[1]) if expected else parameters.max_diameter_nm


def intensity_unit(dtype: np.dtype[Any]) -> int:
    """Return the units of `to_intensity` per grey value of the image."""
    return _WIDE_8_BIT if level_count(dtype) == 256 else 1


def to_intensity(
    image: NDArray[Any], polarity: Literal["bright", "dark"], gain: float = 1.0, offset: float = 0.0
) -> NDArray[np.uint16]:
    """Bring a slice to bright particles, to the scale of the stack and to units of `intensity_unit`."""
    levels = level_count(image.dtype)
    values = gain * np.arange(levels) + offset
    table = np.clip(np.rint(values * intensity_unit(image.dtype)), 0, 65535).astype(np.uint16)
    # A gain or an offset refers to the complemented intensities.
    table = table[::-1] if polarity == "dark" else table
    return np.asarray(look_up(np.ascontiguousarray(image), np.ascontiguousarray(table)))


def smooth_slice(intensity: NDArray[np.uint16], filters: ContrastFilters) -> NDArray[np.uint16]:
    """Average noise by a Gaussian that is narrow against the particles."""
    import cv2

    return np.asarray(
        cv2.GaussianBlur(
            intensity, (0, 0), filters.sigma[1], sigmaY=filters.sigma[0], borderType=cv2.BORDER_REPLICATE
        )
    )


def measure_contrast(intensity: NDArray[np.uint16], filters: ContrastFilters) -> NDArray[np.uint16]:
    """Measure the local contrast of a slice.

    The surroundings of a pixel are the highest of three levels: the opening by a rectangle wider than any particle
    (the white top-hat of Meyer 1979 is the height above it), the median of the tiles of 2 µm around it, and the
    median of these over the slice. The medians keep gaps between dark membranes from being islands; the third one keeps
    scraps of tissue in a dark lumen from being particles. A narrow opening also takes off the broad texture of the tissue,
    from which small particles then stand out by more.

    Returns
    -------
    (openings, Y, X) ndarray of uint16
        Height of the smoothed slice above its surroundings for each opening, in the units of the intensity; 0 where it is
        not above them.
    """
    out = np.empty((len(filters.openings), *intensity.shape), np.uint16)
    for region, heights in contrast_parts(intensity, filters):
        out[:, *region] = heights
    return out


def contrast_parts(
    intensity: NDArray[np.uint16], filters: ContrastFilters
) -> Iterator[tuple[Region, NDArray[np.uint16]]]:
    """Measure the local contrast of a slice part by part; yields the part, and what `measure_contrast` returns of it."""
    import cv2

    smooth = smooth_slice(intensity, filters)
    del intensity
    width = smooth.shape[1]
    levels = tile_levels(smooth, filters)
    levels = np.asarray(cv2.resize(levels, (width, len(levels)), interpolation=cv2.INTER_LINEAR), np.float32)
    # An opening looks its side less one far.
    halo = [max(sides[axis] for sides in filters.openings) - 1 for axis in (0, 1)]
    for block in block_grid(smooth.shape, (_PART, _PART), halo):
        (rows, columns), (down, across) = block.core, block.inner
        opened = open_by_rectangles(smooth[block.outer], filters.openings)
        out = np.empty((len(opened), rows.stop - rows.start, columns.stop - columns.start), np.uint16)
        heights_above(
            smooth, opened, levels, (rows.start, rows.stop), (columns.start, columns.stop),
            (down.start, across.start), np.float32(_BOOST), out,
        )  # fmt: skip
        yield block.core, out


def tile_levels(smooth: NDArray[np.uint16], filters: ContrastFilters) -> NDArray[np.float32]:
    """Measure the medians of the tiles of a slice (down, across), none below the median over the slice."""
    import cv2

    height, width = smooth.shape
    down, across = (max(1, round(n / side)) for n, side in zip(smooth.shape, filters.tile, strict=True))
    # A tile has at least one pixel of the reduced slice.
    rows, columns = min(_TILE_PIXELS, height // down), min(_TILE_PIXELS, width // across)
    small = cv2.resize(smooth, (across * columns, down * rows), interpolation=cv2.INTER_AREA)
    levels = tile_medians(small, rows, columns)
    return np.asarray(np.maximum(levels, np.median(levels)), np.float32)
