"""Candidate squares: the grid squares of a slice that may hold nanoparticles, because they are too bright for the tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Square means are in units of their slice's contrast: (mean - median) / half the distance between its 16 % and 84 % quantiles.
SQUARE_EDGES: NDArray[np.float64] = np.arange(-8 * 32, 56 * 32 + 1) / 32
LEVEL_EDGES: NDArray[np.float64] = np.unique(
    np.round(np.concatenate([np.arange(0.5, 6.0, 0.125), np.geomspace(6.0, 50.0, 20)]) * 32) / 32
)

# Fewer bright squares than this in a whole stack are dust.
_MIN_SQUARES = 8
# The tail is extrapolated from the squares in two intervals of this width.
_STEP_GRADES = 6
_MIN_TAIL = 25
# Confidence in the tail and in the excess over it; strict, because the clearest of several hundred pairs is taken.
_SIGMAS = 3.0
_MIN_LOG_RATIO = 12.0
# See `_clear_of_tail`.
_CLEAR = 50.0
_KEPT = (0.7, 0.9)


@dataclass(frozen=True)
class CandidateLevel:
    """Brightness from which squares are candidates.

    Attributes
    ----------
    contrast
        Squares with this mean or a higher one are candidates, in units of the contrast; infinite if there is none.
    squares, explained
        Number of squares above the level where the excess over the background's tail is clearest, and the largest number
        of them that the tail explains.
    """

    contrast: float
    squares: int
    explained: float

    @property
    def found(self) -> bool:
        """True if the stack has candidates."""
        return bool(np.isfinite(self.contrast))


def find_candidates(counts: NDArray[np.floating | np.integer], min_excess: float) -> CandidateLevel:
    """Find the brightness above which squares outnumber those that the background's tail explains.

    The mean intensity of tissue in a square has a tail that falls at least as fast as an exponential: its density is
    log-concave (noise is nearly Gaussian, and a smooth spread of stains adds to it). The counts in two adjacent intervals
    before a point t of the tail therefore bound the number of squares above any u > t by a geometric series.
    Nanoparticles are a second population that exceeds this bound. The function takes the pair of t and u with the highest
    Poisson log-likelihood ratio between the squares found above u and those explained. Candidates begin beyond the knee
    of log S between t and u, where S is the survival function of the square means.

    Tissue with a bright class apart from the rest (a rare bright organelle) also exceeds the bound: intensities alone
    cannot tell it from nanoparticles.

    Parameters
    ----------
    counts : (grades,) ndarray
        Histogram of square means over `SQUARE_EDGES`.
    min_excess
        Factor by which the squares must outnumber the explained ones.
    """
    survival = np.cumsum(counts[::-1])[::-1].astype(np.float64)
    median = int(np.searchsorted(-survival, -0.5 * survival[0]))
    best = (_MIN_LOG_RATIO, 0, 0.0, 0, 0)
    for t in range(median + _STEP_GRADES, len(counts)):
        if survival[t - _STEP_GRADES] - survival[t] < _MIN_TAIL:
            break
        explained = _extrapolate(survival, t)
        found = survival[t:]
        counts_enough = (found >= _MIN_SQUARES) & (found > min_excess * explained)
        ratio = np.where(
            counts_enough, found * np.log(np.maximum(found, 1) / explained) - found + explained, 0.0
        )
        u = int(ratio.argmax())
        if ratio[u] > best[0]:
            best = (float(ratio[u]), round(found[u]), float(explained[u]), t, t + u)
    _, squares, explained_squares, start, found_at = best
    if not squares:
        return CandidateLevel(np.inf, 0, 0.0)
    contrast = float(SQUARE_EDGES[_clear_of_tail(survival, _knee(survival, start, found_at))])
    return CandidateLevel(contrast, squares, explained_squares)


def _knee(survival: NDArray[np.float64], start: int, stop: int) -> int:
    """Find where the logarithm of the survival function lies deepest under its chord: one tail ends, another begins."""
    log = np.log(survival[start : stop + 1])
    return start + int((np.linspace(log[0], log[-1], len(log)) - log).argmax())


def _clear_of_tail(survival: NDArray[np.float64], knee: int) -> int:
    """Find the grade above which hardly any square is background and most bright squares remain.

    The brightest tissue must stay in the background, or its tail passes for nanoparticles. The background's own part of
    the tail, which is what exceeds the count at the knee, is therefore extrapolated until the squares outnumber it
    fiftyfold. At least the dimmest tenth and at most the dimmest three tenths of the bright population are left out: these
    squares lie on the edge of particles, and the halo of brighter squares covers them.
    """
    bright = survival[knee]
    last = int(np.flatnonzero(survival[:knee] >= 2 * bright)[-1])
    tail = survival[[last - _STEP_GRADES, last]] - bright
    explained = tail[1] * (tail[1] / tail[0]) ** (np.arange(len(survival) - last) / _STEP_GRADES)
    rare = last + int(np.argmax(survival[last:] >= _CLEAR * explained))
    most, least = (int(np.flatnonzero(survival >= fraction * bright)[-1]) for fraction in _KEPT)
    return max(knee, least, min(rare, most))


def _extrapolate(survival: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    """Bound the number of squares that a log-concave tail has above t, t + 1, ..., given that counts are random."""
    before = survival[t - 2 * _STEP_GRADES] - survival[t - _STEP_GRADES]
    here = survival[t - _STEP_GRADES] - survival[t]
    fall = np.log(here / before) + _SIGMAS * np.sqrt(1 / here + 1 / before)
    rate = np.exp(min(fall, -1e-9) / _STEP_GRADES)
    # Count in the last grade before t, then the geometric series from t on.
    level = (here + _SIGMAS * np.sqrt(here)) * (1 - rate) / (1 - rate**_STEP_GRADES) * rate**_STEP_GRADES
    return np.asarray(level / (1 - rate) * rate ** np.arange(len(survival) - t) + 1e-9)
