"""Normal equations of the robust correlation of a batch of pairs at one resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, rms_displacement
from spherovem_core.registration.warped_sampling import (
    batch_dot,
    coordinate_moments,
    overlap_mask,
    sample_linear,
)

if TYPE_CHECKING:
    from torch import Tensor

OUTLIER_SIGMAS = 3.0
MIN_OVERLAP = 0.05


@dataclass(frozen=True)
class NormalEquations:
    """Normal equations of a batch of pairs at given maps, with the cost that decides whether a step is kept.

    Attributes
    ----------
    hessian : (B, 6, 6) ndarray
        Over the elements (yy, yx, y, xy, xx, x) of a displacement of the fixed slice in pixels. Its linear part acts on
        centred coordinates in units of half the longer side.
    gradient : (B, 6) ndarray
    cost : (B,) ndarray
        Mean robust residual on the overlap, 0 to 1; infinite if the overlap, or the weight that lies on it, is too small.
    """

    hessian: NDArray[np.float64]
    gradient: NDArray[np.float64]
    cost: NDArray[np.float64]

    def where(self, choice: NDArray[np.bool_], other: NormalEquations) -> NormalEquations:
        """Take the elements of this batch where chosen, those of the other elsewhere."""
        return NormalEquations(
            np.where(choice[:, None, None], self.hessian, other.hessian),
            np.where(choice[:, None], self.gradient, other.gradient),
            np.where(choice, self.cost, other.cost),
        )


class Workspace:
    """Tensors of one batch shape, reused by every evaluation."""

    def __init__(self, like: Tensor) -> None:
        self.grid = like.new_empty((2, *like.shape))
        self.mask, self.weights, self.a, self.b, self.grad_y, self.grad_x = (
            like.new_empty(like.shape) for _ in range(6)
        )


class PairEquations:
    """Residual of a batch of pairs and its normal equations.

    The scheme is inverse-compositional (Baker and Matthews 2004): the update is a motion of the fixed slice, whose
    gradients are computed once. The residual is the difference of the slices after scaling the moving one to the mean and
    variance of the fixed one on the overlap, so its mean square is proportional to 1 - correlation. Pixels are weighted
    by the function of Geman and McClure of their residual, three robust standard deviations wide, so that content of
    one slice alone has no influence.

    Noise makes the gradients of the fixed slice larger than those that both slices have in common. A plain Gauss-Newton
    step is too short by that ratio, which is measured here and divided out.

    Parameters
    ----------
    fixed, moving : (B, Y, X) float32 tensors
        Prepared slices.
    workspace : Workspace
        Tensors of that shape.
    fixed_weight, moving_weight : (B, Y, X) float32 tensors, optional
        Weight of each pixel, 0 to 1; None is 1 everywhere. A pixel of the overlap counts by the product of the fixed and
        the warped moving weight in every sum, in the robust scale and in the similarity.

    Attributes
    ----------
    overlap : (B,) ndarray
        Fraction of the fixed slice that the moving one covers, whatever the weights.
    pixels : (B,) ndarray
        Sum of the weights on the overlap, at least 1; without weights its number of pixels.
    weighted_overlap : (B,) ndarray
        That sum as a fraction of the weight of the slice that has less of it.
    """

    def __init__(
        self,
        fixed: Tensor,
        moving: Tensor,
        workspace: Workspace,
        fixed_weight: Tensor | None = None,
        moving_weight: Tensor | None = None,
    ) -> None:
        self.fixed, self.moving, self.space = fixed, moving, workspace
        self._fixed_weight, self._moving_weight = fixed_weight, moving_weight
        self._trust: Tensor | None = None
        self._full_weight = _full_weight(fixed, fixed_weight, moving_weight)
        self.shape = (int(fixed.shape[1]), int(fixed.shape[2]))
        _gradient(fixed, workspace.grad_y, workspace.grad_x)
        workspace.weights.fill_(1.0)
        self.scale = np.zeros(len(fixed))
        self._place: Matrix | None = None
        self._warped = moving
        self.similarity = np.zeros(len(fixed))
        self.overlap = np.zeros(len(fixed))
        self.pixels = np.ones(len(fixed))
        self.weighted_overlap = np.zeros(len(fixed))

    def evaluate(self, matrices: Matrix) -> NormalEquations:
        """Compute cost and normal equations of each pair at its map, (B, 2, 3) fixed to moving."""
        space = self.space
        warped = sample_linear(self.moving, matrices, space.grid)
        self._place, self._warped = matrices, warped
        overlap_mask(matrices, space.mask, space.a)
        self.overlap = batch_dot(space.mask, space.mask) / space.mask[0].numel()
        self._trust = self._weight_at(matrices)
        whole = self.overlap * self.shape[0] * self.shape[1]
        self.pixels = np.maximum(whole if self._trust is None else batch_dot(space.mask, self._trust), 1.0)
        self.weighted_overlap = self.pixels / self._full_weight
        residual, gain = self._residual(warped)
        cost = self._weigh(residual)
        sums, attenuation = self._hessian(warped, gain)
        return NormalEquations(sums * attenuation[:, None, None], self._gradient(residual), cost)

    def initial_correlation(self) -> NDArray[np.float64]:
        """Compute the plain correlation of each pair without any motion."""
        self.space.mask.fill_(1.0)
        self.space.weights.fill_(1.0)
        self._trust = self._weight_at(None)
        self._residual(self.moving)
        self._place = None
        return self.similarity

    def correlation(self, matrices: Matrix) -> NDArray[np.float64]:
        """Compute the plain correlation of each pair on its overlap, with equal weights of all pixels."""
        warped = self.visit(matrices)
        self.space.weights.fill_(1.0)
        self._residual(warped)
        self._place = None
        return self.similarity

    def visit(self, matrices: Matrix) -> Tensor:
        """Warp the moving slices, unless the last evaluation was at maps within 0.01 px.

        The weighted residual is left in `b` of the workspace.
        """
        if self._place is None or rms_displacement(self._place - matrices, self.shape).max() > 0.01:
            self.evaluate(matrices)
        return self._warped

    @property
    def _counted(self) -> Tensor:
        """Weight of each pixel, 0 outside the overlap."""
        return self.space.mask if self._trust is None else self._trust

    def _weight_at(self, matrices: Matrix | None) -> Tensor | None:
        """Multiply the fixed weight, the overlap and the moving weight warped by the maps; None if no slice has a weight."""
        if self._fixed_weight is None and self._moving_weight is None:
            return None
        weight = self.space.mask.clone()
        if self._fixed_weight is not None:
            weight *= self._fixed_weight
        if self._moving_weight is not None:
            moved = self._moving_weight
            weight *= moved if matrices is None else sample_linear(moved, matrices, self.space.grid)
        return weight

    def _residual(self, warped: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
        """Compute moving minus fixed after normalisation on the weighted overlap, and the gain of the moving slice."""
        import torch

        space = self.space
        weights = torch.mul(self._counted, space.weights, out=space.a)
        total = np.maximum(batch_dot(weights, space.mask), 1.0)
        product = torch.mul(weights, self.fixed, out=space.b)
        mean_f, power_f = batch_dot(product, space.mask) / total, batch_dot(product, self.fixed) / total
        cross = batch_dot(product, warped) / total
        product = torch.mul(weights, warped, out=space.b)
        mean_m, power_m = batch_dot(product, space.mask) / total, batch_dot(product, warped) / total
        var_f = np.maximum(power_f - mean_f**2, 1e-12)
        var_m = np.maximum(power_m - mean_m**2, 1e-12)
        self.similarity = (cross - mean_f * mean_m) / np.sqrt(var_f * var_m)
        gain = np.clip(np.sqrt(var_f / var_m), 0.1, 10.0)
        residual = torch.mul(warped, _column(gain, warped), out=space.b)
        return residual.add_(_column(mean_f - gain * mean_m, warped)).sub_(self.fixed), gain

    def _weigh(self, residual: Tensor) -> NDArray[np.float64]:
        """Renew the outlier weights; leave weights squared on the overlap in `a`, return the cost."""
        import torch

        space = self.space
        if not self.scale.all():
            self.scale = _outlier_scale(residual, self._counted)
        weights = torch.mul(residual, _column(1.0 / self.scale, residual), out=space.weights)
        weights.square_().add_(1.0).reciprocal_()
        cost: NDArray[np.float64] = 1.0 - batch_dot(self._counted, weights) / self.pixels
        cost[(self.overlap < MIN_OVERLAP) | (self.weighted_overlap < MIN_OVERLAP)] = np.inf
        torch.mul(weights, weights, out=space.a).mul_(self._counted)
        return cost

    def _hessian(
        self, warped: Tensor, gain: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum the products of gradients, and find the fraction of the gradient power that both slices have in common."""
        import torch

        space = self.space
        product, spare = space.grid
        torch.mul(space.grad_y, space.a, out=product)
        common = _dot_gradient(product, warped, self.shape[1])
        yy = _block(coordinate_moments(torch.mul(product, space.grad_y, out=spare), 2))
        yx = _block(coordinate_moments(torch.mul(product, space.grad_x, out=spare), 2))
        torch.mul(space.grad_x, space.a, out=product)
        common += _dot_gradient(product, warped, 1)
        xx = _block(coordinate_moments(torch.mul(product, space.grad_x, out=spare), 2))
        own = yy[:, 2, 2] + xx[:, 2, 2]
        attenuation = np.clip(gain * common / np.maximum(own, 1e-12), 0.2, 1.0)
        return np.block([[yy, yx], [yx, xx]]), attenuation

    def _gradient(self, residual: Tensor) -> NDArray[np.float64]:
        import torch

        space = self.space
        weighted = residual.mul_(space.a)
        sums = []
        for gradient in (space.grad_y, space.grad_x):
            m = coordinate_moments(torch.mul(weighted, gradient, out=space.a), 1)
            sums += [m[1, 0], m[0, 1], m[0, 0]]
        return np.stack(sums, -1)


