"""Contrast drift: affine maps that bring the intensities of each slice to one scale for the stack."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.histograms import map_counts, quantiles_of_bins

# Bright quantiles are left out: a slice full of nanoparticles must not look like a slice with a higher gain.
_MATCHED = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85)
_MAX_GAIN = 4.0
# Two tiles that show the same biological cell resemble each other, which a variance between tiles does not see.
_TISSUE = 2.0
# Drift that explains less of the variance of location and spread than this is none: that of the tissue is an estimate.
_CLEAR = (0.75, 0.25)
# Slices to either side that a slice is compared with.
_AROUND = 12
# Least distance of the quantiles, in bins, that counts as a spread: an empty frame has none.
_LEAST_SPREAD = 0.5


def location_and_spread(histograms: NDArray[np.integer]) -> NDArray[np.float64]:
    """Measure the location and the spread of histograms (N, bins); returns (N, 2).

    The location is the mean of the quantiles from 5 % to 85 %, in bins. The spread is the logarithm of the distance between
    the upper three and the lower three quantiles. Neither depends on the brightest voxels.
    """
    rows = np.stack([quantiles_of_bins(counts, _MATCHED) for counts in histograms])
    spread = rows[:, -3:].mean(axis=1) - rows[:, :3].mean(axis=1)
    return np.stack([rows.mean(axis=1), np.log(np.maximum(spread, _LEAST_SPREAD))], axis=1)


def match_slices(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Match each slice to the stack by an affine map of intensities.

    The map brings the location and the spread of each slice (quantiles from 5 % to 85 %) to those of the stack. Gain and
    offset describe the drift of a detector. A free monotone map would follow the tissue, whose composition changes from
    slice to slice, and would be unbounded at the intensities of nanoparticles.

    Each tile is compared with the same tile of the other slices, so that resin, shading and whatever else stays in place has
    no part in it: first with the median over the slices around, which shows jumps, then that median with the one over the
    stack, which shows slow drift. Drift moves all tiles alike, tissue each in its own way. The correction is therefore shrunk
    to what drift explains: to the fraction of its variance over the stack that remains after twice the variance between
    tiles is subtracted (empirical Bayes, as Efron and Morris 1975 shrink means), and to none where that is little.

    Parameters
    ----------
    tiles : (Z, T, 2) ndarray
        Location in grey values, and spread, of each tile of the slices, from `location_and_spread`. A slice of NaN takes the map
        of its neighbours. A single tile leaves nothing to shrink by: all variation is drift.

    Returns
    -------
    (Z, 2) ndarray of float64
        Gain g and offset o: the intensity v of a slice is at g v + o on the scale of the stack.
    """
    usable = np.flatnonzero(np.isfinite(tiles).all(axis=(1, 2)))
    found = tiles[usable]
    count = found.shape[1]
    around = np.stack(
        [np.median(found[max(0, z - _AROUND) : z + _AROUND + 1], axis=0) for z in range(len(found))]
    )
    # The border of the resin sweeps over whole rows of tiles: of a slow change, each row is one observation.
    away = _drift(around - found, count) + _drift(np.median(around, axis=0) - around, np.sqrt(count))
    gains = np.clip(np.exp(away[:, 1]), 1 / _MAX_GAIN, _MAX_GAIN)
    # The median of the tiles' own locations: the place on the scale at which the move was measured.
    middle = np.median(found[:, :, 0], axis=1)
    offsets = middle + away[:, 0] - gains * middle
    everywhere = np.arange(len(tiles))
    return np.stack([np.interp(everywhere, usable, column) for column in (gains, offsets)], axis=1)


def _drift(away: NDArray[np.float64], observations: float) -> NDArray[np.float64]:
    """Return the move (Z, 2) that the tiles (Z, T, 2) of a slice have in common, shrunk to what drift explains.

    `observations` is the number of tiles that change independently of each other.
    """
    move = np.median(away, axis=1)
    # The variance of a median is pi / 2 times that of a mean.
    tissue = _TISSUE * (np.pi / 2 * away.var(axis=1) / observations).mean(axis=0)
    drift = 1 - tissue / np.maximum(move.var(axis=0), 1e-12)
    return np.asarray(move * np.where(drift > _CLEAR, drift, 0.0))


def map_histograms(
    histograms: NDArray[np.integer], maps: NDArray[np.float64], first: int, count: int
) -> NDArray[np.float64]:
    """Move histograms to the scale of the stack; the counts of a bin are spread evenly over its image.

    Parameters
    ----------
    histograms : (Z, bins) ndarray
    maps : (Z, 2) ndarray
        Gain and offset of each slice, from `match_slices`.
    first, count
        Bins of the result: `first` to `first + count - 1`. Counts beyond them fall into the first and the last bin.

    Returns
    -------
    (Z, count) ndarray of float64
        Each row keeps its sum.
    """
    inner = first - 0.5 + np.arange(1, count)
    out = np.empty((len(histograms), count))
    for row, counts, (gain, offset) in zip(out, histograms, maps, strict=True):
        row[:] = map_counts(counts, gain, offset, inner)
    return out
