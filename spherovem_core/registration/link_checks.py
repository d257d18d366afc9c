"""Checks of links against each other, and how well they hold each slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.links import MIN_SPREAD_PX, Links, link_misfit, solve_links

WRONG_PX = 1.0
WRONG_SPREADS = 2.5
ROUNDS = 12
CHUNK = 512
_HELD = 1e-3


def reject_wrong_links(
    links: Links, count: int, reference: int, shape: Sequence[int]
) -> tuple[Matrix, NDArray[np.float64], NDArray[np.float64]]:
    """Solve for all slices, and leave out links that the others contradict.

    A precise link pulls the solution to itself, so its misfit says little. It is compared with where the other links place its
    slices: its misfit divided by the part that the others determine (the deleted residual of regression diagnostics, Belsley,
    Kuh and Welsch 1980). A link is left out if that is more than 1 px and more than 2.5 times the spread expected of
    it. In each round only the worst of links that span the same slices is left out, since a wrong one makes its neighbours
    look wrong.

    Parameters
    ----------
    links, count, reference, shape
        As in `solve_links`.

    Returns
    -------
    transforms : (count, 2, 3) ndarray
    weights : (m,) ndarray
        Final weight of each link; 0 if it was left out.
    contradiction_px : (m,) ndarray
        Root mean square distance to where the other links place the slices of a link that was left out; 0 of others.
    """
    kept = np.ones(len(links.fixed), dtype=np.bool_)
    contradiction = np.zeros(len(kept))
    weights = np.zeros(len(kept))
    for _ in range(ROUNDS):
        chosen = _subset(links, kept)
        transforms, weights[kept] = solve_links(chosen, count, reference, shape)
        weights[~kept] = 0.0
        distance, expected = _deleted_residuals(links, kept, weights, transforms, count, shape)
        excess = distance / np.maximum(WRONG_PX, WRONG_SPREADS * expected)
        wrong = _worst_of_overlapping(links, np.where(kept, excess, 0.0))
        if not wrong.any():
            break
        contradiction[wrong] = distance[wrong]
        kept &= ~wrong
    return transforms, weights, contradiction


def position_uncertainties(links: Links, weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Compute how uncertain the place of each slice is against the mean of its two neighbours', in pixels.

    It follows from the inverse of the normal equations of the links, with their spreads and final weights, and takes errors of
    different links as independent. Slices without links have infinite values; the first and last one are compared
    with their one neighbour.
    """
    factor = _Information(links, weights, count)
    combinations = np.zeros((count, 3))
    combinations[:, 1] = 1.0
    combinations[1:-1, [0, 2]] = -0.5
    if count > 1:
        combinations[0, 2] = combinations[-1, 0] = -1.0
    variances = np.empty(count)
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        right = np.zeros((count, len(rows)))
        for offset in (-1, 0, 1):
            place = rows + offset
            inside = (place >= 0) & (place < count)
            right[place[inside], np.flatnonzero(inside)] += combinations[rows[inside], offset + 1]
        variances[rows] = factor.variances(right)
    return np.sqrt(np.where(variances > 1.0 / _HELD, np.inf, variances))


class _Information:
    """Information of the links on the places of all slices, one number per slice.

    All six elements of the maps share it, since links are nearly rigid.
    """

    def __init__(self, links: Links, weights: NDArray[np.float64], count: int) -> None:
        from scipy.linalg import cholesky_banded

        reach = int((links.moving - links.fixed).max(initial=1))
        held = weights / np.maximum(links.spread_px, MIN_SPREAD_PX) ** 2
        banded = np.zeros((reach + 1, count))
        np.add.at(banded[0], links.fixed, held)
        np.add.at(banded[0], links.moving, held)
        np.add.at(banded, (links.moving - links.fixed, links.fixed), -held)
        # A slice without links is as uncertain as 1 / _HELD says, instead of making the matrix singular.
        banded[0] += 1e-6 * _HELD
        ties = 1e-3 * _HELD
        banded[0, :-1] += ties
        banded[0, 1:] += ties
        banded[1, :-1] -= ties
        self._factor = cholesky_banded(banded, lower=True)

    def variances(self, combinations: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the variances of combinations of the places, the columns of a (count, k) array."""
        from scipy.linalg import cho_solve_banded

        solved = cho_solve_banded((self._factor, True), combinations)
        variances: NDArray[np.float64] = np.einsum("ij,ij->j", combinations, solved)
        return variances


def _deleted_residuals(
    links: Links,
    kept: NDArray[np.bool_],
    weights: NDArray[np.float64],
    transforms: Matrix,
    count: int,
    shape: Sequence[int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the distance of each link from where the others place its slices, and its expected size, in pixels."""
    spread = np.maximum(links.spread_px, MIN_SPREAD_PX)
    # The link itself counts with its full weight, so that what the others say is what remains without it.
    distance = link_misfit(links, transforms, shape)
    factor = _Information(links, weights, count)
    own = np.empty(len(spread))
    for start in range(0, len(spread), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(spread)))
        right = np.zeros((count, len(rows)))
        right[links.moving[rows], np.arange(len(rows))] = 1.0
        right[links.fixed[rows], np.arange(len(rows))] = -1.0
        own[rows] = factor.variances(right)
    leverage = np.clip(np.where(kept, weights * own / spread**2, 0.0), 0.0, 1.0 - 1e-9)
    others = own / (1.0 - leverage)
    known = others < 1.0 / _HELD
    deleted = np.where(known, distance / (1.0 - leverage), 0.0)
    return deleted, np.sqrt(spread**2 + np.where(known, others, 0.0))


def _worst_of_overlapping(links: Links, excess: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose the links whose excess is above 1 and the largest of all that span a slice step with them."""
    chosen = np.zeros(len(excess), dtype=np.bool_)
    taken = np.zeros(int(links.moving.max(initial=0)) + 1, dtype=np.bool_)
    for k in np.argsort(-excess, kind="stable"):
        if excess[k] <= 1.0:
            break
        span = slice(int(links.fixed[k]), int(links.moving[k]))
        if not taken[span].any():
            chosen[k] = True
        taken[span] = True
    return chosen


def _subset(links: Links, kept: NDArray[np.bool_]) -> Links:
    return replace(
        links,
        fixed=links.fixed[kept],
        moving=links.moving[kept],
        matrices=links.matrices[kept],
        spread_px=links.spread_px[kept],
    )
