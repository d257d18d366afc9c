"""Two slices as placed: their similarity, and the motion that is still found between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix, compose, from_level, invert, to_level
from spherovem_core.registration.compiled_filters import compiled_for
from spherovem_core.registration.pairs import register_prepared
from spherovem_core.registration.phase_correlation import estimate_initial_motion
from spherovem_core.registration.pyramid import Level
from spherovem_core.registration.warped_sampling import (
    batch_dot,
    overlap_intervals,
    overlap_mask,
    sample_linear,
)

if TYPE_CHECKING:
    from torch import Tensor

MISFIT_PIXELS = 300_000
"""Most pixels of the level at which the misfit is measured: at half the resolution of the pairs it costs a quarter."""
TOLERANCE_PX = 0.1
"""A step below this is still taken, and leaves far less."""
SEARCH_SIDE_PX = 128


@dataclass(frozen=True)
class PlacedPair:
    """Misfit of a slice to another one, as both are placed.

    Attributes
    ----------
    similarity
        Plain correlation of the prepared slices on their overlap, as placed.
    residual : (2, 3) ndarray of float64
        Map of reference coordinates: content at ``q`` in the fixed slice as placed is found at ``residual @ (q, 1)`` in the
        moving one. The identity if the slices fit.
    uncertainty_px
        Uncertainty of its displacement, root mean square over the slice.
    measured, reason
        False if no motion could be found that can be trusted, with the reason.
    """

    similarity: float
    residual: Matrix
    uncertainty_px: float
    measured: bool
    reason: str

    def to_record(self) -> dict[str, Any]:
        """Convert to JSON values, which keep every bit of the floats."""
        return {**vars(self), "residual": self.residual.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Rebuild a result from `to_record`."""
        return cls(**{**record, "residual": np.array(record["residual"], dtype=np.float64)})


def misfit_level(levels: Sequence[Level]) -> int:
    """Return the number of the level at which placed slices are compared: the finest of at most `MISFIT_PIXELS` pixels."""
    small = (k for k, level in enumerate(levels) if level.image[0].numel() <= MISFIT_PIXELS)
    return next(small, len(levels) - 1)


def measure_placed_pair(
    fixed: list[Level],
    moving: list[Level],
    fixed_map: Matrix,
    moving_map: Matrix,
    parameters: RegistrationParameters,
) -> PlacedPair:
    """Register two slices again, starting from where they are placed.

    The motion that the placement implies and the peaks of the phase correlation of the slices as placed are compared at a
    coarse resolution, so that a misfit of half a slice is found too. The registration then starts from the best of them. It is
    the one of the pairs, at a coarser resolution and always affine, so that it also shows what the model of the pairs leaves.

    Parameters
    ----------
    fixed, moving : list of Level
        One prepared slice each.
    fixed_map, moving_map : (2, 3) ndarray
        Maps of reference coordinates to those of each slice.
    parameters
        Those of the registration; their limits decide whether the misfit counts as measured.

    Returns
    -------
    PlacedPair
    """
    implied = compose(moving_map, invert(fixed_map))
    similarity = placed_correlation(fixed[0], moving[0], to_level(implied, fixed[0].factor))
    start = _coarse_motion(fixed, moving, implied, parameters)
    finest = misfit_level(fixed)
    free = parameters.model_copy(
        update={"model": "affine", "tolerance_px": max(parameters.tolerance_px, TOLERANCE_PX)}
    )
    found = register_prepared(fixed[finest:], moving[finest:], free, start[None])[0]
    return PlacedPair(
        similarity=similarity,
        residual=compose(invert(moving_map), compose(found.matrix, fixed_map)),
        uncertainty_px=found.uncertainty_px,
        measured=found.trusted,
        reason=found.reason,
    )


def placed_correlation(fixed: Level, moving: Level, matrix: Matrix) -> float:
    """Compute the plain correlation of two prepared slices on their overlap; 0 without overlap or contrast."""
    total, sum_a, sum_b, power_a, power_b, cross = _overlap_sums(fixed, moving, matrix)
    if total < 1.0:
        return 0.0
    variances = (max(p / total - (s / total) ** 2, 0.0) for p, s in ((power_a, sum_a), (power_b, sum_b)))
    power = float(np.prod(list(variances)))
    covariance = cross / total - sum_a * sum_b / total**2
    return covariance / power**0.5 if power > 1e-12 else 0.0


def _overlap_sums(fixed: Level, moving: Level, matrix: Matrix) -> list[float]:
    """Sum 1, a, b, aa, bb and ab over the overlap."""
    if compiled_for(fixed.image):
        from spherovem_core.registration.placed_pairs_kernels import overlap_sums

        sums = np.empty(6)
        images = fixed.image[0].numpy(), moving.image[0].numpy()
        overlap_sums(*images, matrix, overlap_intervals(matrix, images[0].shape), sums)
        return list(sums.tolist())
    a, b = fixed.image, sample_linear(moving.image, matrix[None])
    mask = _overlap(fixed, matrix)
    ones = mask.new_ones(mask.shape)
    weighted = mask * a, mask * b
    products = (mask, ones), (weighted[0], ones), (weighted[1], ones), (weighted[0], a), (weighted[1], b)
    return [float(batch_dot(*pair)[0]) for pair in (*products, (weighted[0], b))]


def _coarse_motion(
    fixed: list[Level], moving: list[Level], implied: Matrix, parameters: RegistrationParameters
) -> Matrix:
    """Find the motion of the slices at a coarse level, starting from the one implied by their places."""
    sides = [max(level.image.shape[1:]) for level in fixed]
    number = next((k for k, side in enumerate(sides) if side <= SEARCH_SIDE_PX), len(fixed) - 1)
    level, other = fixed[number], moving[number]
    matrix = to_level(implied, level.factor)
    placed = sample_linear(other.image, matrix[None]) * _overlap(level, matrix)
    found = estimate_initial_motion(level.image[0], placed[0], parameters.max_shift_fraction)
    return compose(implied, from_level(found.matrix, level.factor))


def _overlap(fixed: Level, matrix: Matrix) -> Tensor:
    """Return 1 for each pixel of the fixed slice on the overlap, else 0."""
    mask = fixed.image.new_empty(fixed.image.shape)
    overlap_mask(matrix[None], mask, mask.new_empty(mask.shape))
    return mask
