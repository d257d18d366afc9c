"""Linear sampling of warped slices in torch, their overlap, and sums over it.

The functions fill tensors of the caller: at a million pixels, the first access to new memory takes several times as long as
the arithmetic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def sample_linear(images: Tensor, matrices: Matrix, grid: Tensor | None = None) -> Tensor:
    """Sample each of (B, Y, X) images at ``matrix @ (y, x, 1)``; outside, the edge is repeated.

    `grid` is a (2, B, Y, X) float32 tensor for the coordinates that torch samples at. Without it, a compiled loop samples on
    the CPU: 1024² pixels turned by half a degree take 0.5 ms instead of 3.6 ms, turned by 5 degrees 3.8 ms instead of 5.4 ms.
    """
    import torch
    import torch.nn.functional as nnf

    count, rows, columns = images.shape
    if grid is None and images.device.type == "cpu":
        return _sample_compiled(images, matrices)
    unit = matrices * np.array([2.0 / max(rows - 1, 1), 2.0 / max(columns - 1, 1)])[:, None]
    unit[:, :, 2] -= 1.0
    m = torch.as_tensor(unit, dtype=torch.float32, device=images.device)
    y, x = (_positions(n, images.device) for n in (rows, columns))
    if grid is None:
        grid = images.new_empty((2, count, rows, columns))
    for channel, axis in ((0, 1), (1, 0)):
        down = m[:, axis, 0, None] * y + m[:, axis, 2, None]
        along = m[:, axis, 1, None] * x
        torch.add(down[:, :, None], along[:, None, :], out=grid[channel])
    sampled: Tensor = nnf.grid_sample(
        images[:, None], grid.permute(1, 2, 3, 0), padding_mode="border", align_corners=True
    )
    return sampled[:, 0]


def _sample_compiled(images: Tensor, matrices: Matrix) -> Tensor:
    import torch

    from spherovem_core.registration.normal_equations_kernels import warp

    sampled = torch.empty(images.shape)
    whole = np.tile(np.array([0, images.shape[2]]), (images.shape[1], 1))
    for image, matrix, out in zip(images, matrices, sampled, strict=True):
        warp(image.contiguous().numpy(), matrix, whole, 0, out.numpy())
    return sampled


def overlap_mask(matrices: Matrix, out: Tensor, spare: Tensor) -> Tensor:
    """Set the pixels of the fixed slice that the map sends into the moving one to 1, the others to 0.

    Parameters
    ----------
    matrices : (B, 2, 3) ndarray
        Fixed to moving.
    out, spare : (B, Y, X) float32 tensors
        Both are overwritten; `out` is returned.
    """
    import torch

    rows, columns = int(out.shape[1]), int(out.shape[2])
    intervals = np.stack([overlap_intervals(m, (rows, columns)) for m in matrices])
    x = _positions(columns, out.device)
    first, last = torch.as_tensor(intervals, dtype=torch.float32, device=out.device).unbind(-1)
    torch.ge(x, first[:, :, None], out=out)
    torch.lt(x, last[:, :, None], out=spare)
    return out.mul_(spare)


def overlap_intervals(matrix: Matrix, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Find the pixels of each row that a map sends into a slice of the same shape.

    Both coordinates are linear along a row, so they are one interval.

    Parameters
    ----------
    matrix : (2, 3) ndarray
        Fixed to moving.
    shape : (Y, X)

    Returns
    -------
    (Y, 2) ndarray of int64
        The first pixel of each row and the one after its last; 0 and 0 for an empty row.
    """
    rows, columns = shape
    y = np.arange(rows, dtype=np.float64)
    low, high = np.zeros(rows), np.full(rows, columns - 1.0)
    for axis, side in ((0, rows), (1, columns)):
        slope = float(matrix[axis, 1])
        start = matrix[axis, 0] * y + matrix[axis, 2]
        if abs(slope) < 1e-12:
            high = np.where((start >= 0.0) & (start <= side - 1.0), high, -1.0)
        else:
            ends = np.stack([-start / slope, (side - 1.0 - start) / slope])
            low, high = np.maximum(low, ends.min(0)), np.minimum(high, ends.max(0))
    intervals = np.stack([np.ceil(low), np.floor(high) + 1.0], -1)
    intervals[low > high] = 0.0
    return intervals.astype(np.int64)


def batch_dot(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Sum the product of two (B, ...) contiguous tensors per batch element."""
    import torch

    pairs = zip(a, b, strict=True)
    sums = torch.stack([torch.dot(p.reshape(-1), q.reshape(-1)) for p, q in pairs])
    result: NDArray[np.float64] = sums.double().cpu().numpy()
    return result


def coordinate_moments(images: Tensor, degree: int) -> NDArray[np.float64]:
    """Sum (B, Y, X) images times the powers of the centred coordinates.

    Coordinates run from the centre, in units of half the longer side.

    Returns
    -------
    (degree + 1, degree + 1, B) ndarray
        Element [i, j, b] is the sum of ``image * y**i * x**j``.
    """
    import torch

    count, rows, columns = images.shape
    down, along = _coordinate_powers(rows, columns, images.device)
    flat = images.reshape(count * rows, columns)
    # One matrix-vector product per power: a product with a narrow matrix is five times slower on a CPU.
    sums = torch.stack([flat.mv(power).double() for power in along[: degree + 1]], -1)
    moments = down[: degree + 1] @ sums.reshape(count, rows, degree + 1)
    return np.moveaxis(moments.cpu().numpy(), 0, -1)


@lru_cache(maxsize=64)
def _positions(count: int, device: torch.device) -> Tensor:
    """Return the numbers 0 to `count` - 1 as float32; do not write to the cached tensor."""
    import torch

    return torch.arange(count, dtype=torch.float32, device=device)


@lru_cache(maxsize=32)
def _coordinate_powers(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the powers 0 to 2 of the centred coordinates: (3, rows) float64 and (3, columns) float32, read-only."""
    import torch

    half = (max(rows, columns) - 1) / 2.0
    y = (torch.arange(rows, device=device, dtype=torch.float64) - (rows - 1) / 2.0) / half
    x = (torch.arange(columns, device=device, dtype=torch.float32) - (columns - 1) / 2.0) / half
    return tuple(torch.stack([c**power for power in range(3)]) for c in (y, x))
