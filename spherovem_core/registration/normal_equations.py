"""Normal equations of the robust correlation of a batch of pairs at one resolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix, rms_displacement
from spherovem_core.registration.series_noise import NORMAL_MAD

OUTLIER_SIGMAS = 3.0
MIN_OVERLAP = 0.05
SAME_PLACE_PX = 0.01

Vector = NDArray[np.float64]


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

    hessian: Vector
    gradient: Vector
    cost: Vector

    def where(self, choice: NDArray[np.bool_], other: NormalEquations) -> NormalEquations:
        """Take the elements of this batch where chosen, those of the other elsewhere."""
        return NormalEquations(
            np.where(choice[:, None, None], self.hessian, other.hessian),
            np.where(choice[:, None], self.gradient, other.gradient),
            np.where(choice, self.cost, other.cost),
        )


@dataclass(frozen=True)
class Moments:
    """Weighted sums over the pixels of each pair: weight, fixed, moving, their squares and their product; each (B,)."""

    weight: Vector
    fixed: Vector
    moving: Vector
    fixed_fixed: Vector
    moving_moving: Vector
    fixed_moving: Vector


@dataclass(frozen=True)
class NormalSums:
    """Sums over the overlap of each pair, from which the normal equations follow.

    Attributes
    ----------
    weight : (B,) ndarray
        Of the weights with those of outliers.
    common : (B,) ndarray
        Of the products of the gradients of the fixed and the warped slice, weighted.
    products : (3, 3, 3, B) ndarray
        Of gy·gy, gy·gx and gx·gx, weighted, times y**i x**j at element [product, i, j]. Coordinates run from the
        centre, in units of half the longer side; elements with i + j > 2 are not used.
    gradients : (2, 2, 2, B) ndarray
        Of gy and gx times the weighted residual times y**i x**j; the element with i = j = 1 is not used.
    """

    weight: Vector
    common: Vector
    products: Vector
    gradients: Vector


class PairEquations(ABC):
    """Residual of a batch of pairs and its normal equations.

    The scheme is inverse-compositional (Baker and Matthews 2004): the update is a motion of the fixed slice, whose
    gradients do not change. The residual is the difference of the slices after scaling the moving one to the mean and
    variance of the fixed one on the overlap, so its mean square is proportional to 1 - correlation. Pixels are weighted
    by the function of Geman and McClure of their residual, three robust standard deviations wide, so that content of
    one slice alone has no influence.

    Noise makes the gradients of the fixed slice larger than those that both slices have in common. A plain Gauss-Newton
    step is too short by that ratio, which is measured here and divided out.

    Subclasses sum over the pixels: in compiled loops on the CPU, with torch on a GPU.

    Parameters
    ----------
    count
        Number of pairs.
    shape : (Y, X)
        Of their slices.
    full_weight : (B,) ndarray
        Sum of the weights of that slice of each pair that has less.

    Attributes
    ----------
    scale : (B,) ndarray
        Three robust standard deviations of the residual, from the first evaluation.
    overlap : (B,) ndarray
        Fraction of the fixed slice that the moving one covers, whatever the weights.
    pixels : (B,) ndarray
        Sum of the weights on the overlap, at least 1; without weights its number of pixels.
    weighted_overlap : (B,) ndarray
        That sum as a fraction of the weight of the slice that has less of it.
    """

    def __init__(self, count: int, shape: tuple[int, int], full_weight: Vector) -> None:
        self.shape = shape
        self.scale, self.overlap, self.weighted_overlap = (np.zeros(count) for _ in range(3))
        self.pixels = np.ones(count)
        self._full_weight = np.maximum(full_weight, 1.0)
        self._gain, self._offset = np.ones(count), np.zeros(count)
        self._place: Matrix | None = None

    def evaluate(self, matrices: Matrix) -> NormalEquations:
        """Compute cost and normal equations of each pair at its map, (B, 2, 3) fixed to moving."""
        self._place = matrices
        covered, weighted = self._warp(matrices)
        self.overlap = covered / (self.shape[0] * self.shape[1])
        self.pixels = np.maximum(weighted, 1.0)
        self.weighted_overlap = self.pixels / self._full_weight
        _, self._gain, self._offset = _match(self._moments())
        if not self.scale.all():
            self.scale = np.maximum(self._median_residual() * NORMAL_MAD * OUTLIER_SIGMAS, 1e-3)
        sums = self._sum_normal()
        cost = 1.0 - sums.weight / self.pixels
        cost[(self.overlap < MIN_OVERLAP) | (self.weighted_overlap < MIN_OVERLAP)] = np.inf
        own = sums.products[0, 0, 0] + sums.products[2, 0, 0]
        attenuation = np.clip(self._gain * sums.common / np.maximum(own, 1e-12), 0.2, 1.0)
        hessian = np.empty((len(cost), 6, 6))
        hessian[:, :3, :3], hessian[:, :3, 3:], hessian[:, 3:, 3:] = (_block(m) for m in sums.products)
        hessian[:, 3:, :3] = hessian[:, :3, 3:]
        hessian *= attenuation[:, None, None]
        gradient = np.stack([m[i, j] for m in sums.gradients for i, j in ((1, 0), (0, 1), (0, 0))], -1)
        return NormalEquations(hessian, gradient, cost)

    def correlation(self, matrices: Matrix) -> Vector:
        """Compute the correlation of each pair on its overlap, with the weights of its pixels but none of outliers."""
        self._visit(matrices)
        return _match(self._plain_moments(moved=True))[0]

    def initial_correlation(self) -> Vector:
        """Compute the correlation of each pair without any motion, with the weights of its pixels."""
        return _match(self._plain_moments(moved=False))[0]

    def tile_gradients(self, matrices: Matrix, tiles: int) -> Vector:
        """Compute the gradient of every tile of each slice at the maps: (B, tiles², 6)."""
        self._visit(matrices)
        m = self._sum_tiles(tiles)
        return np.stack([m[:, :, k, i, j] for k in range(2) for i, j in ((1, 0), (0, 1), (0, 0))], -1)

    def _visit(self, matrices: Matrix) -> None:
        """Evaluate at the maps, unless the last evaluation was at maps within 0.01 px."""
        if self._place is None or rms_displacement(self._place - matrices, self.shape).max() > SAME_PLACE_PX:
            self.evaluate(matrices)

    @abstractmethod
    def _warp(self, matrices: Matrix) -> tuple[Vector, Vector]:
        """Warp the moving slices; return the number of pixels of the overlap and the sum of their weights."""

    @abstractmethod
    def _moments(self) -> Moments:
        """Sum over the overlap with the weights of pixels and those of outliers at the evaluation before."""

    @abstractmethod
    def _plain_moments(self, moved: bool) -> Moments:
        """Sum with the weights of pixels: over the overlap at the last maps, or over the slices without motion."""

    @abstractmethod
    def _median_residual(self) -> Vector:
        """Find the weighted median of the absolute residuals, from every 8th (2nd) row and column."""

    @abstractmethod
    def _sum_normal(self) -> NormalSums:
        """Renew the weights of outliers and sum what the normal equations need."""

    @abstractmethod
    def _sum_tiles(self, tiles: int) -> Vector:
        """Sum the gradients of `NormalSums` for each tile: (B, tiles², 2, 2, 2)."""


def _match(sums: Moments) -> tuple[Vector, Vector, Vector]:
    """Return the correlation of each pair, and the gain and the offset that scale the moving slice to the fixed one."""
    total = np.maximum(sums.weight, 1.0)
    mean_f, mean_m = sums.fixed / total, sums.moving / total
    var_f = np.maximum(sums.fixed_fixed / total - mean_f**2, 1e-12)
    var_m = np.maximum(sums.moving_moving / total - mean_m**2, 1e-12)
    correlation = (sums.fixed_moving / total - mean_f * mean_m) / np.sqrt(var_f * var_m)
    gain = np.clip(np.sqrt(var_f / var_m), 0.1, 10.0)
    return correlation, gain, mean_f - gain * mean_m


def weighted_median(values: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Return the smallest value that with all smaller ones has half of the weight; 1 if nothing has weight."""
    if not weights.any():
        return 1.0
    if weights.min() == weights.max():
        middle = (values.size - 1) // 2
        return float(np.partition(values, middle, axis=None)[middle])
    order = np.argsort(values, axis=None)
    reached = np.cumsum(weights.ravel()[order], dtype=np.float64)
    return float(values.ravel()[order[np.searchsorted(reached, 0.5 * reached[-1])]])


def median_stride(shape: tuple[int, int]) -> int:
    """Return the distance of the rows and columns that the median residual is taken from."""
    return 8 if min(shape) >= 256 else 2


def _block(m: Vector) -> Vector:
    """Arrange moments of degree two as (B, 3, 3) sums over products of (y, x, 1)."""
    block = np.array([[m[2, 0], m[1, 1], m[1, 0]], [m[1, 1], m[0, 2], m[0, 1]], [m[1, 0], m[0, 1], m[0, 0]]])
    return np.moveaxis(block, -1, 0)
