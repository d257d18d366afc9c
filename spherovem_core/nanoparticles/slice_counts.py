"""Counts of consecutive slices. Each slice is read once, and memory holds only the slices of the background halo."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.histograms import quantiles_of_bins
from spherovem_core.nanoparticles.binning import Binning, fit_binning, orient
from spherovem_core.nanoparticles.candidates import LEVEL_EDGES, SQUARE_EDGES
from spherovem_core.nanoparticles.contrast_drift import jackknife_variance
from spherovem_core.nanoparticles.slice_histograms import (
    count_by_level,
    count_tiles,
    mean_unit,
    spread_maximum,
    square_means,
)
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A slice is blank if one intensity makes up more than this fraction of it.
_UNIFORM_FRACTION = 0.999
_ANCHORS = (0.16, 0.5, 0.84)
_TILES_ACROSS = 4
# Square means are kept as 16-bit numbers of this step, from the first edge of the grades on.
_FINE_STEP = (SQUARE_EDGES[-1] - SQUARE_EDGES[0]) / 65536
_FINE_VALUES = SQUARE_EDGES[0] + _FINE_STEP * np.arange(65536)
_GRADE_OF = np.clip(np.searchsorted(SQUARE_EDGES, _FINE_VALUES, side="right") - 1, 0, len(SQUARE_EDGES) - 2)
_LEVEL_OF = np.searchsorted(LEVEL_EDGES, _FINE_VALUES, side="right").astype(np.uint8)


@dataclass(frozen=True)
class SliceCounts:
    """Counts of one slice.

    Attributes
    ----------
    binning
        Bins of its histograms.
    histogram : (bins,) ndarray
        Number of voxels per bin.
    by_level : (levels, bins) ndarray
        The same by the level of the brightest square within the background halo.
    squares : (grades,) ndarray
        Histogram of the square means.
    centre, contrast
        Median intensity, and half the distance between the 16 % and 84 % quantiles: origin and unit of levels and grades.
    variance : (2,) ndarray
        Variance of location and spread; see `jackknife_variance`.
    """

    binning: Binning
    histogram: NDArray[np.uint32]
    by_level: NDArray[np.uint32]
    squares: NDArray[np.uint32]
    centre: float
    contrast: float
    variance: NDArray[np.float64]


class _PreparedSlice(NamedTuple):
    """A slice whose square means are known; its counts need those of the slices after it."""

    image: NDArray[Any]
    tiles: NDArray[np.int64]
    centre: float
    contrast: float
    squares: NDArray[np.uint16]
    spread: NDArray[np.uint16]


def halo_slices(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Count the slices before and after a candidate that are kept out of the background."""
    return int(np.ceil(parameters.background_halo_nm / spacing_nm[0]))


def square_side(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Return the side in voxels of the squares whose mean intensity shows candidates."""
    return max(1, round(parameters.candidate_size_nm / float(np.sqrt(spacing_nm[1] * spacing_nm[2]))))


def count_slices(
    block: Block,
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    bad_slices: frozenset[int],
) -> list[SliceCounts | None]:
    """Count the slices of a block's core; None for bad slices and slices of one intensity."""
    core, outer = block.core[0], block.outer[0]
    reach = halo_slices(spacing_nm, parameters)
    side = square_side(spacing_nm, parameters)
    prepared: dict[int, _PreparedSlice | None] = {}
    counts = []
    read = outer.start
    for z in range(core.start, core.stop):
        for k in range(read, min(z + reach + 1, outer.stop)):
            prepared[k] = None if k in bad_slices else _prepare(source[k], side, spacing_nm, parameters)
            read = k + 1
        near = [
            entry.spread for k in range(z - reach, z + reach + 1) if (entry := prepared.get(k)) is not None
        ]
        entry = prepared[z]
        counts.append(None if entry is None else _count(entry, np.maximum.reduce(near), side))
        prepared.pop(z - reach, None)
    return counts


def _prepare(
    image: NDArray[Any], side: int, spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> _PreparedSlice | None:
    image = orient(np.ascontiguousarray(image), parameters.polarity)
    tiles = count_tiles(image, _TILES_ACROSS)
    counts = tiles.sum(axis=0)
    if counts.max() > _UNIFORM_FRACTION * image.size:
        return None
    low, centre, high = quantiles_of_bins(counts, _ANCHORS)
    contrast = (high - low) / 2
    means = np.arange(65536) * mean_unit(image.dtype)
    # Squares are in the units of their own slice: a neighbour with a higher gain must not make candidates here.
    fine = np.clip(((means - centre) / contrast - SQUARE_EDGES[0]) / _FINE_STEP, 0, 65535).astype(np.uint16)
    squares = spread = fine[square_means(image, side)]
    for axis, step in enumerate(spacing_nm[1:]):
        spread = spread_maximum(spread, int(np.ceil(parameters.background_halo_nm / (side * step))), axis)
    return _PreparedSlice(image, tiles, float(centre), float(contrast), squares, spread)


def _count(entry: _PreparedSlice, near: NDArray[np.uint16], side: int) -> SliceCounts:
    """Compute the histograms of a slice, given the brightest square around each of its squares."""
    levels = entry.tiles.sum(axis=0)
    binning = fit_binning(levels)
    index = binning.index_table(levels.size)
    tiles = np.stack([np.bincount(index, tile, binning.count) for tile in entry.tiles]).astype(np.int64)
    return SliceCounts(
        binning,
        tiles.sum(axis=0).astype(np.uint32),
        count_by_level(entry.image, index, _LEVEL_OF[near], side, (len(LEVEL_EDGES) + 1, binning.count)),
        np.bincount(_GRADE_OF[entry.squares].ravel(), minlength=len(SQUARE_EDGES) - 1).astype(np.uint32),
        entry.centre,
        entry.contrast,
        jackknife_variance(tiles) * np.array([binning.width**2, 1.0]),
    )
