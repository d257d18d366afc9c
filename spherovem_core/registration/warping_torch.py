"""The final warp in torch, for GPUs: the same kernel tables as on the CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.kernels import PHASES

BAND_PIXELS = 1 << 22


def interpolate(
    image: NDArray[Any], matrix: Matrix, table: NDArray[np.float32], shape: tuple[int, int], device: str
) -> NDArray[np.float32]:
    """Sample an image at ``matrix @ (y, x, 1)`` for all (y, x) of `shape`, in bands of rows.

    Coordinates are float64: in float32 they would be off by a thousandth of a pixel at 10 000 px.
    """
    import torch

    rows, columns = image.shape
    pixels = torch.from_numpy(np.ascontiguousarray(image).astype(np.float32, copy=False)).to(device)
    weights = torch.from_numpy(table.copy()).to(device)
    before = table.shape[1] // 2 - 1
    x = torch.arange(shape[1], dtype=torch.float64, device=device)
    out = np.empty(shape, np.float32)
    step = max(1, BAND_PIXELS // max(shape[1], 1))
    for start in range(0, shape[0], step):
        y = torch.arange(start, min(start + step, shape[0]), dtype=torch.float64, device=device)[:, None]
        py, px = (
            (m[0] * y + m[1] * x + m[2]).clamp_(0.0, n - 1.0)
            for m, n in zip(matrix.tolist(), (rows, columns), strict=True)
        )
        iy, ix = py.long(), px.long()
        wy = weights[((py - iy) * PHASES + 0.5).long()]
        wx = weights[((px - ix) * PHASES + 0.5).long()]
        total = torch.zeros(iy.shape, dtype=torch.float32, device=device)
        for i in range(table.shape[1]):
            flat = (iy - before + i).clamp_(0, rows - 1) * columns
            along = torch.zeros_like(total)
            for j in range(table.shape[1]):
                along += wx[..., j] * pixels.view(-1)[flat + (ix - before + j).clamp_(0, columns - 1)]
            total += wy[..., i] * along
        out[start : start + len(y)] = total.cpu().numpy()
    return out
