"""Alignment of a whole stack: pairs, their joint solution, drift and crop."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import RegistrationError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix, compose, invert, nearest_rigid
from spherovem_core.registration.crop import Rectangle, largest_common_rectangle
from spherovem_core.registration.drift import remove_deformation_trend, remove_trend
from spherovem_core.registration.links import Links, solve_links, spread_by_steps
from spherovem_core.registration.pair_jobs import Pair, register_pairs
from spherovem_core.registration.pairs import PairResult
from spherovem_core.registration.slice_table import slice_table

BRIDGE_DISTANCE = 3
WEAK_BESIDE_STACK = 0.5


@dataclass(frozen=True)
class Alignment:
    """Where every slice of a stack belongs.

    Attributes
    ----------
    transforms : (Z, 2, 3) ndarray of float64
        Maps of reference pixel coordinates (y, x, 1), before the crop, to those of each slice as given.
    crop : Rectangle
        Pixels of the reference frame that every slice covers.
    table : DataFrame
        One row a slice: ``z``; ``shift_y_px``, ``shift_x_px`` of the centre and ``rotation_deg`` of its map;
        ``similarity_before`` and ``similarity_after``, ``uncertainty_px``, ``trusted`` and ``reason`` of
        its pair with the nearest good slice before it (NaN and empty for the first); ``bridged``, whether
        it hangs on the stack by longer links than that pair; ``used``, false for bad slices, which
        are placed between their neighbours; ``drift_y_px``, ``drift_x_px``, the slow trend of its shift;
        ``map_yy`` ... ``map_x_px``, its map row by row; ``crop_y0_px`` ... ``crop_x1_px``, the crop, the same for all.
    """

    transforms: Matrix
    crop: Rectangle
    table: pd.DataFrame

    def details(self) -> dict[str, Any]:
        """JSON values to keep with the registered array: crop (y0, x0, y1, x1), maps, similarities and verdicts.

        A slice without a pair before it has no similarity (None).
        """
        similarity = self.table["similarity_after"].tolist()
        return {
            "crop": [self.crop.y0, self.crop.x0, self.crop.y1, self.crop.x1],
            "transforms": self.transforms.tolist(),
            "similarity": [None if np.isnan(s) else s for s in similarity],
            "trusted": self.table["trusted"].tolist(),
            "reason": self.table["reason"].tolist(),
            "bridged": self.table["bridged"].tolist(),
        }


def register_stack(
    source: ArrayLike,
    parameters: RegistrationParameters,
    execution: Execution,
    bad_slices: Collection[int] = (),
    ledger: MutableMapping[str, Any] | None = None,
) -> Alignment:
    """Align the slices of a stack.

    Pairs of slices are registered independently of each other, at distance 1 among the good slices for a ``chain`` and
    at all of `link_distances` otherwise. Pairs that cannot be trusted are left out; in a
    chain, longer links are then registered across the gap. All links are solved together
    (`solve_links`), which for an unbroken chain is their composition. Then the drift is treated:

    - ``chain``, ``links``: the shifts that the pairs say are corrected in full. Tissue that leans comes out
      upright, and what it leans adds up: 28 px over 250 slices of aligned neuropil.
    - ``detrend``: slow changes of position are left as acquired (`trend_slices`). Tissue that leans keeps its lean, and
      so does the stage its drift.

    In all of them the slow trend of rotation, scale and shear is left as acquired unless `deformation_trend_slices`
    is 0.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    parameters : RegistrationParameters
    execution : Execution
        Executor of the pairs, device, progress. Results are the same for any executor.
    bad_slices
        Slices to leave out of every pair.
    ledger
        Finished pairs are kept here as JSON-able records and taken from here.

    Returns
    -------
    Alignment

    Raises
    ------
    RegistrationError
        If no slice is good, or the aligned slices have no pixel in common.
    """
    count, shape = int(source.shape[0]), (int(source.shape[1]), int(source.shape[2]))
    good = [z for z in range(count) if z not in set(bad_slices)]
    if not good:
        raise RegistrationError(
            f"all {count} slices are marked bad, there is nothing to align; look at the flags in the slices table"
        )
    results = _registered_pairs(source, good, parameters, execution, {} if ledger is None else ledger)
    reference = good[0] if parameters.reference == "first" else min(good, key=lambda z: abs(z - count // 2))
    solved, weights = _solve(results, good, count, reference, shape)
    transforms = _treat_drift(solved, reference, parameters, shape)
    crop = largest_common_rectangle(transforms, shape)
    table = slice_table(transforms, solved, results, weights, good, crop, parameters.trend_slices, shape)
    return Alignment(transforms, crop, table)


def _registered_pairs(
    source: ArrayLike,
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> dict[Pair, PairResult]:
    """Register the pairs that the drift treatment asks for, and those that bridge gaps; judged as a stack."""
    distances = (1,) if parameters.drift == "chain" else tuple(sorted({1, *parameters.link_distances}))
    wanted = _pairs_at(good, distances)
    results = _judge_as_stack(register_pairs(source, wanted, parameters, execution, ledger), good)
    longest = max(BRIDGE_DISTANCE, *distances)
    bridges = [
        pair
        for pair in _pairs_at(good, range(2, longest + 1))
        if pair not in results and _spans_gap(pair, good, results)
    ]
    if not bridges:
        return results
    results |= register_pairs(source, bridges, parameters, execution, ledger)
    return _judge_as_stack(results, good)


def _pairs_at(good: list[int], distances: Iterable[int]) -> list[Pair]:
    return sorted((a, b) for d in distances for a, b in zip(good, good[d:], strict=False))


def _spans_gap(pair: Pair, good: list[int], results: dict[Pair, PairResult]) -> bool:
    inside = [z for z in good if pair[0] <= z <= pair[1]]
    return any(not results[step].trusted for step in itertools.pairwise(inside))


def _judge_as_stack(results: dict[Pair, PairResult], good: list[int]) -> dict[Pair, PairResult]:
    """Distrust pairs that are much less alike than others of the same distance: a random match looks so."""
    rank = {z: k for k, z in enumerate(good)}
    by_distance: dict[int, list[float]] = {}
    for (a, b), result in results.items():
        by_distance.setdefault(rank[b] - rank[a], []).append(result.similarity)
    judged = {}
    for (a, b), result in results.items():
        usual = float(np.median(by_distance[rank[b] - rank[a]]))
        if result.trusted and result.similarity < WEAK_BESIDE_STACK * usual:
            reason = f"similarity {result.similarity:.2f} is far below the {usual:.2f} usual at this distance"
            result = replace(result, trusted=False, reason=reason)
        judged[a, b] = result
    return judged


def _solve(
    results: dict[Pair, PairResult], good: list[int], count: int, reference: int, shape: tuple[int, int]
) -> tuple[Matrix, dict[Pair, float]]:
    """Solve all trusted links together; bad slices fall between their neighbours."""
    trusted = [(pair, result) for pair, result in sorted(results.items()) if result.trusted]
    rank = {z: k for k, z in enumerate(good)}
    pairs = np.array([pair for pair, _ in trusted], dtype=np.int_).reshape(-1, 2)
    links = Links(
        fixed=pairs[:, 0],
        moving=pairs[:, 1],
        matrices=np.array([r.matrix for _, r in trusted]).reshape(-1, 2, 3),
        spread_px=np.array([r.uncertainty_px for _, r in trusted]),
    )
    steps = np.array([rank[b] - rank[a] for (a, b), _ in trusted], dtype=np.int_)
    similarity = np.array([r.similarity for _, r in trusted])
    spreads = spread_by_steps(links, steps, similarity, shape)
    typical = {d: float(np.median(links.spread_px[steps == d])) for d in spreads}
    relative = [links.spread_px[k] / max(typical[int(d)], 1e-9) for k, d in enumerate(steps)]
    spread = np.array([r * spreads[int(d)] for r, d in zip(relative, steps, strict=True)])
    solved, weights = solve_links(
        Links(links.fixed, links.moving, links.matrices, spread), count, reference, shape
    )
    return solved, {pair: float(w) for (pair, _), w in zip(trusted, weights, strict=True)}


def _treat_drift(
    solved: Matrix, reference: int, parameters: RegistrationParameters, shape: tuple[int, int]
) -> Matrix:
    transforms = solved
    if parameters.deformation_trend_slices:
        transforms = remove_deformation_trend(transforms, parameters.deformation_trend_slices, shape)
    if parameters.drift == "detrend":
        transforms = remove_trend(transforms, parameters.trend_slices)
    if parameters.model == "rigid":
        # The other models are closed under the weighted means that links and trends are made of.
        transforms = nearest_rigid(transforms, shape)
    return compose(transforms, invert(transforms[reference]))
