"""Robust weighted least squares for the maps of all slices from redundant pairs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import (
    IDENTITY,
    Matrix,
    compose,
    invert,
    rms_displacement,
    shift_matrix,
    slice_centre,
)

MIN_SPREAD_PX = 0.05
REFERENCE_WEIGHT = 1e4
CONTINUITY_WEIGHT = 1e-7
OUTLIER_SPREADS = (64.0, 32.0, 16.0, 8.0, 4.0, 4.0, 4.0, 4.0)


@dataclass(frozen=True)
class Links:
    """Registered pairs of slices that are solved together.

    Attributes
    ----------
    fixed, moving : (m,) ndarray of int
        Slices of each pair; the fixed one comes first in the stack.
    matrices : (m, 2, 3) ndarray
        Map of fixed to moving pixel coordinates.
    spread_px : (m,) ndarray
        Expected error of each link.
    """

    fixed: NDArray[np.int_]
    moving: NDArray[np.int_]
    matrices: Matrix
    spread_px: NDArray[np.float64]


def solve_links(
    links: Links, count: int, reference: int, shape: Sequence[int]
) -> tuple[Matrix, NDArray[np.float64]]:
    """Find the maps that agree best with all links; a few wrong links do not change them.

    The map of a moving slice should equal the map of its fixed slice followed by the link, which is linear in the elements
    of the maps. With coordinates from the centre, the columns of a map contribute independently to the mean square
    displacement over a slice, so every iteration solves one banded system with three right-hand sides. Links are
    weighted by their spread and by the function of Geman and McClure of their misfit. The first solution gives all links
    the same weight, and the width of the function falls with each iteration (graduated non-convexity, Blake and Zisserman
    1987): a wrong link with a small spread is outvoted by the longer links across it before its spread is used.

    A slice without links is placed between its neighbours, because consecutive slices are tied with a very small weight. Where no
    link joins two parts of the stack, they are placed as if nothing had moved between them (`join_parts`).

    Parameters
    ----------
    links : Links
    count
        Number of slices of the stack.
    reference
        Slice whose frame the maps start from.
    shape : (Y, X)
        Shape of a slice.

    Returns
    -------
    transforms : (count, 2, 3) ndarray
        Maps of reference coordinates to the coordinates of each slice.
    weights : (m,) ndarray
        Final weight of each link: 1 if it fits, 0 if it is rejected.
    """
    given = len(links.fixed)
    links = join_parts(links, count, reference)
    frame = shift_matrix(*-slice_centre(shape))
    centred = replace(links, matrices=compose(frame, compose(links.matrices, invert(frame))))
    spread = np.maximum(links.spread_px, MIN_SPREAD_PX)
    weights = np.ones(len(spread))
    solution = _solve(centred, weights, count, reference)
    for width in OUTLIER_SPREADS:
        transforms = compose(invert(frame), compose(solution, frame))
        weights = (1.0 + (link_misfit(links, transforms, shape) / (width * spread)) ** 2) ** -2.0
        solution = _solve(centred, weights / spread**2, count, reference)
    transforms = compose(invert(frame), compose(solution, frame))
    return compose(transforms, invert(transforms[reference])), weights[:given]


def join_parts(links: Links, count: int, reference: int) -> Links:
    """Add a link without motion where no link joins a part of the stack to the rest.

    The maps of a part that nothing holds are not determined, and links within it that contradict each other a little would
    shrink it to a point. The added link joins the slices of both parts that are nearest to each other, and fits exactly.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links.fixed))
    graph = coo_array((ones, (links.fixed, links.moving)), (count, count))
    _, part = connected_components(graph, directed=False)
    held = np.unique(np.concatenate([links.fixed, links.moving, [reference]])).astype(np.int_)
    added = []
    for before, after in sorted(itertools.pairwise(held.tolist()), key=lambda pair: pair[1] - pair[0]):
        if part[before] != part[after]:
            added.append((before, after))
            part[part == part[after]] = part[before]
    if not added:
        return links
    pairs = np.array(added, dtype=np.int_)
    usual = float(np.median(links.spread_px)) if len(links.spread_px) else 1.0
    return Links(
        fixed=np.concatenate([links.fixed, pairs[:, 0]]),
        moving=np.concatenate([links.moving, pairs[:, 1]]),
        matrices=np.concatenate([links.matrices, np.repeat(IDENTITY[None], len(pairs), 0)]),
        spread_px=np.concatenate([links.spread_px, np.full(len(pairs), usual)]),
    )


def link_misfit(links: Links, transforms: Matrix, shape: Sequence[int]) -> NDArray[np.float64]:
    """Compute the root mean square difference of each link from the maps of its slices, in pixels."""
    predicted = compose(links.matrices, transforms[links.fixed])
    return rms_displacement(predicted - transforms[links.moving], shape)


