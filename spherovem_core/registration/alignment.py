"""Alignment of a whole stack: pairs, their common solution, jumps, drift, crop and local fields."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ParameterError, RegistrationError, ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration.affine import (
    IDENTITY,
    Matrix,
    centre_shift,
    compose,
    invert,
    nearest_rigid,
    rms_displacement,
    shift_matrix,
)
from spherovem_core.registration.crop import Rectangle, largest_common_rectangle
from spherovem_core.registration.drift import SlowChange, slow_change
from spherovem_core.registration.elastic_fields import ElasticFields, describe_fields
from spherovem_core.registration.elastic_refinement import refine_elastically
from spherovem_core.registration.fixed_pattern import (
    choose_evenly,
    is_still,
    mean_in_the_frame,
)
from spherovem_core.registration.hidden_areas import measure_what_is_fixed
from spherovem_core.registration.jumps import Jumps, find_jumps
from spherovem_core.registration.link_checks import position_uncertainties, reject_wrong_links
from spherovem_core.registration.links import Links, spread_by_steps
from spherovem_core.registration.pair_jobs import Pair, register_pairs
from spherovem_core.registration.pairs import TORN, PairResult
from spherovem_core.registration.placement_jobs import measure_placement
from spherovem_core.registration.slice_places import PlacedSlices, place_by_thickness
from spherovem_core.registration.slice_table import make_slice_table
from spherovem_core.registration.uncertainty import covariance_with_pattern, rms_of_covariance
from spherovem_core.utils.slice_choice import good_slices

BRIDGE_DISTANCE = 3
PATTERN_ROUNDS = 12
FOLLOWED_PAIRS = 80
SETTLED_PX = 0.02
RARE_FRACTION, PAIRS_OF_A_SLICE = 0.15, 2
TRIED_PAIRS = 6
MOVED_PX = 0.5
WEAK_FRACTION = 0.5


@dataclass(frozen=True)
class Alignment:
    """Positions of all slices of a stack.

    `apply_alignment` gives the aligned and cropped stack.

    Attributes
    ----------
    transforms : (Z, 2, 3) ndarray of float64
        Maps of reference pixel coordinates (y, x, 1), before the crop, to those of each slice of the source. The reference frame
        has the centre of the reference slice, and the mean scale, turn and shear of the nominal slices (`Jumps.nominal`).
    crop : Rectangle
        Pixels of the reference frame that every slice covers.
    table : DataFrame
        One row per slice: ``z``; ``shift_y_px``, ``shift_x_px`` of the centre and ``rotation_deg`` of its map;
        ``similarity_before``, ``pair_similarity``, ``uncertainty_px``, ``fixed_fraction`` and
        ``featureless_fraction`` (parts of the slice without weight), ``trusted`` and ``reason`` of its pair with the
        nearest good slice before it, at the map which this pair found (NaN and empty for the first);
        ``position_uncertainty_px`` of its place against the mean of its neighbours' by all pairs; ``bridged``, true if
        only longer links than that pair hold the slice; ``used``, false for bad slices, which are placed between their
        neighbours; ``drift_y_px``, ``drift_x_px``, the slow trend of its shift without jumps; ``jump_y_px``, ``jump_x_px``,
        ``jump_rotation_deg``, ``jump_scale``, ``jump_shear``, the jump to the slice, 0 if none; ``relative_scale``, its
        magnification by the jumps; ``similarity_after``, ``misfit_y_px`` ... ``misfit_deviation_px``, its fit to the
        slices before it, measured again on the slices as placed by their maps (`misfit_columns`); ``thickness_relative`` ...
        ``thickness_mean_disagreement``, its thickness (`thickness_columns`); ``map_yy`` ... ``map_x_px``, its map row by
        row; ``crop_y0_px`` ... ``crop_x1_px``, the crop, equal in all rows; ``fixed_pattern_grey``, the standard deviation
        of the pattern that was subtracted from all slices for the estimate, also equal in all rows (0: none);
        ``elastic_rms_px``, ``elastic_max_px``, the size of its local field, and ``elastic_limited``, true if that field
        folded and was scaled down.
    lean_error_px
        Standard error, per slice, of the lean that was left as acquired, as far as jitter causes it; None if none was left.
    fields : ElasticFields, optional
        Local fields on top of the maps, with ``refinement: elastic``.
    placed : PlacedSlices, optional
        Places of the slices along z, with ``resample_z``.
    """

    transforms: Matrix
    crop: Rectangle
    table: pd.DataFrame
    lean_error_px: float | None = None
    fields: ElasticFields | None = None
    placed: PlacedSlices | None = None

    @property
    def slices(self) -> RegisteredSlices:
        """Slices of the acquisition that each slice of the aligned stack shows."""
        return RegisteredSlices.even(len(self.transforms)) if self.placed is None else self.placed.slices

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the aligned stack."""
        return (self.slices.count, *self.crop.shape)

    def details(self) -> dict[str, Any]:
        """Return the JSON values stored with the registered array.

        They are the crop (y0, x0, y1, x1), maps, verdicts, the error of the lean and, with ``resample_z``, the slices of the
        acquisition that each slice shows (`RegisteredSlices`). The similarity is that of the slices as placed by their maps;
        that of a slice without one before it is None.
        """
        similarity = self.table["similarity_after"].tolist()
        return {
            "crop": [self.crop.y0, self.crop.x0, self.crop.y1, self.crop.x1],
            "transforms": self.transforms.tolist(),
            "similarity": [None if np.isnan(s) else s for s in similarity],
            "trusted": self.table["trusted"].tolist(),
            "reason": self.table["reason"].tolist(),
            "bridged": self.table["bridged"].tolist(),
            "lean_error_px": self.lean_error_px,
            "refinement": "none" if self.fields is None else "elastic",
            **({} if self.placed is None else self.placed.details()),
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
    `link_distances` otherwise. Pairs that cannot be trusted are left out; in a chain, longer links are then registered across
    the gap. All links are solved together, without those that the others contradict (`reject_wrong_links`); for an unbroken
    chain the solution is their composition. Jumps of position, scale, turn and shear are found in the solution (`find_jumps`)
    and corrected in full. Then the drift is treated (`treat_drift`):

    - ``chain``, ``links``: the shifts measured by the pairs are corrected in full. Leaning tissue comes out upright, and
      its lean adds up: 28 px over 250 slices of aligned neuropil.
    - ``detrend``: changes of position slower than `trend_slices` are left as acquired. Leaning tissue keeps its lean as
      far as it stands out from jitter, and a drift of the microscope stage remains.

    In all cases rotation, scale and shear that change more slowly than `deformation_trend_slices` are left as acquired. If that
    is 0, they are corrected, but with ``detrend`` those slower than `trend_slices` are left.

    Then the slices are compared again where these maps place them (`measure_placement`), so that the table shows the misfit
    that is left. With ``refinement: elastic``, smooth local fields on top of the maps correct what jitters from slice to
    slice (`refine_elastically`); the misfit is that without them. With ``resample_z``, slices are placed along z by their
    thickness, where it is known well enough (`place_by_thickness`), and the warp interpolates between them.

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
        Keeps the records of finished pairs and of slices compared as placed, as JSON values; what is found in it is not
        computed again.

    Returns
    -------
    Alignment

    Raises
    ------
    ShapeMismatchError
        If the stack is not three-dimensional.
    ParameterError
        If the model is none.
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
    if parameters.model == "none":
        raise ParameterError(
            "the model is none, which registers nothing; use alignment_as_given, or choose another model"
        )
    execution = execution or Execution()
    count, shape = int(slices.shape[0]), (int(slices.shape[1]), int(slices.shape[2]))
    good = good_slices(count, bad_slices)
    if not good:
        raise RegistrationError(
            f"all {count} slices are marked bad, so none can be aligned; look at the flags in the slices table"
        )
    ledger = {} if ledger is None else ledger
    results, pattern = _registered_pairs(slices, good, parameters, execution, ledger)
    reference = good[0] if parameters.reference == "first" else min(good, key=lambda z: abs(z - count // 2))
    solved, weights, results, uncertainty = _solve(results, good, count, reference, shape)
    transforms, jumps, slow = treat_drift(solved, good, reference, parameters, shape)
    crop = largest_common_rectangle(transforms, shape)
    placed = measure_placement(slices, transforms, crop, good, parameters, execution, ledger, pattern)
    fields: ElasticFields | None = None
    limited: list[int] = []
    if parameters.refinement == "elastic":
        fields, crop, limited = refine_elastically(
            slices, good, transforms, crop, parameters, execution, ledger, pattern
        )
    table = make_slice_table(
        transforms,
        slow.drift_px,
        jumps,
        results,
        weights,
        uncertainty,
        good,
        crop,
        shape,
        placed,
        parameters.trend_slices,
        0.0 if pattern is None else float(np.nanstd(pattern)),
    )
    kept = parameters.drift == "detrend" and count > 2
    lean_error = float(slow.lean_error_px.max()) if kept else None
    along_z = place_by_thickness(table) if parameters.resample_z else None
    return Alignment(transforms, crop, describe_fields(table, fields, limited), lean_error, fields, along_z)


def _registered_pairs(
    source: ArrayLike,
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> tuple[dict[Pair, PairResult], NDArray[np.float32] | None]:
    """Register the pairs that the drift treatment needs and those across gaps, and judge them as a stack.

    If something stays in the frame in all slices, all pairs are registered again without it. It has pulled the first maps, and
    what is measured with pulled maps is too weak, so it is measured again with better ones until the maps of some
    neighbours settle.
    """
    plain = results = _paired(source, good, parameters, execution, ledger)
    shape = (int(source.shape[1]), int(source.shape[2]))
    if is_still(plain, good, shape):
        results = _hidden_motion(source, good, parameters, execution, ledger) or plain
    before = dict(results)
    fixed: NDArray[np.float32] | None = None
    followed = choose_evenly(list(itertools.pairwise(good)), FOLLOWED_PAIRS)
    for number in range(1, PATTERN_ROUNDS + 1):
        found = measure_what_is_fixed(source, results, good, parameters, execution, fixed)
        if found is None:
            break
        fixed, prefix = found, f"without pattern {number}: "
        anew = register_pairs(source, followed, parameters, execution, ledger, fixed, prefix)
        changes = [rms_displacement(anew[pair].matrix - results[pair].matrix, shape) for pair in followed]
        results = results | anew
        if np.median(changes) < SETTLED_PX:
            break
    if fixed is None:
        return plain, None
    results = _paired(source, good, parameters, execution, ledger, fixed, "without pattern: ")
    hidden_fraction = float(np.isnan(fixed).mean())
    return _with_pattern(results, before, shape, hidden_fraction, parameters.max_uncertainty_px), fixed


def _with_pattern(
    results: dict[Pair, PairResult],
    before: dict[Pair, PairResult],
    shape: tuple[int, int],
    hidden_fraction: float,
    most_px: float,
) -> dict[Pair, PairResult]:
    """State the uncertainty of pairs with that of the pattern that was subtracted, and count hidden areas as fixed ones."""
    widened = {}
    for pair, result in results.items():
        earlier = before[pair].matrix if pair in before else None
        covariance = covariance_with_pattern(result.covariance, result.matrix, earlier, shape)
        uncertainty = rms_of_covariance(covariance, shape)
        reason = result.reason
        if result.trusted and uncertainty > most_px:
            reason = f"uncertain by {uncertainty:.1f} px, more than {most_px:g} px, with what is fixed to the frame"
        widened[pair] = replace(
            result,
            covariance=covariance,
            uncertainty_px=uncertainty,
            trusted=not reason,
            reason=reason,
            fixed_fraction=max(result.fixed_fraction, hidden_fraction),
            featureless_fraction=max(result.featureless_fraction - hidden_fraction, 0.0),
        )
    return widened


def _hidden_motion(
    source: ArrayLike,
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> dict[Pair, PairResult] | None:
    """Register slices that seem still without their mean in the frame, which holds all pairs if it is strong.

    A few pairs are tried first. Returns None if they do not move either; whether the mean is a pattern, the measurement
    of it decides.
    """
    mean = mean_in_the_frame(source, good, parameters, execution)
    tried = choose_evenly(list(itertools.pairwise(good)), TRIED_PAIRS)
    prefix = "without mean: "
    results = register_pairs(source, tried, parameters, execution, ledger, mean, prefix)
    shape = (int(source.shape[1]), int(source.shape[2]))
    moved = [
        r for r in results.values() if r.trusted and rms_displacement(r.matrix - IDENTITY, shape) > MOVED_PX
    ]
    if 2 * len(moved) <= len(tried):
        return None
    return _paired(source, good, parameters, execution, ledger, mean, prefix)


def _paired(
    source: ArrayLike,
    good: list[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None = None,
    prefix: str = "",
) -> dict[Pair, PairResult]:
    distances = (1,) if parameters.drift == "chain" else tuple(sorted({1, *parameters.link_distances}))
    wanted = _pairs_at(good, distances)
    results = register_pairs(source, wanted, parameters, execution, ledger, pattern, prefix)
    results = _judge_as_stack(results, good)
    longest = max(BRIDGE_DISTANCE, *distances)
    bridges = [
        pair
        for pair in _pairs_at(good, range(2, longest + 1))
        if pair not in results and _spans_gap(pair, good, results)
    ]
    if not bridges:
        return results
    results |= register_pairs(source, bridges, parameters, execution, ledger, pattern, prefix)
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
    return _without_torn_slices(judged, good)


def _without_torn_slices(results: dict[Pair, PairResult], good: list[int]) -> dict[Pair, PairResult]:
    """Distrust pairs of torn slices: all pairs of a slice that is torn against both neighbours, since any may follow either part.

    A part that stays in the frame makes a slice torn only if few pairs have one.
    """
    suspects = sum(bool(results[pair].torn_if_rare) for pair in itertools.pairwise(good))
    if suspects <= max(PAIRS_OF_A_SLICE, RARE_FRACTION * len(good)):
        results = {
            pair: replace(r, trusted=False, reason=r.torn_if_rare) if r.trusted and r.torn_if_rare else r
            for pair, r in results.items()
        }
    torn = {pair for pair in itertools.pairwise(good) if results[pair].reason.startswith(TORN)}
    sides = [[(a, b) in torn for a, b in itertools.pairwise(good) if z in (a, b)] for z in good]
    slices = {z for z, beside in zip(good, sides, strict=True) if len(beside) == 2 and all(beside)}
    judged = {}
    for (a, b), result in results.items():
        if result.trusted and (a in slices or b in slices):
            reason = f"slice {a if a in slices else b} is {TORN}"
            result = replace(result, trusted=False, reason=reason)
        judged[a, b] = result
    return judged


def _solve(
    results: dict[Pair, PairResult], good: list[int], count: int, reference: int, shape: tuple[int, int]
) -> tuple[Matrix, dict[Pair, float], dict[Pair, PairResult], NDArray[np.float64]]:
    """Solve all trusted links together, and distrust those that the others contradict.

    Bad slices are placed between their neighbours. Returns the maps, the final weight of each pair that was trusted before,
    the results with the final verdict, and the uncertainty of the place of each slice.
    """
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
    calibrated = replace(links, spread_px=spread)
    solved, weights, contradiction = reject_wrong_links(calibrated, count, reference, shape)
    uncertainty = position_uncertainties(calibrated, weights, count)
    judged = dict(results)
    for k in np.flatnonzero(contradiction):
        pair, result = trusted[k]
        reason = f"the other pairs place the slices {contradiction[k]:.1f} px apart from this one"
        judged[pair] = replace(result, trusted=False, reason=reason)
    found = {pair: float(w) for (pair, _), w in zip(trusted, weights, strict=True)}
    return solved, found, judged, uncertainty


def treat_drift(
    solved: Matrix,
    good: list[int],
    reference: int,
    parameters: RegistrationParameters,
    shape: tuple[int, int],
) -> tuple[Matrix, Jumps, SlowChange]:
    """Correct jumps and jitter, and leave slow changes as acquired.

    The frame has the mean scale, turn and shear of the nominal slices, so that the voxel size is right; only the position is that
    of the reference slice, whose own jitter would otherwise rescale all slices.
    """
    jumps = find_jumps(solved, good, reference, shape)
    detrend = parameters.drift == "detrend"
    window = parameters.deformation_trend_slices or (parameters.trend_slices if detrend else None)
    slow = slow_change(
        compose(invert(jumps.places), solved),
        shape,
        parameters.trend_slices,
        window,
        jumps,
        keep_position=detrend,
    )
    transforms = compose(solved, invert(slow.maps))
    if parameters.model == "rigid":
        # Weighted means, as links and trends form them, of maps of the other models are maps of that model again.
        transforms = nearest_rigid(transforms, shape)
    back = -centre_shift(transforms[reference], shape)
    anchor = np.linalg.solve(transforms[reference][:, :2], back)
    return compose(transforms, shift_matrix(*anchor)), jumps, slow
