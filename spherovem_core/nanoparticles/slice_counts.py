"""Counts of a run of slices, each read once, with no more of them in memory than the background halo is deep."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.histograms import quantiles_of_bins
from spherovem_core.nanoparticles.binning import Binning, fit_binning, orient
from spherovem_core.nanoparticles.candidates import CELL_EDGES, LEVEL_EDGES
from spherovem_core.nanoparticles.counting import (
    cell_means,
    count_by_level,
    count_tiles,
    mean_unit,
    spread_maximum,
)
from spherovem_core.nanoparticles.drift import jackknife_variance
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A slice with a larger share of one intensity is blank.
_UNIFORM_SHARE = 0.999
_ANCHORS = (0.16, 0.5, 0.84)
_TILES_ACROSS = 4
# Cell means are kept as 16-bit numbers of this step, from the first edge of the grades on.
_FINE = (CELL_EDGES[-1] - CELL_EDGES[0]) / 65536
_FINE_VALUES = CELL_EDGES[0] + _FINE * np.arange(65536)
_GRADE_OF = np.clip(np.searchsorted(CELL_EDGES, _FINE_VALUES, side="right") - 1, 0, len(CELL_EDGES) - 2)
_LEVEL_OF = np.searchsorted(LEVEL_EDGES, _FINE_VALUES, side="right").astype(np.uint8)


@dataclass(frozen=True)
class SliceCounts:
    """What is kept of one slice.

    Attributes
    ----------
    binning
        Bins of its histograms.
    histogram : (bins,) ndarray
        All voxels.
    by_level : (levels, bins) ndarray
        Voxels by the level of the brightest cell within the background halo.
    cells : (grades,) ndarray
        Cell means.
    centre, contrast
        Median intensity, and half the distance of the 16 % and 84 % quantiles: origin and unit of levels and grades.
    variance : (2,) ndarray
        Of location and spread; see `jackknife_variance`.
    """

    binning: Binning
    histogram: NDArray[np.uint32]
    by_level: NDArray[np.uint32]
    cells: NDArray[np.uint32]
    centre: float
    contrast: float
    variance: NDArray[np.float64]


class _Waiting(NamedTuple):
    """A slice whose cells are known, waiting for those of the slices after it."""

    image: NDArray[Any]
    tiles: NDArray[np.int64]
    centre: float
    contrast: float
    cells: NDArray[np.uint16]
    spread: NDArray[np.uint16]


def halo_slices(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Slices before and after a candidate that are kept out of the background."""
    return int(np.ceil(parameters.background_halo_nm / spacing_nm[0]))


def cell_side(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Side in voxels of the squares whose mean intensity shows candidates."""
    return max(1, round(parameters.candidate_size_nm / float(np.sqrt(spacing_nm[1] * spacing_nm[2]))))


def count_run(
    block: Block,
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    bad_slices: frozenset[int],
) -> list[SliceCounts | None]:
    """Count the slices of a block's core; None for bad ones and those of one intensity."""
    core, outer = block.core[0], block.outer[0]
    reach = halo_slices(spacing_nm, parameters)
    side = cell_side(spacing_nm, parameters)
    waiting: dict[int, _Waiting | None] = {}
    counts = []
    read = outer.start
    for z in range(core.start, core.stop):
        for k in range(read, min(z + reach + 1, outer.stop)):
            waiting[k] = None if k in bad_slices else _prepare(source[k], side, spacing_nm, parameters)
            read = k + 1
        near = [
            entry.spread for k in range(z - reach, z + reach + 1) if (entry := waiting.get(k)) is not None
        ]
        entry = waiting[z]
        counts.append(None if entry is None else _count(entry, np.maximum.reduce(near), side))
        waiting.pop(z - reach, None)
    return counts


def _prepare(
    image: NDArray[Any], side: int, spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> _Waiting | None:
    image = orient(np.ascontiguousarray(image), parameters.polarity)
    tiles = count_tiles(image, _TILES_ACROSS)
    counts = tiles.sum(axis=0)
    if counts.max() > _UNIFORM_SHARE * image.size:
        return None
    low, centre, high = quantiles_of_bins(counts, _ANCHORS)
    contrast = (high - low) / 2
    means = np.arange(65536) * mean_unit(image.dtype)
    # Each slice's cells in its own units: a neighbour of higher gain must not make candidates here.
    fine = np.clip(((means - centre) / contrast - CELL_EDGES[0]) / _FINE, 0, 65535).astype(np.uint16)
    cells = spread = fine[cell_means(image, side)]
    for axis, step in enumerate(spacing_nm[1:]):
        spread = spread_maximum(spread, int(np.ceil(parameters.background_halo_nm / (side * step))), axis)
    return _Waiting(image, tiles, float(centre), float(contrast), cells, spread)


def _count(entry: _Waiting, near: NDArray[np.uint16], side: int) -> SliceCounts:
    """Histograms of a slice, given the brightest cell around each of its cells."""
    levels = entry.tiles.sum(axis=0)
    binning = fit_binning(levels)
    index = binning.index_table(levels.size)
    tiles = np.stack([np.bincount(index, tile, binning.count) for tile in entry.tiles]).astype(np.int64)
    return SliceCounts(
        binning,
        tiles.sum(axis=0).astype(np.uint32),
        count_by_level(entry.image, index, _LEVEL_OF[near], side, (len(LEVEL_EDGES) + 1, binning.count)),
        np.bincount(_GRADE_OF[entry.cells].ravel(), minlength=len(CELL_EDGES) - 1).astype(np.uint32),
        entry.centre,
        entry.contrast,
        jackknife_variance(tiles) * np.array([binning.width**2, 1.0]),
    )
