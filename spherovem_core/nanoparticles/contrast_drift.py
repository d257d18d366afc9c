"""Contrast drift: affine maps that bring the intensities of each slice to one scale for the stack."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.histograms import map_counts, quantiles_of_bins

# Bright quantiles are left out: a slice full of nanoparticles must not look like a slice with a higher gain.
_MATCHED = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85)
_MAX_GAIN = 4.0
# Two tiles that show the same biological cell resemble each other, which a variance between tiles does not see.
_TISSUE = 2.0


def location_and_spread(histograms: NDArray[np.integer]) -> NDArray[np.float64]:
    """Measure the location and the spread of histograms (N, bins); returns (N, 2).

    The location is the mean of the quantiles from 5 % to 85 %, in bins. The spread is the logarithm of the distance between
    the upper three and the lower three quantiles. Neither depends on the brightest voxels.
    """
    rows = np.stack([quantiles_of_bins(counts, _MATCHED) for counts in histograms])
    spread = rows[:, -3:].mean(axis=1) - rows[:, :3].mean(axis=1)
    return np.stack([rows.mean(axis=1), np.log(np.maximum(spread, 1e-6))], axis=1)


def jackknife_variance(tiles: NDArray[np.integer]) -> NDArray[np.float64]:
    """Estimate how much of the variance of a slice's location and spread (2,) comes from the tissue that it shows.

    Parameters
    ----------
    tiles : (tiles, bins) ndarray
        Histogram of each tile of the slice. The jackknife leaves out one tile at a time (Quenouille 1956, Tukey 1958).
    """
    kept = tiles.sum(axis=0) - tiles
    found = location_and_spread(kept[kept.sum(axis=1) > 0])
    return np.asarray((len(found) - 1) * found.var(axis=0))


def match_slices(
    histograms: NDArray[np.integer], variances: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Match the histogram of each slice to the stack's by an affine map of intensities.

    The map brings the location and the spread of each slice (quantiles from 5 % to 85 %) to their medians over the stack.
    Gain and offset describe the drift of a detector. A free monotone map would follow the tissue, whose composition changes
    from slice to slice, and would be unbounded at the intensities of nanoparticles.

    Location and spread also vary because slices show different tissue, and more so in small slices. If the variances within
    slices are given, the correction is shrunk to what drift explains: to the fraction of the variance over the stack that
    remains after twice the variance within slices is subtracted (empirical Bayes, as Efron and Morris 1975 shrink means).

    Parameters
    ----------
    histograms : (Z, bins) ndarray
        Background voxels of each slice; an empty slice takes the map of its neighbours.
    variances : (Z, 2) ndarray, optional
        Variances of each slice's location and spread, from `jackknife_variance`. Without them, all variation is drift.

    Returns
    -------
    (Z, 2) ndarray of float64
        Gain g and offset o, in bins: bin k of a slice is at g k + o on the scale of the stack.
    """
    usable = np.flatnonzero(histograms.sum(axis=1) > 0)
    found = location_and_spread(histograms[usable])
    away = np.median(found, axis=0) - found
    if variances is not None:
        tissue = _TISSUE * variances[usable].mean(axis=0)
        away *= np.clip(1 - tissue / np.maximum(away.var(axis=0), 1e-12), 0, 1)
    gains = np.clip(np.exp(away[:, 1]), 1 / _MAX_GAIN, _MAX_GAIN)
    offsets = found[:, 0] + away[:, 0] - gains * found[:, 0]
    everywhere = np.arange(len(histograms))
    return np.stack([np.interp(everywhere, usable, column) for column in (gains, offsets)], axis=1)


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
