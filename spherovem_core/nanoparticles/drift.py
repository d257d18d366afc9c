"""Contrast drift: each slice's intensities brought to the stack's own scale by a rising affine map."""

import numpy as np
from numpy.typing import NDArray

from spherovem_core.histograms import map_counts, quantiles_of_bins

# Bright quantiles are left out: a slice full of nanoparticles must not look like a slice of higher gain.
_MATCHED = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85)
_MAX_GAIN = 4.0
# Tiles of a slice resemble each other where they share a cell, which a variance between tiles does not see.
_TISSUE = 2.0


def location_and_spread(histograms: NDArray[np.integer]) -> NDArray[np.float64]:
    """Describe histograms (N, bins) by two numbers each (N, 2), both robust against what is bright.

    The mean of the quantiles from 5 % to 85 %, in bins, and the logarithm of the distance of the upper three
    from the lower three.
    """
    rows = np.stack([quantiles_of_bins(counts, _MATCHED) for counts in histograms])
    spread = rows[:, -3:].mean(axis=1) - rows[:, :3].mean(axis=1)
    return np.stack([rows.mean(axis=1), np.log(np.maximum(spread, 1e-6))], axis=1)


def jackknife_variance(tiles: NDArray[np.integer]) -> NDArray[np.float64]:
    """Variance of a slice's location and spread (2,) that comes from which tissue it happens to show.

    Parameters
    ----------
    tiles : (tiles, bins) ndarray
        Histogram of each tile of the slice; left out one at a time (Quenouille 1956, Tukey 1958).
    """
    kept = tiles.sum(axis=0) - tiles
    found = location_and_spread(kept[kept.sum(axis=1) > 0])
    return np.asarray((len(found) - 1) * found.var(axis=0))


def match_slices(
    histograms: NDArray[np.integer], variances: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Match the histogram of each slice to the stack's by an affine map of intensities.

    Location and spread of each slice's quantiles from 5 % to 85 % are brought to their medians over the stack.
    Gain and offset are the drifts of a detector; a free monotone map would follow the tissue, whose
    composition changes from slice to slice, and be unbounded where nanoparticles lie.

    The two also vary because slices show different tissue, the more so the smaller they are. Given how
    much, they are brought only as far as drift explains: by the share of the variance over the stack that is left when
    twice the variance within slices is taken off (empirical Bayes, as Efron and Morris 1975 shrink means).

    Parameters
    ----------
    histograms : (Z, bins) ndarray
        Background voxels of each slice; an empty row takes the map of its neighbours.
    variances : (Z, 2) ndarray, optional
        Of each slice's location and spread, from `jackknife_variance`; left out, all variation is drift.

    Returns
    -------
    (Z, 2) ndarray of float64
        Gain g and offset o, in bins: bin k of a slice is g k + o in the stack's scale.
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
    """Move histograms to the stack's scale, each bin's counts spread evenly over its image.

    Parameters
    ----------
    histograms : (Z, bins) ndarray
    maps : (Z, 2) ndarray
        From `match_slices`.
    first, count
        Bins of the result: `first` to `first + count - 1`. Counts beyond fall into the first and the last.

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