def _gradient(image: Tensor, out_y: Tensor, out_x: Tensor) -> None:
    """Compute central differences; they are zero on the edge."""
    import torch

    out_y.zero_()
    out_x.zero_()
    torch.sub(image[:, 2:, 1:-1], image[:, :-2, 1:-1], out=out_y[:, 1:-1, 1:-1]).mul_(0.5)
    torch.sub(image[:, 1:-1, 2:], image[:, 1:-1, :-2], out=out_x[:, 1:-1, 1:-1]).mul_(0.5)


def _dot_gradient(product: Tensor, image: Tensor, stride: int) -> NDArray[np.float64]:
    """Sum `product` times the central difference of the image; `stride` is 1 along x and the row length along y.

    Shifted flat views avoid computing the gradient; this works because `product` is zero on the edge.
    """
    count = len(product)
    p, m = product.reshape(count, -1), image.reshape(count, -1)
    inner = p[:, stride:-stride]
    return 0.5 * (batch_dot(inner, m[:, 2 * stride :]) - batch_dot(inner, m[:, : -2 * stride]))


def _full_weight(
    fixed: Tensor, fixed_weight: Tensor | None, moving_weight: Tensor | None
) -> NDArray[np.float64]:
    """Sum the weight of each slice of a pair, and return the smaller sum, at least 1."""
    sums = np.full(len(fixed), float(fixed[0].numel()))
    for weight in (fixed_weight, moving_weight):
        if weight is not None:
            sums = np.minimum(sums, weight.double().sum((1, 2)).cpu().numpy())
    smaller: NDArray[np.float64] = np.maximum(sums, 1.0)
    return smaller


