"""Statistics of the slices, collected in a first pass over a volume: contrast drift, noise, and the heights of local maxima."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.histograms import percentile_of_counts, quantiles_of_bins
from spherovem_core.nanoparticles.binning import (
    Binning,
    common_binning,
    fit_binning,
    level_count,
    orient,
    rebin,
)
from spherovem_core.nanoparticles.candidate_level import candidate_level
from spherovem_core.nanoparticles.contrast_drift import location_and_spread, map_histograms, match_slices
from spherovem_core.nanoparticles.contrast_heights import count_maxima
from spherovem_core.nanoparticles.local_contrast import (
    ContrastFilters,
    contrast_filters,
    intensity_unit,
    measure_contrast,
    to_intensity,
)
from spherovem_core.nanoparticles.slice_histograms import count_tiles, count_twists
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.slice_choice import good_slices

# A slice is blank if one intensity makes up more than this fraction of it.
_UNIFORM_FRACTION = 0.999
_TILES_ACROSS = 4
_ANCHORS = (0.16, 0.84)
# Heights of maxima are counted in bins of this fraction of the spread of a slice's intensities.
_HEIGHT_STEP = 1 / 16
_HEIGHT_BINS = 2048
# Maxima are counted in this many slices at most: their tail is known well enough.
_SAMPLED_SLICES = 48
_PEAK_PX = 5
# Candidates within the narrow openings may be texture this many times less often.
_NARROW = 6.0


class SliceCounts(NamedTuple):
    """Counts of one slice.

    Attributes
    ----------
    binning, histogram
        Bins, and number of voxels per bin.
    tiles : (T, 2) ndarray
        Location in grey values, and spread, of each tile of the slice; see `location_and_spread`.
    spread
        Half the distance between the 16 % and the 84 % quantile in a tile of the slice (median over the tiles), in grey values.
    noise
        Standard deviation of the noise in grey values; NaN in a slice that is not sampled.
    heights : (openings, bins) ndarray
        Number of local maxima by their contrast, in `_HEIGHT_STEP` of the spread; zero in a slice that is not sampled.
    """

    binning: Binning
    histogram: NDArray[np.uint32]
    tiles: NDArray[np.float64]
    spread: float
    noise: float
    heights: NDArray[np.int64]


@dataclass(frozen=True)
class SliceStatistics:
    """Counts of all slices; rows of bad slices and of slices of one intensity are zero.

    Intensities are those of the image, complemented where nanoparticles are dark.

    Attributes
    ----------
    binning
        Bins of the histograms.
    histograms : (Z, bins) ndarray of uint32
        Number of voxels of each slice.
    tiles : (Z, T, 2) ndarray of float64
        See `SliceCounts.tiles`; NaN in a slice that is not counted.
    spreads, noises : (Z,) ndarray of float64
        See `SliceCounts`.
    heights : (Z, openings, bins) ndarray of int64
        See `SliceCounts.heights`.
    voxels
        Number of voxels of the volume.
    false_candidates_per_million
        See `NanoparticleParameters`.
    """

    binning: Binning
    histograms: NDArray[np.uint32]
    tiles: NDArray[np.float64]
    spreads: NDArray[np.float64]
    noises: NDArray[np.float64]
    heights: NDArray[np.int64]
    voxels: int
    false_candidates_per_million: float

    @cached_property
    def maps(self) -> NDArray[np.float64]:
        """Gain and offset (Z, 2): gain * v + offset is on the scale of the stack, in grey values."""
        return match_slices(self.tiles)

    @property
    def noise(self) -> float:
        """Median over the slices of the standard deviation of the noise, in grey values of the stack."""
        sampled = np.isfinite(self.noises)
        return float(np.median(self.noises[sampled] * self.maps[sampled, 0]))

    @property
    def spread(self) -> float:
        """Median spread of the slices' intensities, in grey values of the stack."""
        counted = self.spreads > 0
        return float(np.median(self.spreads[counted] * self.maps[counted, 0]))

    def candidate_contrasts(self) -> tuple[float, ...]:
        """Choose the contrast in grey values, for each opening, from which maxima are candidates."""
        sampled = self.heights.sum(axis=(1, 2)) > 0
        units = self.spreads[sampled] * self.maps[sampled, 0] / self.spread
        maps = np.stack([units, np.zeros_like(units)], axis=1)
        part = sampled.sum() / len(self.heights)
        step = _HEIGHT_STEP * self.spread
        rows = [
            map_histograms(h, maps, 0, _HEIGHT_BINS).sum(axis=0) for h in self.heights[sampled].swapaxes(0, 1)
        ]
        few = self.false_candidates_per_million * self.voxels / 1e6
        # Their shape tells less of small candidates: fewer of them may be texture.
        allowed = [part * max(1.0, few / _NARROW) for _ in rows[:-1]] + [part * max(1.0, few)]
        return tuple(candidate_level(row, few) * step for row, few in zip(rows, allowed, strict=True))


