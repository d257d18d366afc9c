"""Pairs of which one part of the slice moved otherwise than the rest, as where a slice is torn or folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spherovem_core.registration.affine import Matrix, shift_matrix, to_level
from spherovem_core.registration.phase_correlation import find_shift
from spherovem_core.registration.pyramid import Level
from spherovem_core.registration.usable_areas import find_usable_areas
from spherovem_core.registration.warped_sampling import overlap_mask, sample_linear

if TYPE_CHECKING:
    from torch import Tensor

LEAST_UNMATCHED = 0.04
"""Part of the slice that does not match at the motion from which a second motion is looked for."""
LEAST_SHARE = 0.25
"""Area that moves otherwise, relative to that and the area that matches, from which neither can be called that of the slice."""
LEAST_DISTANCE = 2.0
LEAST_RELATIVE_LIKENESS = 0.6
LEAST_SIGNIFICANCE = 6.0
CELL_PX = 16
INDEPENDENT_PX = 25.0
"""Pixels of a prepared slice that count as one independent value."""


@dataclass(frozen=True)
class SecondMotion:
    """Motion of a part of a slice that moved otherwise than the rest.

    Attributes
    ----------
    share
        Its area relative to all area that matches.
    distance_px
        Distance of both motions in the middle of that area, in pixels of the source.
    still
        Whether it stays in the frame, as what is fixed to the frame does in all slices and a part of a torn slice in one.
    """

    share: float
    distance_px: float
    still: bool


def second_motion(
    fixed: Level, moving: Level, b: int, matrix: Matrix, similarity: float, max_shift_fraction: float
) -> SecondMotion | None:
    """Look for another motion where two slices do not match at the one that was found.

    The unmatched part of the fixed slice is searched for in the moving one by phase correlation. It is a second motion if it
    matches there about as well as the rest does at its own, far better than by chance, and lies more than 2 px from the
    first motion.

    Parameters
    ----------
    fixed, moving : Level
        Batches of prepared slices, about 256 px wide.
    b
        Element of the batches.
    matrix : (2, 3) ndarray
        Motion that was found, in pixels of the source.
    similarity
        Correlation at that motion.
    max_shift_fraction
        As in `RegistrationParameters`.

    Returns
    -------
    SecondMotion, optional
        None if there is no second motion, or its share is small.
    """
    image, other = fixed.image[b : b + 1], moving.image[b : b + 1]
    there = to_level(matrix[None], fixed.factor)
    weight = find_usable_areas(image, other, there).weight
    if weight is None:
        return None
    unmatched = (weight[0] < 0.5).to(image.dtype)
    part = float(unmatched.mean())
    if part < LEAST_UNMATCHED:
        return None
    shift = find_shift(image[0] * unmatched, other[0], max_shift_fraction)
    likeness, area = _likeness(image[0], other[0], unmatched, shift)
    significance = float(np.arctanh(np.clip(likeness, -0.999, 0.999))) * (area / INDEPENDENT_PX) ** 0.5
    if likeness < LEAST_RELATIVE_LIKENESS * similarity or significance < LEAST_SIGNIFICANCE:
        return None
    place = np.append([float(index.double().mean()) for index in unmatched.nonzero(as_tuple=True)], 1.0)
    distance = float(np.hypot(*(there[0] @ place - place[:2] - shift)))
    share = _share(image, other, there, shift, LEAST_RELATIVE_LIKENESS * similarity)
    if distance < LEAST_DISTANCE or share < LEAST_SHARE:
        return None
    return SecondMotion(share, distance * fixed.factor, float(np.hypot(*shift)) < LEAST_DISTANCE)


def _likeness(fixed: Tensor, moving: Tensor, chosen: Tensor, shift: tuple[int, int]) -> tuple[float, float]:
    """Compute the correlation of the chosen pixels of the fixed slice with the moving one at a shift, and their number."""
    for axis, s in enumerate(shift):
        n = fixed.shape[axis] - abs(s)
        fixed, chosen = (v.narrow(axis, max(0, -s), n) for v in (fixed, chosen))
        moving = moving.narrow(axis, max(0, s), n)
    product, first, second = (
        float((v * chosen).double().sum()) for v in (fixed * moving, fixed * fixed, moving * moving)
    )
    return product / max((first * second) ** 0.5, 1e-12), float(chosen.sum())


def _share(fixed: Tensor, moving: Tensor, first: Matrix, shift: tuple[int, int], least: float) -> float:
    """Compute the part of the cells that match at either of two motions which match better at the second."""
    import torch
    import torch.nn.functional as nnf

    found = []
    for motion in (first, shift_matrix(*shift)[None]):
        inside = overlap_mask(motion, torch.empty_like(fixed), torch.empty_like(fixed))
        warped = sample_linear(moving, motion) * inside
        sums = [nnf.avg_pool2d(v[:, None], CELL_PX) for v in (fixed * warped, fixed**2, warped**2)]
        found.append(sums[0] / (0.5 * (sums[1] + sums[2])).clamp_min(1e-3))
    matched = torch.maximum(*found) > least
    return float(((found[1] > found[0]) & matched).sum()) / max(float(matched.sum()), 1.0)
