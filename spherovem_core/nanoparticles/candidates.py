"""Which cells may hold nanoparticles: where the upper tail of the cell means stops falling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Cell means are in units of their slice's contrast: (mean - median) / half the distance of its 16 % and 84 % quantiles.
CELL_EDGES: NDArray[np.float64] = np.arange(-8 * 32, 56 * 32 + 1) / 32
LEVEL_EDGES: NDArray[np.float64] = np.unique(
    np.round(np.concatenate([np.arange(0.5, 6.0, 0.125), np.geomspace(6.0, 50.0, 20)]) * 32) / 32
)

# Fewer bright cells than this, in a whole stack, are dust.
_MIN_CELLS = 8
# The tail is extrapolated from the cells in two intervals of this width.
_STEP_GRADES = 6
_MIN_TAIL = 25
# Confidence in the tail, and in the excess over it: the clearest of several hundred is taken.
_SIGMAS = 3.0
_MIN_LOG_RATIO = 12.0
# See `_clear_of_tail`.
_CLEAR = 50.0
_KEPT = (0.7, 0.9)


@dataclass(frozen=True)
class CandidateLevel:
    """From where on cells are candidates.

    Attributes
    ----------
    contrast
        Cells of this mean and above are candidates, in units of the contrast; infinite where there is none.
    cells, explained
        Cells found where the excess over the background's tail is clearest, and how many of them that tail
        explains at most.
    """

    contrast: float
    cells: int
    explained: float

    @property
    def found(self) -> bool:
        """Whether the stack has candidates at all."""
        return bool(np.isfinite(self.contrast))


def find_candidates(counts: NDArray[np.floating | np.integer], min_excess: float) -> CandidateLevel:
    """Find where bright cells outnumber what the background's tail explains.

    Tissue averaged over a cell has a tail that falls at least as fast as an exponential: its density is
    log-concave (noise is nearly Gaussian, and a smooth spread of stains adds to it). From the counts in two adjacent
    intervals before any point t of the tail follows then how many cells there can be at most above any u > t: the
    geometric series. Nanoparticles are a second population that breaks this bound. The pair of t and u with the
    highest Poisson log-likelihood ratio of the cells found above u to those explained is taken; candidates
    begin beyond the knee of log S between the two.

    A stack whose tissue itself has a bright class apart from the rest (a rare bright organelle) breaks the bound
    too: intensities alone cannot tell it from nanoparticles.

    Parameters
    ----------
    counts : (grades,) ndarray
        Histogram of cell means over `CELL_EDGES`.
    min_excess
        Factor by which cells must outnumber the explained ones.
    """
    survival = np.cumsum(counts[::-1])[::-1].astype(np.float64)
    median = int(np.searchsorted(-survival, -0.5 * survival[0]))
    best = (_MIN_LOG_RATIO, 0, 0.0, 0, 0)
    for t in range(median + _STEP_GRADES, len(counts)):
        if survival[t - _STEP_GRADES] - survival[t] < _MIN_TAIL:
            break
        explained = _extrapolate(survival, t)
        found = survival[t:]
        counts_enough = (found >= _MIN_CELLS) & (found > min_excess * explained)
        ratio = np.where(
            counts_enough, found * np.log(np.maximum(found, 1) / explained) - found + explained, 0.0
        )
        u = int(ratio.argmax())
        if ratio[u] > best[0]:
            best = (float(ratio[u]), round(found[u]), float(explained[u]), t, t + u)
    _, cells, explained_cells, start, found_at = best
    if not cells:
        return CandidateLevel(np.inf, 0, 0.0)
    contrast = float(CELL_EDGES[_clear_of_tail(survival, _knee(survival, start, found_at))])
    return CandidateLevel(contrast, cells, explained_cells)


def _knee(survival: NDArray[np.float64], start: int, stop: int) -> int:
    """Where the logarithm of the survival function lies deepest under its chord: one tail ends, another begins."""
    log = np.log(survival[start : stop + 1])
    return start + int((np.linspace(log[0], log[-1], len(log)) - log).argmax())


def _clear_of_tail(survival: NDArray[np.float64], knee: int) -> int:
    """Grade from which on hardly any cell is background, and most bright cells are still above.

    The brightest tissue must not be taken out of the background, or its tail passes for nanoparticle: the
    background's own part of the tail, what it has more than at the knee, is extrapolated until the cells outnumber it
    fiftyfold. Of the bright population, the dimmest tenth at least and three tenths at most are left out: these are
    cells on the edge of particles, which the halo of brighter ones covers.
    """
    bright = survival[knee]
    last = int(np.flatnonzero(survival[:knee] >= 2 * bright)[-1])
    tail = survival[[last - _STEP_GRADES, last]] - bright
    explained = tail[1] * (tail[1] / tail[0]) ** (np.arange(len(survival) - last) / _STEP_GRADES)
    rare = last + int(np.argmax(survival[last:] >= _CLEAR * explained))
    most, least = (int(np.flatnonzero(survival >= share * bright)[-1]) for share in _KEPT)
    return max(knee, least, min(rare, most))


def _extrapolate(survival: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    """Most cells that a log-concave tail can have above t, t + 1, ..., given that counts are random."""
    before = survival[t - 2 * _STEP_GRADES] - survival[t - _STEP_GRADES]
    here = survival[t - _STEP_GRADES] - survival[t]
    fall = np.log(here / before) + _SIGMAS * np.sqrt(1 / here + 1 / before)
    rate = np.exp(min(fall, -1e-9) / _STEP_GRADES)
    # The last grade before t, and the geometric series from t on.
    level = (here + _SIGMAS * np.sqrt(here)) * (1 - rate) / (1 - rate**_STEP_GRADES) * rate**_STEP_GRADES
    return np.asarray(level / (1 - rate) * rate ** np.arange(len(survival) - t) + 1e-9)