def collect_statistics(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution | None = None,
    bad_slices: Sequence[int] = (),
) -> SliceStatistics:
    """Count the intensities of every slice, and the local maxima of some.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Read slice by slice.
    spacing_nm
        Voxel size (dz, dy, dx).
    bad_slices
        Slices filled from their neighbours; they are not counted.

    Raises
    ------
    ParameterError
        If the image is neither uint8 nor uint16, or no slice is left to count.
    DeadlineError
        If the stage ran past its time limit.
    """
    execution = execution or Execution()
    level_count(source.dtype)
    filters = contrast_filters(spacing_nm, parameters)
    usable = good_slices(source.shape[0], bad_slices)
    step = max(1, -(-len(usable) // _SAMPLED_SLICES))
    sampled = frozenset(usable[step // 2 :: step])
    counts: list[SliceCounts | None] = [None] * source.shape[0]
    results = map_blocks(
        _count_slice, usable, source, filters, parameters, sampled,
        executor=execution.executor, ahead=2 * max(1, execution.workers),
    )  # fmt: skip
    for done, (z, found) in enumerate(results, start=1):
        counts[z] = found
        execution.report(done, len(usable))
    return _gather(counts, int(np.prod(source.shape)), parameters)


def _count_slice(
    z: int,
    source: ArrayLike,
    filters: ContrastFilters,
    parameters: NanoparticleParameters,
    sampled: frozenset[int],
) -> SliceCounts | None:
    image = np.ascontiguousarray(source[z])
    oriented = orient(image, parameters.polarity)
    tiles = count_tiles(oriented, _TILES_ACROSS)
    counts = tiles.sum(axis=0)
    if counts.max() > _UNIFORM_FRACTION * image.size:
        return None
    binning = fit_binning(counts)
    index = binning.index_table(counts.size)
    binned = np.stack([np.bincount(index, tile, binning.count) for tile in tiles]).astype(np.int64)
    spread = max(_spread_within(tiles), 0.5)
    noise, heights = np.nan, np.zeros((len(filters.openings), _HEIGHT_BINS), np.int64)
    if z in sampled:
        noise = _noise_sd(oriented)
        heights = _count_heights(image, filters, parameters, spread)
    located = location_and_spread(binned)
    # From bins to grey values.
    located[:, 0] = binning.offset + binning.width * (located[:, 0] + 0.5) - 0.5
    located[:, 1] += np.log(binning.width)
    return SliceCounts(binning, binned.sum(axis=0).astype(np.uint32), located, spread, noise, heights)


def _count_heights(
    image: NDArray[Any], filters: ContrastFilters, parameters: NanoparticleParameters, spread: float
) -> NDArray[np.int64]:
    """Count the local maxima of the contrast by their height, for each opening."""
    import cv2

    step, box = intensity_unit(image.dtype) * spread * _HEIGHT_STEP, np.ones((_PEAK_PX, _PEAK_PX), np.uint8)
    contrasts = measure_contrast(to_intensity(image, parameters.polarity), filters)
    return np.stack([count_maxima(part, cv2.dilate(part, box), step, _HEIGHT_BINS) for part in contrasts])


def _spread_within(tiles: NDArray[np.integer]) -> float:
    """Measure the spread within the tiles of a slice: resin of another grey beside the tissue does not widen it."""
    ends = np.stack([quantiles_of_bins(counts, _ANCHORS) for counts in tiles if counts.any()])
    return float(np.median(ends[:, 1] - ends[:, 0]) / 2)


def _noise_sd(image: NDArray[Any]) -> float:
    """Estimate the noise from the differences across the diagonals of 2 x 2 pixels, in which slopes cancel."""
    if min(image.shape) < 2:
        return np.nan
    return percentile_of_counts(count_twists(image), 50) / 0.6745 / 2


def _gather(
    counts: Sequence[SliceCounts | None], voxels: int, parameters: NanoparticleParameters
) -> SliceStatistics:
    rows = [(z, entry) for z, entry in enumerate(counts) if entry is not None]
    if not rows or not any(np.isfinite(entry.noise) for _, entry in rows):
        raise ParameterError(
            f"none of the {len(counts)} slices can be used to find nanoparticles: all are marked bad or hold "
            "one intensity only; check the acquisition"
        )
    binning = common_binning([entry.binning for _, entry in rows])
    histograms = np.zeros((len(counts), binning.count), np.uint32)
    tiles, spreads = np.full((len(counts), *rows[0][1].tiles.shape), np.nan), np.zeros(len(counts))
    noises, heights = (
        np.full(len(counts), np.nan),
        np.zeros((len(counts), *rows[0][1].heights.shape), np.int64),
    )
    for z, entry in rows:
        histograms[z] = rebin(entry.histogram, entry.binning, binning)
        tiles[z], spreads[z], noises[z], heights[z] = entry.tiles, entry.spread, entry.noise, entry.heights
    return SliceStatistics(
        binning,
        histograms,
        tiles,
        spreads,
        noises,
        heights,
        voxels,
        parameters.false_candidates_per_million,
    )
