"""Similarity of slices as placed over a few slices, tile by tile, and over shifts in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spherovem_core.registration.affine import Matrix, compose, shift_matrix, to_level
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
    return sample_linear(level.image, to_level(moved, level.factor)[None])[0, :rows, :columns]


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
    found: list[float | None] = []
    for lag in LAGS_PX:
        if 4 * lag > size:
            found.append(None)
            continue
        near = [image.narrow(axis, 0, size - lag) for image in (a, b)]
        far = [image.narrow(axis, lag, size - lag) for image in (a, b)]
        found.append(0.5 * (_correlation(near[0], far[1]) + _correlation(far[0], near[1])))
    return found


def _correlation(a: Tensor, b: Tensor) -> float:
    cross, power = float((a * b).sum()), float((a * a).sum()) * float((b * b).sum())
    return float(f"{cross / np.sqrt(power):.7g}") if power > 0.0 else 0.0
