"""Level of contrast from which maxima are candidates: more than the tissue's texture explains."""

import numpy as np
from numpy.typing import NDArray

# Bins of the tail over which its slope is measured, and maxima needed in each of the two.
_STEP = 8
_FEWEST = 25
# Confidence in the slope; strict, because the lowest of several hundred levels is taken.
_SIGMAS = 3.0


def candidate_level(counts: NDArray[np.floating], allowed: float) -> int:
    """Find the lowest bin above which a tail holds at most a given number of maxima.

    The heights of the maxima of a texture have a tail that falls at least as fast as an exponential (log-concave: the
    maxima of a Gaussian field do, Adler 1981). The counts in two adjacent intervals before a point of the tail therefore
    bound the number of maxima beyond any height by a geometric series. The bound holds for every point of the tail, so the
    lowest height is taken. Particles raise the counts, and so the bound, only beyond their own heights.

    Parameters
    ----------
    counts : (bins,) ndarray
        Number of maxima by their height.
    allowed
        Number of maxima of the texture that may lie above the level.

    Returns
    -------
    int
        Number of bins if no bin is high enough.
    """
    tail = np.cumsum(np.asarray(counts, np.float64)[::-1])[::-1]
    best = len(counts)
    start = int(np.argmax(counts)) + 2 * _STEP
    for t in range(start, len(counts)):
        here, before = tail[t - _STEP] - tail[t], tail[t - 2 * _STEP] - tail[t - _STEP]
        if here < _FEWEST or before < _FEWEST:
            break
        fall = np.log(here / before) + _SIGMAS * np.sqrt(1 / here + 1 / before)
        if fall >= 0:
            continue
        rate = np.exp(fall / _STEP)
        # Count in the last bin before t, then the geometric series beyond it.
        last = here * (1 - 1 / rate) / (1 - rate**-_STEP)
        beyond = last * rate / (1 - rate)
        bins = t + max(0.0, np.log(allowed / beyond) / np.log(rate)) if beyond > 0 else t
        best = min(best, int(np.ceil(bins)))
    return best