def _outlier_scale(residual: Tensor, weight: Tensor) -> NDArray[np.float64]:
    """Estimate three robust standard deviations of the residual, from every 8th (2nd) row and column.

    The median counts each pixel by its weight; of equal weights it is the lower median.
    """
    stride = 8 if min(residual.shape[1:]) >= 256 else 2
    scales = []
    for r, m in zip(residual[:, ::stride, ::stride], weight[:, ::stride, ::stride], strict=True):
        sizes, order = r[m > 0.0].abs().sort()
        reached = m[m > 0.0][order].double().cumsum(0)
        scales.append(float(sizes[(reached < 0.5 * reached[-1]).sum()]) if sizes.numel() else 1.0)
    return np.maximum(np.array(scales) * 1.4826 * OUTLIER_SIGMAS, 1e-3)


def _block(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arrange moments of degree two as (B, 3, 3) sums over products of (y, x, 1)."""
    block = np.array([[m[2, 0], m[1, 1], m[1, 0]], [m[1, 1], m[0, 2], m[0, 1]], [m[1, 0], m[0, 1], m[0, 0]]])
    return np.moveaxis(block, -1, 0)


def _column(values: NDArray[np.float64], like: Tensor) -> Tensor:
    import torch

    return torch.as_tensor(values, dtype=torch.float32, device=like.device)[:, None, None]
