"""Alignment of a whole stack: pairs, their common solution, drift and crop."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import RegistrationError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix, compose, invert, nearest_rigid
from spherovem_core.registration.crop import Rectangle, largest_common_rectangle
from spherovem_core.registration.drift import remove_deformation_trend, remove_trend
from spherovem_core.registration.elastic_fields import ElasticFields, describe_fields
from spherovem_core.registration.elastic_refinement import refine_elastically
from spherovem_core.registration.links import Links, solve_links, spread_by_steps
from spherovem_core.registration.pair_jobs import Pair, register_pairs
from spherovem_core.registration.pairs import PairResult
from spherovem_core.registration.slice_table import make_slice_table

BRIDGE_DISTANCE = 3
WEAK_FRACTION = 0.5


@dataclass(frozen=True)
class Alignment:
    """Positions of all slices of a stack.

    `apply_alignment` gives the aligned and cropped stack.

    Attributes
    ----------
    transforms : (Z, 2, 3) ndarray of float64
        Maps of reference pixel coordinates (y, x, 1), before the crop, to those of each slice of the source.
    crop : Rectangle
        Pixels of the reference frame that every slice covers.
    table : DataFrame
        One row per slice: ``z``; ``shift_y_px``, ``shift_x_px`` of the centre and ``rotation_deg`` of its map;
        ``similarity_before`` and ``similarity_after``, ``uncertainty_px``, ``trusted`` and ``reason`` of its pair with
        the nearest good slice before it (NaN and empty for the first); ``bridged``, true if only longer links than
        that pair hold the slice; ``used``, false for bad slices, which are placed between their neighbours;
        ``drift_y_px``, ``drift_x_px``, the slow trend of its shift; ``map_yy`` ... ``map_x_px``, its map row by row;
        ``crop_y0_px`` ... ``crop_x1_px``, the crop, equal in all rows; ``elastic_rms_px``, ``elastic_max_px``, the size of
        its local field, and ``elastic_limited``, true if that field folded and was scaled down.
    fields : ElasticFields, optional
        Local fields on top of the maps, with ``refinement: elastic``.
    """

    transforms: Matrix
    crop: Rectangle
    table: pd.DataFrame
    fields: ElasticFields | None = None

    def details(self) -> dict[str, Any]:
        """Return the JSON values stored with the registered array: crop (y0, x0, y1, x1), maps, similarities, verdicts.

        The similarity of a slice without a pair before it is None.
        """
        similarity = self.table["similarity_after"].tolist()
        return {
            "crop": [self.crop.y0, self.crop.x0, self.crop.y1, self.crop.x1],
            "transforms": self.transforms.tolist(),
            "similarity": [None if np.isnan(s) else s for s in similarity],
            "trusted": self.table["trusted"].tolist(),
            "reason": self.table["reason"].tolist(),
            "bridged": self.table["bridged"].tolist(),
            "refinement": "none" if self.fields is None else "elastic",
        }


def register_stack(
    slices: ArrayLike,
    parameters: RegistrationParameters | None = None,
    execution: Execution | None = None,
    bad_slices: Collection[int] = (),
    ledger: MutableMapping[str, Any] | None = None,
) -> Alignment:
    """Align the slices of a stack.

    Pairs of slices are registered independently of each other: good slices at distance 1 for a ``chain``, at all of
    `link_distances` otherwise. Pairs that cannot be trusted are left out; in a chain, longer links are then registered
    across the gap. All links are solved together (`solve_links`); for an unbroken chain the solution is their
    composition. Then the drift is treated:

    - ``chain``, ``links``: the shifts measured by the pairs are corrected in full. Leaning tissue comes out upright, and
      its lean adds up: 28 px over 250 slices of aligned neuropil.
    - ``detrend``: changes of position slower than `trend_slices` are left as acquired. Leaning tissue keeps its lean,
      and a drift of the microscope stage remains.

    In all cases the slow trend of rotation, scale and shear is left as acquired, unless `deformation_trend_slices` is 0.

    With ``refinement: elastic``, smooth local fields on top of these maps correct what jitters from slice to slice.

    The stage and notebooks use this function. `apply_alignment` then warps a stack in memory; `warp_stack` writes
    it slice by slice.

    Parameters
    ----------
    slices : (Z, Y, X) array-like
        A NumPy array, a zarr array or a stored array, of any real type; read one slice at a time.
    parameters : RegistrationParameters, optional
        Parameters of the stage.
    execution : Execution, optional
        Executor of the pairs, device, progress. The result is the same for any executor.
    bad_slices
        Slices to leave out of every pair.
    ledger
        Keeps the records of finished pairs, as JSON values; pairs found in it are not computed again.

    Returns
    -------
    Alignment

    Raises
    ------
    ShapeMismatchError
        If the stack is not three-dimensional.
    RegistrationError
        If no slice is good, or the aligned slices have no pixel in common.

    Examples
    --------
    A blurred random texture, moved by 2 rows more in every slice:

    >>> import numpy as np
    >>> from scipy import ndimage
    >>> from spherovem_core.parameters import RegistrationParameters
    >>> from spherovem_core.registration import apply_alignment, register_stack
    >>> texture = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 96)), 2)
    >>> slices = np.stack([texture[2 * z : 2 * z + 80] for z in range(4)])
    >>> parameters = RegistrationParameters(drift="links", model="translation", reference="first")
    >>> alignment = register_stack(slices, parameters)
    >>> alignment.transforms[:, 0, 2].round(1) + 0.0
    array([ 0., -2., -4., -6.])
    >>> aligned = apply_alignment(slices, alignment, parameters)
    >>> aligned.shape == (4, *alignment.crop.shape)
    True
    >>> bool(np.abs(aligned - aligned[0]).max() < 0.01)
    True
    """
    if len(slices.shape) != 3:
        raise ShapeMismatchError(
            f"the stack has the shape {tuple(slices.shape)}; expected (Z, Y, X): pass the slices as one array"
        )
    parameters = parameters or RegistrationParameters()
    execution = execution or Execution()
    count, shape = int(slices.shape[0]), (int(slices.shape[1]), int(slices.shape[2]))
    good = [z for z in range(count) if z not in set(bad_slices)]
    if not good:
        raise RegistrationError(
            f"all {count} slices are marked bad, so none can be aligned; look at the flags in the slices table"
        )
    ledger = {} if ledger is None else ledger
    results = _registered_pairs(slices, good, parameters, execution, ledger)
    reference = good[0] if parameters.reference == "first" else min(good, key=lambda z: abs(z - count // 2))
    solved, weights = _solve(results, good, count, reference, shape)
    transforms = _treat_drift(solved, reference, parameters, shape)
    crop = largest_common_rectangle(transforms, shape)
    fields: ElasticFields | None = None
    limited: list[int] = []
    if parameters.refinement == "elastic":
        fields, crop, limited = refine_elastically(
            slices, good, transforms, crop, parameters, execution, ledger
        )
    table = make_slice_table(transforms, solved, results, weights, good, crop, parameters.trend_slices, shape)
    return Alignment(transforms, crop, describe_fields(table, fields, limited), fields)


def _registered_pairs(
    source: ArrayLike,
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> dict[Pair, PairResult]:
    """Register the pairs that the drift treatment needs and those across gaps, and judge them as a stack."""
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
    """Distrust pairs with less than half the usual similarity of their distance, which is typical of random matches."""
    rank = {z: k for k, z in enumerate(good)}
    by_distance: dict[int, list[float]] = {}
    for (a, b), result in results.items():
        by_distance.setdefault(rank[b] - rank[a], []).append(result.similarity)
    judged = {}
    for (a, b), result in results.items():
        usual = float(np.median(by_distance[rank[b] - rank[a]]))
        if result.trusted and result.similarity < WEAK_FRACTION * usual:
            reason = f"similarity {result.similarity:.2f} is far below the {usual:.2f} usual at this distance"
            result = replace(result, trusted=False, reason=reason)
        judged[a, b] = result
    return judged


def _solve(
    results: dict[Pair, PairResult], good: list[int], count: int, reference: int, shape: tuple[int, int]
) -> tuple[Matrix, dict[Pair, float]]:
    """Solve all trusted links together; bad slices are placed between their neighbours."""
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
        # Weighted means, as links and trends form them, of maps of the other models are maps of that model again.
        transforms = nearest_rigid(transforms, shape)
    return compose(transforms, invert(transforms[reference]))
