"""Areas of a pair that say something about its motion: neither fixed to the frame nor without features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, compose, scale_coordinates
from spherovem_core.registration.compiled_filters import compiled_for
from spherovem_core.registration.pyramid import SHADING_WINDOWS

if TYPE_CHECKING:
    from torch import Tensor

CELL = 4
# Pixels compared along an axis: every second one, every fourth one of slices above 512 px, and so on.
COMPARED_PX = 256
# Likeness at zero shift above that at the motion from which an area begins to lose its weight, and has none.
FIXED_FROM, FIXED_TO = 0.1, 0.25
# Likeness at the motion, relative to that of the slices as a whole, below which an area begins to lose its weight, and has none.
FEATURES_FROM, FEATURES_TO = 0.2, 0.05
# Likeness at zero shift from which an area can be fixed, and is.
ALIKE_FROM, ALIKE_TO = 0.75, 0.85
# Fraction of the surroundings that is fixed from which the rest of them begins to lose its weight, and has none.
AROUND_FROM, AROUND_TO = 0.1, 0.2
# Likeness of the better areas below which none is called featureless: unlike slices would be judged by where they agree.
LEAST_LIKENESS = 0.4
LEAST_AREA = 0.01


@dataclass(frozen=True)
class UsableAreas:
    """Weight of each pixel of the fixed slices of a batch of pairs, and what has none.

    Attributes
    ----------
    weight : (B, Y, X) float32 tensor, optional
        0 to 1; None if all pixels count.
    fixed, featureless : (B,) ndarray
        Fraction of the slice that stays in the frame, and that shows no features.
    """

    weight: Tensor | None
    fixed: NDArray[np.float64]
    featureless: NDArray[np.float64]


def find_usable_areas(fixed: Tensor, moving: Tensor, matrices: Matrix) -> UsableAreas:
    """Compare neighbourhoods of two slices at their estimated motion and at zero shift.

    Tissue is more alike at the motion than at zero shift. Databar, dust on the detector and other things fixed to the frame
    are more alike at zero shift, and get no weight. Where the slices are hardly alike at the motion in a large
    neighbourhood, as in resin, there is nothing to estimate a motion from, and what noise and interpolation leave there is
    given no weight either. If the motion is small, the two likenesses are the same, and nothing is taken away.

    Parameters
    ----------
    fixed, moving : (B, Y, X) float32 tensors
        Prepared slices.
    matrices : (B, 2, 3) ndarray
        Estimated motion, fixed to moving.
    """
    import torch

    stride = max(2, max(fixed.shape[1:]) // COMPARED_PX)
    products, inside = _products(fixed, moving, matrices, stride)
    products = _smoothed(products, 1)
    at_motion, near = _likeness(products[:, :3]), _likeness(products[:, 3:])
    broad = _likeness(_smoothed(products[:, :3], 2))
    usual = _usual(broad, inside)
    excess = ((near - at_motion - FIXED_FROM) / (FIXED_TO - FIXED_FROM)).clamp(0.0, 1.0)
    stays = excess * ((near - ALIKE_FROM) / (ALIKE_TO - ALIKE_FROM)).clamp(0.0, 1.0)
    stays = torch.maximum(stays, _around(stays, -(-max(fixed.shape[1:]) // stride)))
    relative = broad / usual.clamp_min(LEAST_LIKENESS)
    features = ((relative - FEATURES_TO) / (FEATURES_FROM - FEATURES_TO)).clamp(0.0, 1.0)
    features = torch.where(usual > LEAST_LIKENESS, features, torch.ones_like(features))
    seen = inside > 0.5
    stays, empty = stays * seen, (1.0 - features) * seen
    weight = (1.0 - stays) * (1.0 - empty)
    lost = [1.0 - w.double().mean((1, 2)).cpu().numpy() for w in (1.0 - stays, 1.0 - empty)]
    if float((1.0 - weight).mean((1, 2)).max()) < LEAST_AREA:
        return UsableAreas(None, *lost)
    return UsableAreas(_enlarged(weight, fixed, stride * CELL), *lost)


def _products(fixed: Tensor, moving: Tensor, matrices: Matrix, stride: int) -> tuple[Tensor, Tensor]:
    """Average products of both slices over cells of every `stride`-th pixel, and the part that lies in the moving slice.

    Returns
    -------
    products : (B, 6, Y', X') tensor
        ab, aa and bb of fixed a and moving b at the motion, and at zero shift.
    inside : (B, Y', X') tensor
    """
    import torch

    if compiled_for(fixed):
        from spherovem_core.registration.usable_areas_kernels import compare

        shape = [-(-n // (stride * CELL)) for n in fixed.shape[1:]]
        sums = fixed.new_empty((len(fixed), 7, *shape))
        for a, b, matrix, out in zip(fixed, moving, matrices, sums, strict=True):
            compare(a.numpy(), b.numpy(), matrix, stride, CELL, out.numpy())
        return sums[:, [0, 1, 2, 4, 5, 6]], sums[:, 3]
    small = compose(matrices, _decimation(stride))
    a = fixed[:, ::stride, ::stride]
    warped, inside = _sampled(moving, small, (a.shape[1], a.shape[2]))
    still = moving[:, ::stride, ::stride]
    at_motion = [a * warped * inside, a * a * inside, warped * warped * inside]
    products = [_cells(p) for p in (*at_motion, a * still, a * a, still * still)]
    return torch.stack(products, 1), _cells(inside)


def _decimation(stride: int) -> Matrix:
    """Return the map from pixels of the compared rows and columns to those of the slice."""
    scale = scale_coordinates(stride)
    scale[:, 2] = 0.0
    return scale


def _sampled(images: Tensor, matrices: Matrix, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sample images at the places of a smaller grid, and return which of them lie inside."""
    import torch
    import torch.nn.functional as nnf

    sides = images.shape[1:]
    unit = matrices * np.array([2.0 / max(side - 1, 1) for side in sides])[:, None]
    unit[:, :, 2] -= 1.0
    m = torch.as_tensor(unit, dtype=torch.float32, device=images.device)
    y, x = (torch.arange(n, dtype=torch.float32, device=images.device) for n in shape)
    place = [
        (m[:, axis, 0, None] * y + m[:, axis, 2, None])[:, :, None] + (m[:, axis, 1, None] * x)[:, None]
        for axis in (1, 0)
    ]
    grid = torch.stack(place, -1)
    sampled = nnf.grid_sample(images[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
    return sampled, (grid.abs().amax(-1) <= 1.0).to(images.dtype)


def _likeness(products: Tensor) -> Tensor:
    """Compute the normalised correlation of neighbourhoods from (B, 3, Y, X) products; 0 where there is no contrast."""
    product, first, second = products.unbind(1)
    contrast = 0.5 * (first + second)
    floor = 0.05 * contrast.mean((1, 2), keepdim=True) + 1e-12
    likeness: Tensor = product / (contrast + floor)
    return likeness


def _around(stays: Tensor, side: int) -> Tensor:
    """Widen large fixed areas by what the removal of shading spreads of them.

    A databar changes the mean and the contrast of the neighbourhoods beside it, which then stay in the frame as well.
    """
    if not bool(stays.any()):
        return stays
    window = side / SHADING_WINDOWS / CELL
    spread = _smoothed(stays, max(1, round(2.0 * window**2)))
    return ((spread - AROUND_FROM) / (AROUND_TO - AROUND_FROM)).clamp(0.0, 1.0)


def _cells(image: Tensor) -> Tensor:
    import torch.nn.functional as nnf

    averaged: Tensor = nnf.avg_pool2d(image[:, None], CELL, ceil_mode=True, count_include_pad=False)[:, 0]
    return averaged


def _smoothed(cells: Tensor, rounds: int) -> Tensor:
    """Average 3 x 3 of (..., Y, X) cells with binomial weights, several times; edges are repeated."""
    import torch.nn.functional as nnf

    shape = cells.shape
    cells = cells.reshape(-1, *shape[-2:])
    if compiled_for(cells):
        from spherovem_core.registration.usable_areas_kernels import smooth_cells

        cells = cells.clone()
        for one in cells:
            smooth_cells(one.numpy(), rounds)
        return cells.reshape(shape)
    for axis in (1, 2) * rounds:
        pad = (0, 0, 1, 1) if axis == 1 else (1, 1, 0, 0)
        padded = nnf.pad(cells[:, None], pad, mode="replicate")[:, 0]
        n = cells.shape[axis]
        cells = (
            padded.narrow(axis, 0, n) + 2.0 * padded.narrow(axis, 1, n) + padded.narrow(axis, 2, n)
        ) * 0.25
    return cells.reshape(shape)


def _usual(likeness: Tensor, inside: Tensor) -> Tensor:
    """Return the likeness that the better quarter of the overlap exceeds, (B, 1, 1)."""
    import torch

    levels = [
        torch.quantile(v[i > 0.5], 0.75) if bool((i > 0.5).any()) else v.new_zeros(())
        for v, i in zip(likeness, inside, strict=True)
    ]
    return torch.stack(levels)[:, None, None]


def _enlarged(weight: Tensor, like: Tensor, step: int) -> Tensor:
    """Interpolate cells to the pixels of the slice."""
    import torch.nn.functional as nnf

    fine = nnf.interpolate(weight[:, None], scale_factor=step, mode="bilinear", align_corners=False)
    enlarged: Tensor = fine[:, 0, : like.shape[1], : like.shape[2]].contiguous()
    return enlarged
