"""Similarity of slices as placed over a few slices, tile by tile, and over shifts in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spherovem_core.registration.affine import Matrix, compose, shift_matrix, to_level
from spherovem_core.registration.compiled_filters import compiled_for
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.pyramid import Level
from spherovem_core.registration.warped_sampling import sample_linear

if TYPE_CHECKING:
    from torch import Tensor

DEPTHS = (1, 2, 3)
"""Steps between good slices over which similarity is measured."""
TILES = 6
MIN_TILE_PX = 8
LAGS_PX = (1, 2, 3, 5, 8, 13, 21, 34, 55)


def place(level: Level, transform: Matrix, crop: Rectangle) -> Tensor:
    """Sample a prepared slice as placed, within the crop that all slices share: (Y, X) tensor at its resolution."""
    moved = compose(transform, shift_matrix(crop.y0, crop.x0))
    rows, columns = (max(1, n // level.factor) for n in crop.shape)
    return sample_linear(level.image, to_level(moved, level.factor)[None])[0, :rows, :columns].contiguous()


def measure_depth(placed: Tensor, ahead: Mapping[int, Tensor]) -> dict[str, Any]:
    """Measure how similar a slice as placed is to some slices after it.

    Parameters
    ----------
    placed : (Y, X) tensor
        The slice.
    ahead
        Slices after it by their number of steps.

    Returns
    -------
    dict
        JSON values: ``power``, the sum of squares in each tile; ``cross``, the sums of products by the number of steps;
        ``lags_y`` and ``lags_x``, the correlation with the next slice shifted by each of `LAGS_PX` along an axis, in
        pixels of the level, the mean of both directions (None where the shift is more than a quarter of the side).
    """
    power = _tile_sums(placed * placed)
    cross = {str(steps): _tile_sums(placed * other) for steps, other in sorted(ahead.items())}
    next_slice = ahead.get(1)
    lags = [_lagged(placed, next_slice, axis) for axis in (0, 1)] if next_slice is not None else [None, None]
    return {"power": power, "cross": cross, "lags_y": lags[0], "lags_x": lags[1]}


def _tile_sums(product: Tensor) -> list[float]:
    tiles = [max(1, min(TILES, n // MIN_TILE_PX)) for n in product.shape]
    rows, columns = (n // t * t for n, t in zip(product.shape, tiles, strict=True))
    parts = product[:rows, :columns].reshape(tiles[0], rows // tiles[0], tiles[1], columns // tiles[1])
    return [float(f"{value:.7g}") for value in parts.sum((1, 3)).flatten().tolist()]


def _lagged(a: Tensor, b: Tensor, axis: int) -> list[float | None]:
    size = int(a.shape[axis])
    # Power of the rows or columns up to each one.
    sums = [(image * image).sum(1 - axis).double().cumsum(0).tolist() for image in (a, b)]
    found: list[float | None] = []
    for lag in LAGS_PX:
        if 4 * lag > size:
            found.append(None)
            continue
        near_a, near_b = (power[size - lag - 1] for power in sums)
        far_a, far_b = (power[-1] - power[lag - 1] for power in sums)
        shift = (lag, 0) if axis == 0 else (0, lag)
        forth = _correlation(_sum_products(a, b, shift), near_a * far_b)
        back = _correlation(_sum_products(b, a, shift), near_b * far_a)
        found.append(0.5 * (forth + back))
    return found


def _sum_products(a: Tensor, b: Tensor, shift: tuple[int, int]) -> float:
    """Sum the products of each pixel of a slice and the shifted one of the other."""
    if compiled_for(a):
        from spherovem_core.registration.depth_similarity_kernels import sum_products

        return float(sum_products(a.numpy(), b.numpy(), *shift))
    rows, columns = (int(n) - s for n, s in zip(a.shape, shift, strict=True))
    return float((a[:rows, :columns] * b[shift[0] :, shift[1] :]).sum())


def _correlation(cross: float, power: float) -> float:
    return float(f"{cross / np.sqrt(power):.7g}") if power > 0.0 else 0.0
