"""Registration of a pair of slices, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import (
    Matrix,
    centre_shift,
    from_level,
    to_level,
)
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.normal_equations import NormalEquations, PairEquations
from spherovem_core.registration.pair_equations import pair_equations
from spherovem_core.registration.phase_correlation import InitialMotion, estimate_initial_motion
from spherovem_core.registration.pyramid import Level, build_pyramid
from spherovem_core.registration.refinement import refine
from spherovem_core.registration.strain_prior import StrainPrior
from spherovem_core.registration.sure_scale import FREE, is_sure, is_suspected
from spherovem_core.registration.torn_slices import LEAST_UNMATCHED, second_motion
from spherovem_core.registration.uncertainty import motion_covariances, rms_of_covariance
from spherovem_core.registration.usable_areas import UsableAreas, find_usable_areas

INITIAL_SIDE_PX = 256
COARSE_TOLERANCE_PX = 0.05
OPPOSITE_RATIO = 1.3
WEAK_SIMILARITY, CHANCE_RATIO = 0.3, 0.4
"""Similarity below which a match may be one by chance, and significance of the best match of the inverted contrast over its own
from which it is taken for one: no tissue matches its negative, so that this match tells what chance gives."""
TORN = "torn or folded"
UNCERTAIN = "uncertain by"
SURE_SIMILARITY = 0.5
"""Similarity from which areas that do not match are told from the others."""


@dataclass(frozen=True)
class PairResult:
    """Motion between two slices and how reliable it is.

    Attributes
    ----------
    matrix : (2, 3) ndarray of float64
        Map of fixed pixel coordinates (y, x, 1) to moving ones.
    similarity, initial_similarity
        Normalised cross-correlation of the prepared slices (binned, shading removed, smoothed) on their overlap, with
        the motion and without it.
    overlap
        Fraction of the fixed slice that the moving one covers, whatever the weights of its pixels.
    covariance : (6, 6) ndarray of float64
        Of the elements (yy, yx, y, xy, xx, x) of a residual motion in pixels; its linear part acts on centred coordinates
        in units of half the longer side. It includes noise, interpolation and tissue that changes between the slices
        (see `motion_covariances`).
    uncertainty_px
        Root mean square over the slice of the displacement that this covariance describes.
    condition
        Ratio of the largest to the smallest eigenvalue of the motion's normal equations.
    iterations
        Evaluations at all resolutions together.
    fixed_fraction, featureless_fraction
        Fractions of the slice without weight, because they stay in the frame or show no features.
    trusted, reason
        The verdict, and the reason if the pair is not trusted (else empty).
    torn_if_rare
        Reason not to trust it if few pairs of the stack have one: a large part stays in the frame while the rest moved, as a part
        of a torn slice does, or, in all slices, what is fixed to the frame.
    """

    matrix: Matrix
    similarity: float
    initial_similarity: float
    overlap: float
    covariance: NDArray[np.float64]
    uncertainty_px: float
    condition: float
    iterations: int
    fixed_fraction: float
    featureless_fraction: float
    trusted: bool
    reason: str
    torn_if_rare: str = ""

    def to_record(self) -> dict[str, Any]:
        """Convert to JSON values, which keep every bit of the floats."""
        record = dict(vars(self))
        record["matrix"], record["covariance"] = self.matrix.tolist(), self.covariance.tolist()
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Rebuild a result from `to_record`."""
        arrays = {name: np.array(record[name], dtype=np.float64) for name in ("matrix", "covariance")}
        return cls(**{**record, **arrays})


def register_pair(
    fixed: NDArray[np.generic],
    moving: NDArray[np.generic],
    parameters: RegistrationParameters | None = None,
    device: str = "cpu",
) -> PairResult:
    """Find the motion between two slices.

    Phase correlation at a coarse resolution gives an initial motion; a robust Gauss-Newton scheme on the correlation over
    the overlap refines it from coarse to fine.

    Parameters
    ----------
    fixed, moving : (Y, X) ndarray
        Slices of the same shape, of any real type.
    parameters : RegistrationParameters, optional
        Motion model, resolutions, limits for a trusted pair.
    device
        ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    PairResult

    Raises
    ------
    ShapeMismatchError
        If the slices differ in shape or are not two-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import ndimage
    >>> from spherovem_core.registration import register_pair
    >>> texture = ndimage.gaussian_filter(np.random.default_rng(0).random((80, 96)), 2)
    >>> pair = register_pair(texture[:-3], texture[3:])
    >>> pair.matrix[:, 2].round(1) + 0.0
    array([-3.,  0.])
    >>> pair.trusted
    True
    """
    if fixed.shape != moving.shape or fixed.ndim != 2:
        raise ShapeMismatchError(
            f"fixed has the shape {fixed.shape} and moving {moving.shape}; expected two (Y, X) slices of the same shape: "
            "crop or pad them to the same size"
        )
    chosen = parameters or RegistrationParameters()
    with intraop_threads(1):
        prepared = [prepare_slices(image[None], chosen, device) for image in (fixed, moving)]
        return register_prepared(prepared[0], prepared[1], chosen)[0]