def spread_by_steps(
    links: Links, steps: NDArray[np.int_], similarity: NDArray[np.float64], shape: Sequence[int]
) -> dict[int, float]:
    """Estimate the spread, in pixels, of links over 1, 2, ... steps between good slices.

    Over more steps the tissue has changed more, and a change that continues through many slices biases all links in the
    same direction. The loss of correlation shows how much worse longer links are: the spread is taken to grow with the
    square of the logarithm of the correlation, as on phantoms, where the error grew four-fold from one step to two.
    If noise and not tissue limits the correlation, it is the same at all distances, and longer links count as much as
    single steps. If links differ from the sum of the single steps they span by more than that, the difference gives their
    spread.

    Parameters
    ----------
    links : Links
        Their spreads are the uncertainties of the pairs.
    steps : (m,) ndarray
        Steps between good slices that each link spans.
    similarity : (m,) ndarray
        Correlation of each link.
    shape : (Y, X)
        Shape of a slice.
    """
    losses = {
        int(s): -float(np.log(np.clip(np.median(similarity[steps == s]), 0.01, 0.999))) for s in set(steps)
    }
    claimed = links.spread_px[steps == 1]
    single = max(float(np.median(claimed)) if claimed.size else 0.0, MIN_SPREAD_PX)
    onward = {int(links.fixed[k]): int(k) for k in np.flatnonzero(steps == 1)}
    spreads = {}
    for span, loss in losses.items():
        misses = [_closure(links, int(k), onward, shape) for k in np.flatnonzero(steps == span)]
        missed = float(np.nanmedian(misses)) if not np.isnan(misses).all() else 0.0
        from_closure = np.sqrt(max(missed**2 - span * single**2, 0.0))
        from_loss = single * max(1.0, loss / losses.get(1, loss)) ** 2
        spreads[span] = max(float(from_closure), from_loss)
    return spreads


def _closure(links: Links, k: int, onward: dict[int, int], shape: Sequence[int]) -> float:
    """Compute the root mean square difference of link k from the composed single steps; NaN if one is missing."""
    total, z = IDENTITY, int(links.fixed[k])
    while z in onward and z < links.moving[k]:
        total, z = compose(links.matrices[onward[z]], total), int(links.moving[onward[z]])
    return float(rms_displacement(links.matrices[k] - total, shape)) if z == links.moving[k] else np.nan


def _solve(links: Links, weights: NDArray[np.float64], count: int, reference: int) -> Matrix:
    """Solve the weighted least squares for the maps of all slices, in coordinates from the centre."""
    from scipy.linalg import solveh_banded

    reach = int((links.moving - links.fixed).max(initial=1))
    banded = np.zeros((2 * reach + 2, 2 * count))
    right = np.zeros((count, 2, 3))
    identity = np.eye(2)
    linear, shift = links.matrices[:, :, :2], links.matrices[:, :, 2]
    weighted = weights[:, None, None] * linear
    _add_blocks(banded, links.fixed, links.fixed, np.swapaxes(linear, 1, 2) @ weighted)
    _add_blocks(banded, links.moving, links.moving, weights[:, None, None] * identity)
    _add_blocks(banded, links.moving, links.fixed, -weighted)
    np.add.at(right[:, :, 2], links.moving, weights[:, None] * shift)
    np.add.at(right[:, :, 2], links.fixed, -np.einsum("kji,kj->ki", weighted, shift))
    unit = float(weights.max()) if weights.size else 1.0
    ties = np.broadcast_to(unit * CONTINUITY_WEIGHT * identity, (count - 1, 2, 2))
    before = np.arange(count - 1)
    _add_blocks(banded, before, before, ties)
    _add_blocks(banded, before + 1, before + 1, ties)
    _add_blocks(banded, before + 1, before, -ties)
    banded[0, 2 * reference : 2 * reference + 2] += unit * REFERENCE_WEIGHT
    right[reference, :, :2] += unit * REFERENCE_WEIGHT * identity
    solved: Matrix = solveh_banded(banded, right.reshape(2 * count, 3), lower=True).reshape(count, 2, 3)
    return solved


def _add_blocks(
    banded: NDArray[np.float64], i: NDArray[np.int_], j: NDArray[np.int_], blocks: NDArray[np.float64]
) -> None:
    """Add 2 x 2 blocks at block rows i and columns j to a matrix in lower banded form."""
    for r in range(2):
        for c in range(2):
            row, column = 2 * i + r, 2 * j + c
            below = row >= column
            np.add.at(banded, (row[below] - column[below], column[below]), blocks[below, r, c])
