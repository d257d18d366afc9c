"""States of cells: in interphase, dividing, dead or with many nuclei."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.tissue_parameters import TissueParameters

_MOST_NUCLEI = 6
# Cells per group, from the most visible on, in which the fractions hold up to rounding.
_GROUP = 40


class CellState(IntEnum):
    """State of a cell."""

    INTERPHASE = 0
    DIVIDING = 1
    DEAD = 2
    MULTINUCLEATE = 3


def draw_states(parameters: TissueParameters, seen: NDArray[np.int64]) -> NDArray[np.int8]:
    """Draw the state of each cell.

    Parameters
    ----------
    seen : (S,) ndarray of int
        Number of visible points of each cell. The fractions hold, up to rounding, among the most visible cells.
    """
    states = np.zeros(seen.size, np.int8)
    fractions = {
        CellState.DIVIDING: parameters.dividing_fraction,
        CellState.DEAD: parameters.dead_fraction,
        CellState.MULTINUCLEATE: parameters.multinucleate_fraction,
    }
    if not any(fractions.values()):
        return states
    generator = np.random.default_rng((parameters.seed, 0x57A7E))
    ranked = np.argsort(-seen, kind="stable")
    for group in np.array_split(ranked, max(1, seen.size // _GROUP)):
        shuffled = generator.permutation(group)
        for state, fraction in fractions.items():
            number = round(fraction * group.size)
            states[shuffled[:number]] = state
            shuffled = shuffled[number:]
    return states


def nuclei_by_state(
    parameters: TissueParameters, states: NDArray[np.int8], numbers: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Replace the number of nuclei of cells that are not in interphase: one or two plates, one, or three to six."""
    generator = np.random.default_rng((parameters.seed, 0x57A7F))
    many = generator.integers(3, _MOST_NUCLEI + 1, states.size)
    plates = generator.integers(1, 3, states.size)
    changed = np.where(states == CellState.MULTINUCLEATE, many, numbers)
    changed = np.where(states == CellState.DIVIDING, plates, changed)
    return np.where(states == CellState.DEAD, 1, changed)
