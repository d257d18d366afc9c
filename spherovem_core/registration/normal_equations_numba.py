"""Normal equations on the CPU: compiled loops that stream the slices of one pair after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration import normal_equations_kernels as kernels
from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.normal_equations import (
    Moments,
    NormalSums,
    PairEquations,
    Vector,
    median_stride,
    weighted_median,
)
from spherovem_core.registration.warped_sampling import overlap_intervals

if TYPE_CHECKING:
    from torch import Tensor

Image = NDArray[np.float32]


class NumbaPairEquations(PairEquations):
    """Pair equations summed by compiled loops on one thread, which release the interpreter lock.

    Parameters
    ----------
    fixed, moving : (B, Y, X) float32 tensors on the CPU
        Prepared slices.
    weight : (B, Y, X) float32 tensor, optional
        As for `TorchPairEquations`.
    """

    def __init__(
        self,
        fixed: Tensor,
        moving: Tensor,
        weight: Tensor | None = None,
    ) -> None:
        shape = (int(fixed.shape[1]), int(fixed.shape[2]))
        self._pairs = [
            _Pair(
                fixed[b].numpy(),
                moving[b].numpy(),
                None if weight is None else weight[b].numpy(),
            )
            for b in range(len(fixed))
        ]
        super().__init__(len(fixed), shape, np.array([pair.full_weight() for pair in self._pairs]))

    def _warp(self, matrices: Matrix) -> tuple[Vector, Vector]:
        sums = [pair.warp(m) for pair, m in zip(self._pairs, matrices, strict=True)]
        covered, weighted = np.array(sums, dtype=np.float64).T
        return covered, weighted

    def _moments(self) -> Moments:
        return Moments(*np.transpose([pair.moments() for pair in self._pairs]))

    def _plain_moments(self, moved: bool) -> Moments:
        return Moments(*np.transpose([pair.plain_moments(moved) for pair in self._pairs]))

    def _match(self) -> NDArray[np.float32]:
        """Gain, offset and reciprocal of the scale, for each pair."""
        scale = np.where(self.scale > 0.0, self.scale, 1.0)
        return np.stack([self._gain, self._offset, 1.0 / scale], -1).astype(np.float32)

    def _median_residual(self) -> Vector:
        stride = median_stride(self.shape)
        return np.array([p.median(m, stride) for p, m in zip(self._pairs, self._match(), strict=True)])

    def _sum_normal(self) -> NormalSums:
        sums = [pair.sum_normal(m) for pair, m in zip(self._pairs, self._match(), strict=True)]
        weight, common, products, gradients = zip(*sums, strict=True)
        return NormalSums(np.array(weight), np.array(common), np.stack(products, -1), np.stack(gradients, -1))

    def _sum_tiles(self, tiles: int) -> Vector:
        return np.stack([p.sum_tiles(m, tiles) for p, m in zip(self._pairs, self._match(), strict=True)])


class _Pair:
    """Slices and weight of one pair, with room for the warped slice and the weights of outliers."""

    def __init__(self, fixed: Image, moving: Image, weight: Image | None) -> None:
        rows, columns = fixed.shape
        self.fixed, self.moving = np.ascontiguousarray(fixed), np.ascontiguousarray(moving)
        self.ones = np.ones((1, columns), np.float32)
        self.weight = self.ones if weight is None else np.ascontiguousarray(weight)
        self.warped, self.outlier = np.empty_like(self.fixed), self.ones
        self.whole = np.tile(np.array([0, columns]), (rows, 1))
        self.intervals = self.whole
        half = max(max(rows, columns) - 1, 1) / 2.0
        self.down = (np.arange(rows) - (rows - 1) / 2.0) / half
        self.along = ((np.arange(columns) - (columns - 1) / 2.0) / half).astype(np.float32)

    def full_weight(self) -> float:
        """Sum the weight of the fixed slice, at most its number of pixels."""
        pixels = float(self.fixed.size)
        return pixels if self.weight is self.ones else min(self._weight_on(self.whole), pixels)

    def _weight_on(self, intervals: NDArray[np.int64]) -> float:
        return float(kernels.sum_weights(self.weight, intervals))

    def warp(self, matrix: Matrix) -> tuple[float, float]:
        """Warp the moving slice; return the number of pixels of the overlap and their weight."""
        self.intervals = overlap_intervals(matrix, self.fixed.shape)
        kernels.warp(self.moving, matrix, self.intervals, 1, self.warped)
        covered = float(np.maximum(self.intervals[:, 1] - self.intervals[:, 0], 0).sum())
        return covered, covered if self.weight is self.ones else self._weight_on(self.intervals)

    def moments(self) -> Vector:
        """Sum with the weights of pixels and those of outliers."""
        return self._sum(self.warped, self.weight, self.outlier, self.intervals)

    def plain_moments(self, moved: bool) -> Vector:
        """Sum with the weights of pixels, over the overlap or over the slices without motion."""
        if moved:
            return self._sum(self.warped, self.weight, self.ones, self.intervals)
        return self._sum(self.moving, self.weight, self.ones, self.whole)

    def _sum(self, moving: Image, weight: Image, other: Image, intervals: NDArray[np.int64]) -> Vector:
        sums = np.zeros(6)
        kernels.moments(self.fixed, moving, weight, other, intervals, sums)
        return sums

    def median(self, match: NDArray[np.float32], stride: int) -> float:
        """Find the weighted median of the absolute residual on every few rows and columns."""
        x = np.arange(0, self.fixed.shape[1], stride)
        rows = self.intervals[::stride]
        inside = (x >= rows[:, :1]) & (x < rows[:, 1:])
        whole = (self.fixed, self.warped, np.broadcast_to(self.weight, self.fixed.shape))
        fixed, warped, weight = (image[::stride, ::stride][inside] for image in whole)
        return weighted_median(np.abs(match[0] * warped + match[1] - fixed), weight)

    def sum_normal(self, match: NDArray[np.float32]) -> tuple[float, float, Vector, Vector]:
        """Renew the weights of outliers and sum what the normal equations need."""
        if self.outlier is self.ones:
            self.outlier = np.empty_like(self.fixed)
        products, gradients = np.zeros((3, 3, 3)), np.zeros((2, 2, 2))
        weight, common = kernels.sum_normal(
            self.fixed,
            self.warped,
            self.weight,
            self.intervals,
            match,
            self.outlier,
            self.down,
            self.along,
            products,
            gradients,
        )
        return weight, common, products, gradients

    def sum_tiles(self, match: NDArray[np.float32], tiles: int) -> Vector:
        """Sum the gradients for each tile."""
        sums = np.zeros((tiles, tiles, 2, 2, 2))
        kernels.sum_tiles(
            self.fixed,
            self.warped,
            self.weight,
            self.intervals,
            match,
            self.outlier,
            self.down,
            self.along,
            sums,
        )
        return sums.reshape(tiles**2, 2, 2, 2)
