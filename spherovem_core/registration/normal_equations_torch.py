"""Normal equations on a GPU: each operation on the whole batch, in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.normal_equations import (
    Moments,
    NormalSums,
    PairEquations,
    Vector,
    median_stride,
    weighted_median,
)
from spherovem_core.registration.warped_sampling import (
    batch_dot,
    coordinate_moments,
    overlap_mask,
    sample_linear,
)

if TYPE_CHECKING:
    from torch import Tensor


class TorchPairEquations(PairEquations):
    """Pair equations summed with torch, on any device; the tensors of a batch are reused by every evaluation.

    Parameters
    ----------
    fixed, moving : (B, Y, X) float32 tensors
        Prepared slices.
    weight : (B, Y, X) float32 tensor, optional
        Weight of each pixel of the fixed slices, 0 to 1, in every sum, in the robust scale and in the similarity; None is 1
        everywhere.
    """

    def __init__(
        self,
        fixed: Tensor,
        moving: Tensor,
        weight: Tensor | None = None,
    ) -> None:
        count, rows, columns = (int(n) for n in fixed.shape)
        full = np.full(count, float(rows * columns))
        if weight is not None:
            full = np.minimum(full, weight.double().sum((1, 2)).cpu().numpy())
        super().__init__(count, (rows, columns), full)
        self._fixed, self._moving = fixed, moving
        self._weight = weight
        self._warped, self._trust = moving, fixed
        self._grid = fixed.new_empty((2, *fixed.shape))
        self._mask, self._outlier, self._a, self._b, self._grad_y, self._grad_x = (
            fixed.new_empty(fixed.shape) for _ in range(6)
        )
        _gradient(fixed, self._grad_y, self._grad_x)
        self._outlier.fill_(1.0)

    def _warp(self, matrices: Matrix) -> tuple[Vector, Vector]:
        self._warped = sample_linear(self._moving, matrices, self._grid)
        mask = overlap_mask(matrices, self._mask, self._a)
        covered = batch_dot(mask, mask)
        self._trust = self._weigh(mask)
        return covered, covered if self._trust is mask else batch_dot(mask, self._trust)

    def _weigh(self, mask: Tensor) -> Tensor:
        """Multiply the mask by the weights of the pixels; the mask itself if there are none."""
        return mask if self._weight is None else mask * self._weight

    def _moments(self) -> Moments:
        import torch

        return self._moments_of(self._warped, torch.mul(self._trust, self._outlier, out=self._a))

    def _plain_moments(self, moved: bool) -> Moments:
        if moved:
            return self._moments_of(self._warped, self._trust)
        return self._moments_of(self._moving, self._weigh(self._a.fill_(1.0)))

    def _moments_of(self, moving: Tensor, weights: Tensor) -> Moments:
        import torch

        fixed = torch.mul(weights, self._fixed, out=self._b)
        fixed_fixed, fixed_moving = batch_dot(fixed, self._fixed), batch_dot(fixed, moving)
        moving_moving = batch_dot(torch.mul(weights, moving, out=self._b), moving)
        total = weights.sum((1, 2), dtype=torch.float64).cpu().numpy()
        return Moments(
            total,
            batch_dot(weights, self._fixed),
            batch_dot(weights, moving),
            fixed_fixed,
            moving_moving,
            fixed_moving,
        )

    def _residual(self) -> Tensor:
        import torch

        residual = torch.mul(self._warped, _column(self._gain, self._fixed), out=self._b)
        return residual.add_(_column(self._offset, self._fixed)).sub_(self._fixed)

    def _median_residual(self) -> Vector:
        stride = median_stride(self.shape)
        coarse = [image[:, ::stride, ::stride].cpu().numpy() for image in (self._residual(), self._trust)]
        return np.array([weighted_median(np.abs(r), w) for r, w in zip(*coarse, strict=True)])

    def _sum_normal(self) -> NormalSums:
        import torch

        residual = self._residual()
        outlier = torch.mul(residual, _column(1.0 / self.scale, residual), out=self._outlier)
        outlier.square_().add_(1.0).reciprocal_().masked_fill_(self._mask == 0.0, 1.0)
        weight = batch_dot(self._trust, outlier)
        weights = torch.mul(outlier, outlier, out=self._a).mul_(self._trust)
        common, products = self._sum_products(weights)
        residual.mul_(weights)
        gradients = [
            coordinate_moments(torch.mul(residual, gradient, out=self._a), 1)
            for gradient in (self._grad_y, self._grad_x)
        ]
        return NormalSums(weight, common, products, np.stack(gradients))

    def _sum_products(self, weights: Tensor) -> tuple[Vector, Vector]:
        """Sum the weighted products of the gradients with those of the warped slice and with each other."""
        import torch

        product, spare = self._grid
        torch.mul(self._grad_y, weights, out=product)
        common = _dot_gradient(product, self._warped, self.shape[1])
        sums = [
            coordinate_moments(torch.mul(product, gradient, out=spare), 2)
            for gradient in (self._grad_y, self._grad_x)
        ]
        torch.mul(self._grad_x, weights, out=product)
        common += _dot_gradient(product, self._warped, 1)
        sums.append(coordinate_moments(torch.mul(product, self._grad_x, out=spare), 2))
        return common, np.stack(sums)

    def _sum_tiles(self, tiles: int) -> Vector:
        import torch

        weights = torch.mul(self._outlier, self._outlier, out=self._a).mul_(self._trust)
        weighted = self._residual().mul_(weights)
        down, along = (_tile_weights(n, max(self.shape), tiles, weighted) for n in self.shape)
        sums = []
        for gradient in (self._grad_y, self._grad_x):
            product = down @ torch.mul(weighted, gradient, out=self._a) @ along.T
            parts = product.double().cpu().numpy().reshape(-1, 2, tiles, 2, tiles)
            sums.append(np.moveaxis(parts, (2, 4), (1, 2)).reshape(-1, tiles**2, 2, 2))
        return np.stack(sums, 2)


def _gradient(image: Tensor, out_y: Tensor, out_x: Tensor) -> None:
    """Compute central differences; they are zero on the edge."""
    import torch

    out_y.zero_()
    out_x.zero_()
    torch.sub(image[:, 2:, 1:-1], image[:, :-2, 1:-1], out=out_y[:, 1:-1, 1:-1]).mul_(0.5)
    torch.sub(image[:, 1:-1, 2:], image[:, 1:-1, :-2], out=out_x[:, 1:-1, 1:-1]).mul_(0.5)


def _dot_gradient(product: Tensor, image: Tensor, stride: int) -> Vector:
    """Sum `product` times the central difference of the image; `stride` is 1 along x and the row length along y.

    Shifted flat views avoid computing the gradient; this works because `product` is zero on the edge.
    """
    count = len(product)
    p, m = product.reshape(count, -1), image.reshape(count, -1)
    inner = p[:, stride:-stride]
    return 0.5 * (batch_dot(inner, m[:, 2 * stride :]) - batch_dot(inner, m[:, : -2 * stride]))


def _tile_weights(count: int, longest: int, tiles: int, like: Tensor) -> Tensor:
    """Make rows that sum `count` pixels per tile: the first plainly, the others times the centred coordinate."""
    import torch

    place = np.arange(count)
    coordinate = (place - (count - 1) / 2.0) / ((longest - 1) / 2.0)
    inside = place * tiles // count == np.arange(tiles)[:, None]
    rows = np.concatenate([inside, inside * coordinate]).astype(np.float32)
    return torch.from_numpy(rows).to(like.device)


def _column(values: Vector, like: Tensor) -> Tensor:
    import torch

    return torch.as_tensor(values, dtype=torch.float32, device=like.device)[:, None, None]
