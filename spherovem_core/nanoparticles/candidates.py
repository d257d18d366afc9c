"""Which cells may hold nanoparticles: where the upper tail of the cell means stops falling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Cell means are in units of their slice's contrast: (mean - median) / half the distance of its 16 % and 84 % quantiles.
CELL_EDGES: NDArray[np.float64] = np.arange(-8 * 32, 56 * 32 + 1) / 32
LEVEL_EDGES: NDArray[np.float64] = np.unique(
    np.round(np.concatenate([np.arange(0.5, 6.0, 0.125), np.geomspace(6.0, 50.0, 20)]) * 32) / 32
)
CELL_LEVELS: NDArray[np.uint8] = np.searchsorted(LEVEL_EDGES, CELL_EDGES[:-1], side="right").astype(np.uint8)

# Fewer bright cells than this, in a whole stack, are dust.
_MIN_CELLS = 8
# The tail is extrapolated from the cells above a point and above a point this much lower.
_STEP_GRADES = 6
_MIN_TAIL = 25
# Confidence in the tail, and in the excess over it: the clearest of several hundred is taken.
_SIGMAS = 3.0
_MIN_LOG_RATIO = 12.0


@dataclass(frozen=True)
class CandidateLevel:
    """From where on cells are candidates.

    Attributes
    ----------
    level
        Cells of this level and above are candidates; `len(LEVEL_EDGES) + 1` where there is none.
    contrast
        Cell mean at that level, in units of the slice's contrast; infinite where there is none.
    cells, explained
        Cells found where the excess over the background's tail is clearest, and how many of them that tail
        explains at most.
    """

    level: int
    contrast: float
    cells: int
    explained: float

    @property
    def found(self) -> bool:
        """Whether the stack has candidates at all."""
        return bool(np.isfinite(self.contrast))


def find_candidates(counts: NDArray[np.int64], min_excess: float) -> CandidateLevel:
    """Find where bright cells outnumber what the background's tail explains.

    Tissue averaged over a cell has a tail that falls at least as fast as an exponential: its density is
    log-concave (noise is nearly Gaussian, and a smooth spread of stains adds to it), and so is then its survival
    function S. From any two points s < t of the tail, S(u) <= S(t) (S(t) / S(s)) ** ((u - t) / (t - s))
    follows for u > t. Nanoparticles are a second population that breaks this bound. The pair of t and u with the
    highest Poisson log-likelihood ratio of the cells found above u to those explained is taken; candidates
    begin where cells outnumber the explained ones by `min_excess`: a lower level would take the brightest tissue
    out of the background.

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
    best = (_MIN_LOG_RATIO, 0, 0.0, 0)
    for t in range(median + _STEP_GRADES, len(counts)):
        if survival[t] < _MIN_TAIL:
            break
        explained = _extrapolate(survival, t)
        found = survival[t:]
        counts_enough = (found >= _MIN_CELLS) & (found > min_excess * explained)
        ratio = np.where(
            counts_enough, found * np.log(np.maximum(found, 1) / explained) - found + explained, 0.0
        )
        u = int(ratio.argmax())
        if ratio[u] > best[0]:
            best = (float(ratio[u]), int(found[u]), float(explained[u]), t)
    _, cells, explained_cells, start = best
    if not cells:
        return CandidateLevel(len(LEVEL_EDGES) + 1, np.inf, 0, 0.0)
    unexplained = survival[start:] >= min_excess * _extrapolate(survival, start)
    contrast = CELL_EDGES[start + int(unexplained.argmax())]
    level = int(np.searchsorted(LEVEL_EDGES, contrast, side="left"))
    return CandidateLevel(level + 1, float(contrast), cells, explained_cells)


def _extrapolate(survival: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    """Most cells that a log-concave tail can have above t, t + 1, ..., given that both counts are random."""
    here, before = survival[t], survival[t - _STEP_GRADES]
    spread = np.sqrt(1 / here - 1 / before)
    slope = min(0.0, np.log(here / before) + _SIGMAS * spread) / _STEP_GRADES
    level = here + _SIGMAS * np.sqrt(here)
    return np.asarray(level * np.exp(slope * np.arange(len(survival) - t)) + 1e-9)
