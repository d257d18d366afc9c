"""First pass over a volume: histograms of each slice, read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, map_blocks, slab_grid
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.binning import (
    Binning,
    common_binning,
    fit_binning,
    level_count,
    orient,
    rebin,
)
from spherovem_core.nanoparticles.candidates import (
    CELL_EDGES,
    CELL_LEVELS,
    LEVEL_EDGES,
    CandidateLevel,
    find_candidates,
)
from spherovem_core.nanoparticles.counting import count_by_level, count_levels, grade_cells, spread_maximum
from spherovem_core.nanoparticles.drift import quantiles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm

# A run of slices is counted by one worker; only its ends are read twice, for the halo.
RUN_SLICES = 64
# A slice with a larger share of one intensity is blank.
_UNIFORM_SHARE = 0.999
_ANCHORS = (0.16, 0.5, 0.84)


@dataclass(frozen=True)
class SliceStatistics:
    """What the mixture is fitted to.

    Intensities are those of the image, complemented where nanoparticles are dark.

    Attributes
    ----------
    binning
        Bins of all histograms.
    histograms : (Z, bins) ndarray of uint32
        Voxels of each slice; zero for bad and for uniform slices.
    by_level : (Z, levels, bins) ndarray of uint32
        The same voxels by the level of the brightest cell within the background halo.
    cells : ndarray of int64
        Histogram of cell means of the whole stack, in units of each slice's own contrast (`CELL_EDGES`).
    candidates
        Level from which cells may hold nanoparticles, and how that was found.
    """

    binning: Binning
    histograms: NDArray[np.uint32]
    by_level: NDArray[np.uint32]
    cells: NDArray[np.int64]
    candidates: CandidateLevel

    @cached_property
    def background_histograms(self) -> NDArray[np.uint32]:
        """Voxels (Z, bins) that lie away from candidates; all of them where the stack has none."""
        return np.asarray(self.by_level[:, : self.candidates.level].sum(axis=1, dtype=np.uint32))


class _SliceCounts(NamedTuple):
    binning: Binning
    histogram: NDArray[np.uint32]
    by_level: NDArray[np.uint32]


class _Graded(NamedTuple):
    """A slice whose cells are known, waiting for those of the slices after it."""

    image: NDArray[Any]
    counts: NDArray[np.int64]
    cells: NDArray[np.int64]
    levels: NDArray[np.uint8]


def collect_statistics(
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution | None = None,
    bad_slices: Sequence[int] = (),
) -> SliceStatistics:
    """Count the intensities of every slice, and those of the voxels far from candidates.

    Which cells are candidates is decided after the pass, on the whole stack: voxels are counted by the
    brightest cell near them, so that the background at any candidate level is a sum of counts.

    Parameters
    ----------
    source : (Z, Y, X) array-like of uint8 or uint16
        Read slice by slice; a worker holds as many slices as the halo is deep.
    spacing_nm
        Voxel size (dz, dy, dx).
    bad_slices
        Slices that were filled from their neighbours: they are not counted.

    Raises
    ------
    ParameterError
        If the image is of another type, or no slice is left to count.
    DeadlineError
        If the stage ran past its time limit.
    """
    execution = execution or Execution()
    level_count(source.dtype)
    blocks = slab_grid(source.shape, RUN_SLICES, halo_slices(spacing_nm, parameters))
    slices: list[_SliceCounts] = []
    cells = np.zeros(len(CELL_EDGES) - 1, np.int64)
    runs = map_blocks(
        _count_run, blocks, source, spacing_nm, parameters, frozenset(bad_slices),
        executor=execution.executor, ahead=max(1, execution.workers),
    )  # fmt: skip
    for done, (_, (run_slices, run_cells)) in enumerate(runs, start=1):
        slices += run_slices
        cells += run_cells
        execution.report(done, len(blocks))
    return _gather(slices, cells, parameters)


def halo_slices(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Slices before and after a candidate that are kept out of the background."""
    return int(np.ceil(parameters.background_halo_nm / spacing_nm[0]))


