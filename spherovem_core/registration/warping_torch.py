"""Final warp in torch, for GPUs, with the same kernel tables as on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.elastic_warp import RowDisplacement
from spherovem_core.registration.interpolation_kernels import PHASES


def row_sampler(
    image: NDArray[Any],
    matrix: Matrix,
    table: NDArray[np.float32],
    columns: int,
    device: str,
    displacement: RowDisplacement | None = None,
) -> Callable[[range], NDArray[np.float32]]:
    """Make a function that samples an image at ``matrix @ (y, x, 1)`` for all x below `columns` and the given rows y.

    With a displacement, (y, x) is moved by it first.
    Coordinates are float64; in float32 they would be wrong by 0.001 px at 10 000 px.
    """
    import torch

    height, width = image.shape
    pixels = torch.from_numpy(np.ascontiguousarray(image).astype(np.float32, copy=False)).to(device).view(-1)
    weights = torch.from_numpy(table.copy()).to(device)
    before = table.shape[1] // 2 - 1
    x = torch.arange(columns, dtype=torch.float64, device=device)

    def sample(rows: range) -> NDArray[np.float32]:
        y = torch.arange(rows.start, rows.stop, dtype=torch.float64, device=device)[:, None]
        moved_y, moved_x = y, x
        if displacement is not None:
            moved = torch.from_numpy(displacement(rows)).to(device).double()
            moved_y, moved_x = y + moved[0], x + moved[1]
        py, px = (
            (m[0] * moved_y + m[1] * moved_x + m[2]).clamp_(0.0, n - 1.0)
            for m, n in zip(matrix.tolist(), (height, width), strict=True)
        )
        iy, ix = py.long(), px.long()
        wy = weights[((py - iy) * PHASES + 0.5).long()]
        wx = weights[((px - ix) * PHASES + 0.5).long()]
        total = torch.zeros(iy.shape, dtype=torch.float32, device=device)
        for i in range(table.shape[1]):
            flat = (iy - before + i).clamp_(0, height - 1) * width
            along = torch.zeros_like(total)
            for j in range(table.shape[1]):
                along += wx[..., j] * pixels[flat + (ix - before + j).clamp_(0, width - 1)]
            total += wy[..., i] * along
        sampled: NDArray[np.float32] = total.cpu().numpy()
        return sampled

    return sample
