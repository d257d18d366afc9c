"""Statistics of the slices, collected in a first pass over a volume: the data that the mixture is fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks, slab_grid
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.binning import Binning, common_binning, level_count, rebin
from spherovem_core.nanoparticles.candidates import (
    LEVEL_EDGES,
    SQUARE_EDGES,
    CandidateLevel,
    find_candidates,
)
from spherovem_core.nanoparticles.contrast_drift import map_histograms, match_slices
from spherovem_core.nanoparticles.slice_counts import SliceCounts, count_slices, halo_slices
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# One worker counts a slab of at most 64 slices. Its ends are read twice, for the halo, so that a slab is not shorter than 8
# slices or four halos.
SLAB_SLICES = 64
_FEWEST_SLICES = 8


@dataclass(frozen=True)
class SliceStatistics:
    """Counts of all slices, to which the mixture is fitted.

    Intensities are those of the image, complemented where nanoparticles are dark. All arrays have one row per slice; it is
    zero for bad slices and slices of one intensity.

    Attributes
    ----------
    binning
        Bins of the histograms.
    histograms : (Z, bins) ndarray of uint32
        Number of voxels of each slice.
    by_level : (Z, levels, bins) ndarray of uint32
        The same by the level of the brightest square within the background halo (`LEVEL_EDGES`).
    squares : (Z, grades) ndarray of uint32
        Histogram of square means (`SQUARE_EDGES`).
    units : (Z, 2) ndarray of float64
        Origin and unit of the slice's levels and grades, in bins.
    variances : (Z, 2) ndarray of float64
        Variance of location (bins squared) and spread of a slice that comes from the tissue it shows.
    min_excess
        See `find_candidates`.
    """

    binning: Binning
    histograms: NDArray[np.uint32]
    by_level: NDArray[np.uint32]
    squares: NDArray[np.uint32]
    units: NDArray[np.float64]
    variances: NDArray[np.float64]
    min_excess: float

    @cached_property
    def candidates(self) -> CandidateLevel:
        """Square mean from which squares are candidates, in units of the stack's contrast."""
        gains, offsets = self._unit_maps.T
        # Map from a slice's grades to the stack's; both have their first edge at SQUARE_EDGES[0].
        step, first = SQUARE_EDGES[1] - SQUARE_EDGES[0], SQUARE_EDGES[0]
        shifts = (offsets + (gains - 1) * first) / step + (gains - 1) / 2
        pooled = map_histograms(self.squares, np.stack([gains, shifts], axis=1), 0, self.squares.shape[1])
        return find_candidates(pooled.sum(axis=0), self.min_excess)

    @cached_property
    def background_histograms(self) -> NDArray[np.uint32]:
        """Number of voxels (Z, bins) away from candidates; all voxels if the stack has no candidates."""
        gains, offsets = self._unit_maps.T
        # The level that holds the candidates' contrast, in each slice's own units.
        contrast = self.candidates.contrast if self.candidates.found else 2 * LEVEL_EDGES[-1]
        level = np.searchsorted(LEVEL_EDGES, (contrast - offsets) / gains, side="right")
        level += not self.candidates.found
        return np.stack(
            [rows[:n].sum(axis=0, dtype=np.uint32) for rows, n in zip(self.by_level, level, strict=True)]
        )

    @cached_property
    def _unit_maps(self) -> NDArray[np.float64]:
        """Gain and offset (Z, 2) from a slice's units of contrast to the stack's."""
        gains, offsets = match_slices(self.histograms, self.variances).T
        counted = self.histograms.sum(axis=1) > 0
        units = np.where(counted[:, None], self.units, np.median(self.units[counted], axis=0))
        centres, contrasts = gains * units[:, 0] + offsets, gains * units[:, 1]
        centre, contrast = np.median(centres[counted]), np.median(contrasts[counted])
        return np.stack([contrasts / contrast, (centres - centre) / contrast], axis=1)


def collect_statistics(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution | None = None,
    bad_slices: Sequence[int] = (),
) -> SliceStatistics:
    """Count the intensities of every slice, and of the voxels far from candidates.

    The candidates are chosen after the pass, from the whole stack. Voxels are therefore counted by the brightest square
    near them, so that the background for any candidate level is a sum of counts.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Read slice by slice; a worker holds as many slices as the halo is deep.
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
    halo = halo_slices(spacing_nm, parameters)
    blocks = slab_grid(source.shape, _slab_depth(source.shape[0], halo, execution.workers), halo)
    counts: list[SliceCounts | None] = []
    slabs = map_blocks(
        count_slices, blocks, source, spacing_nm, parameters, frozenset(bad_slices),
        executor=execution.executor, ahead=max(1, execution.workers),
    )  # fmt: skip
    for done, (_, found) in enumerate(slabs, start=1):
        counts += found
        execution.report(done, len(blocks))
    return _gather(counts, parameters)


def _slab_depth(slices: int, halo: int, workers: int) -> int:
    """Choose the slices per slab so that all workers get the same number of slabs."""
    slabs = workers * -(-slices // (SLAB_SLICES * workers))
    return max(-(-slices // slabs), 4 * halo, _FEWEST_SLICES)


def _gather(counts: Sequence[SliceCounts | None], parameters: NanoparticleParameters) -> SliceStatistics:
    rows = [(z, entry) for z, entry in enumerate(counts) if entry is not None]
    if not rows:
        raise ParameterError(
            f"none of the {len(counts)} slices can be used for the nanoparticle mixture: all are marked bad or hold "
            "one intensity only; check the acquisition"
        )
    binning = common_binning([entry.binning for _, entry in rows])
    histograms = np.zeros((len(counts), binning.count), np.uint32)
    by_level = np.zeros((len(counts), len(LEVEL_EDGES) + 1, binning.count), np.uint32)
    squares = np.zeros((len(counts), len(SQUARE_EDGES) - 1), np.uint32)
    units, variances = np.ones((len(counts), 2)), np.zeros((len(counts), 2))
    for z, entry in rows:
        histograms[z] = rebin(entry.histogram, entry.binning, binning)
        by_level[z] = rebin(entry.by_level, entry.binning, binning)
        squares[z] = entry.squares
        units[z] = (entry.centre - binning.centres[0]) / binning.width, entry.contrast / binning.width
        variances[z] = entry.variance / (binning.width**2, 1.0)
    return SliceStatistics(binning, histograms, by_level, squares, units, variances, parameters.min_excess)