def cell_side(spacing_nm: SpacingNm, parameters: NanoparticleParameters) -> int:
    """Side in voxels of the squares whose mean intensity shows candidates."""
    return max(1, round(parameters.candidate_size_nm / float(np.sqrt(spacing_nm[1] * spacing_nm[2]))))


def _gather(
    slices: list[_SliceCounts], cells: NDArray[np.int64], parameters: NanoparticleParameters
) -> SliceStatistics:
    counted = [entry.binning for entry in slices if entry.histogram.any()]
    if not counted:
        raise ParameterError(
            f"none of the {len(slices)} slices can be used for the nanoparticle mixture: all are marked bad or hold "
            "one intensity only; check the acquisition"
        )
    binning = common_binning(counted)
    return SliceStatistics(
        binning,
        np.stack([rebin(entry.histogram, entry.binning, binning) for entry in slices]),
        np.stack([rebin(entry.by_level, entry.binning, binning) for entry in slices]),
        cells,
        find_candidates(cells, parameters.min_excess),
    )


def _count_run(
    block: Block,
    source: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    bad_slices: frozenset[int],
) -> tuple[list[_SliceCounts], NDArray[np.int64]]:
    """Count the slices of one run, keeping no more of them in memory than the halo is deep."""
    core, outer = block.core[0], block.outer[0]
    reach = halo_slices(spacing_nm, parameters)
    graded: dict[int, _Graded | None] = {}
    cells = np.zeros(len(CELL_EDGES) - 1, np.int64)
    slices = []
    read = outer.start
    for z in range(core.start, core.stop):
        for k in range(read, min(z + reach + 1, outer.stop)):
            graded[k] = None if k in bad_slices else _grade_slice(source[k], spacing_nm, parameters)
            read = k + 1
        near = [entry.levels for k in range(z - reach, z + reach + 1) if (entry := graded.get(k)) is not None]
        entry = graded[z]
        slices.append(_count_slice(entry, near, spacing_nm, parameters))
        cells += 0 if entry is None else entry.cells
        graded.pop(z - reach, None)
    return slices, cells


def _grade_slice(
    image: NDArray[Any], spacing_nm: SpacingNm, parameters: NanoparticleParameters
) -> _Graded | None:
    """Count a slice and grade its cells by its own median and spread; None for a slice of one intensity."""
    image = orient(np.ascontiguousarray(image), parameters.polarity)
    counts = count_levels(image, level_count(image.dtype))
    if counts.max() > _UNIFORM_SHARE * image.size:
        return None
    low, centre, high = quantiles(counts, _ANCHORS)
    side = cell_side(spacing_nm, parameters)
    cells, levels = grade_cells(image, side, centre, (high - low) / 2, CELL_EDGES, CELL_LEVELS)
    for axis, step in enumerate(spacing_nm[1:]):
        levels = spread_maximum(levels, int(np.ceil(parameters.background_halo_nm / (side * step))), axis)
    return _Graded(image, counts, cells, levels)


def _count_slice(
    entry: _Graded | None,
    near: list[NDArray[np.uint8]],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
) -> _SliceCounts:
    """Histograms of a slice, given the cell levels of the slices within the halo."""
    levels = len(LEVEL_EDGES) + 1
    if entry is None:
        return _SliceCounts(Binning(), np.zeros(256, np.uint32), np.zeros((levels, 256), np.uint32))
    binning = fit_binning(entry.counts)
    index = binning.index_table(entry.counts.size)
    by_level = count_by_level(
        entry.image,
        index,
        np.maximum.reduce(near),
        cell_side(spacing_nm, parameters),
        (levels, binning.count),
    )
    histogram = np.bincount(index, weights=entry.counts, minlength=binning.count).astype(np.uint32)
    return _SliceCounts(binning, histogram, by_level)