def prepare_slices(
    slices: NDArray[np.generic],
    parameters: RegistrationParameters,
    device: str,
    pattern: NDArray[np.float32] | None = None,
    without_stripes: bool = True,
) -> list[Level]:
    """Prepare (B, Y, X) slices once for all their pairs; a pattern fixed to the frame is subtracted, stripes are removed."""
    return build_pyramid(
        slices, parameters.levels, parameters.working_pixels, device, pattern, without_stripes
    )


def register_prepared(
    fixed: list[Level], moving: list[Level], parameters: RegistrationParameters, start: Matrix | None = None
) -> list[PairResult]:
    """Register a batch of pairs of prepared slices: element b of `fixed` with element b of `moving`.

    `start` holds (B, 2, 3) maps in pixels of the source to start from, instead of the phase correlation.
    """
    motions: list[InitialMotion] = []
    start_given = start is not None
    if start is None:
        motions = _initial_motions(fixed, moving, parameters)
        start = from_level(np.stack([motion.matrix for motion in motions]), _initial_level(fixed).factor)
    matrices = start
    iterations = np.zeros(len(matrices), dtype=np.int_)
    for number in reversed(range(len(fixed))):
        level, finest = fixed[number], number == 0
        other = moving[number]
        weight = None
        if number < len(fixed) - 1 or finest:
            areas = find_usable_areas(level.image, other.image, to_level(matrices, level.factor))
            weight = areas.weight
        equations = pair_equations(level, other, weight)
        found, normal, evaluations = refine(
            equations,
            to_level(matrices, level.factor),
            parameters.model,
            StrainPrior(parameters.usual_strain, level.factor),
            parameters.max_iterations,
            parameters.tolerance_px / level.factor if finest else COARSE_TOLERANCE_PX,
        )
        matrices = from_level(found, level.factor)
        iterations += evaluations
    results = _judge(equations, matrices, motions, areas, normal, iterations, fixed[0].factor, parameters)
    if start_given:
        return results
    results = [
        _with_sure_scale(result, fixed, moving, start[b], b, parameters) for b, result in enumerate(results)
    ]
    levels = _initial_level(fixed), _initial_level(moving)
    return [_without_torn(result, *levels, b, parameters) for b, result in enumerate(results)]


def _with_sure_scale(
    result: PairResult,
    fixed: list[Level],
    moving: list[Level],
    start: Matrix,
    b: int,
    parameters: RegistrationParameters,
) -> PairResult:
    """Register element b again almost without the prior if its scale changes, and take that if the change is sure."""
    if parameters.model not in ("similarity", "affine"):
        return result
    # A pair that the prior keeps from its true motion is uncertain.
    fits = result.trusted or result.reason.startswith(UNCERTAIN)
    if not fits or not is_suspected(result.matrix, parameters.usual_strain):
        return result
    one, other = ([Level(level.image[b : b + 1], level.factor) for level in p] for p in (fixed, moving))
    freely = parameters.model_copy(update={"usual_strain": FREE * parameters.usual_strain})
    free = register_prepared(one, other, freely, start[None])[0]
    shape = (fixed[0].image.shape[1] * fixed[0].factor, fixed[0].image.shape[2] * fixed[0].factor)
    if not free.trusted or not is_sure(free.matrix, free.covariance, shape, parameters.usual_strain):
        return result
    return replace(free, iterations=result.iterations + free.iterations)


def _without_torn(
    result: PairResult, fixed: Level, moving: Level, b: int, parameters: RegistrationParameters
) -> PairResult:
    """Distrust a pair of which a large part moved otherwise than the rest."""
    matched = result.featureless_fraction + result.fixed_fraction < LEAST_UNMATCHED
    if not result.trusted or (matched and result.similarity > SURE_SIMILARITY):
        return result
    found = second_motion(fixed, moving, b, result.matrix, result.similarity, parameters.max_shift_fraction)
    if found is None:
        return result
    reason = (
        f"{TORN}: {found.share:.0%} of the area that matches lies {found.distance_px:.0f} px from the rest"
    )
    if found.still:
        return replace(result, torn_if_rare=reason)
    return replace(result, trusted=False, reason=reason)


def _initial_level(levels: list[Level]) -> Level:
    return next((level for level in levels if max(level.image.shape[1:]) <= INITIAL_SIDE_PX), levels[-1])


def _initial_motions(
    fixed: list[Level], moving: list[Level], parameters: RegistrationParameters
) -> list[InitialMotion]:
    """Search every pair of a batch for its motion at a coarse level."""
    pairs = zip(_initial_level(fixed).image, _initial_level(moving).image, strict=True)
    return [estimate_initial_motion(f, m, parameters.max_shift_fraction) for f, m in pairs]


def _judge(
    equations: PairEquations,
    matrices: Matrix,
    motions: list[InitialMotion],
    areas: UsableAreas,
    normal: NormalEquations,
    iterations: NDArray[np.int_],
    factor: int,
    parameters: RegistrationParameters,
) -> list[PairResult]:
    """Measure every pair of a batch at its final map, and decide whether to trust it."""
    covariances, conditions = motion_covariances(
        equations, to_level(matrices, factor), normal, parameters.model
    )
    after = equations.correlation(to_level(matrices, factor))
    overlap = equations.overlap
    weighted_overlap = equations.weighted_overlap
    before = equations.initial_correlation()
    shape = (equations.shape[0] * factor, equations.shape[1] * factor)
    results = []
    for b, matrix in enumerate(matrices):
        covariance = covariances[b] * factor**2
        uncertainty = rms_of_covariance(covariance, shape)
        shares = float(overlap[b]), float(weighted_overlap[b])
        reason = _reason_for_distrust(matrix, float(after[b]), shares, uncertainty, shape, parameters)
        if motions and motions[b].opposite > OPPOSITE_RATIO * motions[b].significance:
            reason = "the slices match better with the contrast of one inverted"
        if not reason and motions and _is_by_chance(motions[b], float(after[b])):
            reason = f"similarity {after[b]:.2f} is hardly above what chance gives"
        results.append(
            PairResult(
                matrix=matrix,
                similarity=float(after[b]),
                initial_similarity=float(before[b]),
                overlap=float(overlap[b]),
                covariance=covariance,
                uncertainty_px=uncertainty,
                condition=float(conditions[b]),
                iterations=int(iterations[b]),
                fixed_fraction=float(areas.fixed[b]),
                featureless_fraction=float(areas.featureless[b]),
                trusted=not reason,
                reason=reason,
            )
        )
    return results


def _is_by_chance(motion: InitialMotion, similarity: float) -> bool:
    return similarity < WEAK_SIMILARITY and motion.opposite > CHANCE_RATIO * motion.significance


def _reason_for_distrust(
    matrix: Matrix,
    similarity: float,
    overlaps: tuple[float, float],
    uncertainty_px: float,
    shape: tuple[int, int],
    parameters: RegistrationParameters,
) -> str:
    """Return why a pair cannot be trusted; empty if it can. The overlaps are those of the area and of the weight."""
    stretch = float(np.abs(np.linalg.svd(matrix[:, :2], compute_uv=False) - 1.0).max())
    shift = np.abs(centre_shift(matrix, shape)) / shape
    if similarity < parameters.min_similarity:
        return f"similarity {similarity:.2f} is below {parameters.min_similarity:g}"
    if overlaps[0] < parameters.min_overlap:
        return f"the slices overlap by {overlaps[0]:.0%}, less than {parameters.min_overlap:.0%}"
    if overlaps[1] < parameters.min_overlap:
        return (
            f"their pixels with weight overlap by {overlaps[1]:.0%}, less than {parameters.min_overlap:.0%}"
        )
    if stretch > parameters.max_stretch:
        return f"stretched by {stretch:.0%}, more than {parameters.max_stretch:.0%}"
    if shift.max() > parameters.max_shift_fraction + 0.05:
        return f"shifted by {shift.max():.0%} of a side, more than {parameters.max_shift_fraction:.0%}"
    if not uncertainty_px <= parameters.max_uncertainty_px:
        return f"{UNCERTAIN} {uncertainty_px:.1f} px, more than {parameters.max_uncertainty_px:g} px"
    return ""
