"""Final warp on the CPU: one compiled kernel per number of taps."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.elastic_warp import RowDisplacement
from spherovem_core.registration.interpolation_kernels import PHASES

Kernel = Callable[
    [NDArray[Any], Matrix, NDArray[np.float32], int, NDArray[np.float32], NDArray[np.float32]], None
]
STILL = np.empty((2, 0, 0), np.float32)


def row_sampler(
    image: NDArray[Any],
    matrix: Matrix,
    table: NDArray[np.float32],
    columns: int,
    displacement: RowDisplacement | None = None,
) -> Callable[[range], NDArray[np.float32]]:
    """Make a function that samples an image at ``matrix @ (y, x, 1)`` for all x below `columns` and the given rows y.

    With a displacement, (y, x) is moved by it first.
    It uses one thread and releases the interpreter lock, so that the caller can warp slices in parallel.
    """
    kernel, pixels = _KERNELS[table.shape[1], displacement is not None], np.ascontiguousarray(image)

    def sample(rows: range) -> NDArray[np.float32]:
        out = np.empty((len(rows), columns), np.float32)
        moved = STILL if displacement is None else displacement(rows)
        kernel(pixels, matrix, table, rows.start, moved, out)
        return out

    return sample


def _compile(taps: int, displaced: bool) -> Kernel:
    """Compile the kernel with its number of taps as a constant, so that its loops are unrolled, with or without a displacement.

    Unsigned indices and direct look-ups in the table avoid Numba's checks for negative indices and its array views: 2020²
    pixels, cubic, take 29 ms instead of 105 ms, with the same result.
    """
    before = taps // 2 - 1

    @numba.njit(nogil=True, cache=True, fastmath={"contract", "arcp", "nsz", "reassoc"})  # type: ignore[untyped-decorator]
    def kernel(
        image: NDArray[Any],
        matrix: Matrix,
        table: NDArray[np.float32],
        first_row: int,
        moved: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        rows, columns = image.shape
        for y in range(out.shape[0]):
            start_y = matrix[0, 0] * (first_row + y) + matrix[0, 2]
            start_x = matrix[1, 0] * (first_row + y) + matrix[1, 2]
            for x in range(out.shape[1]):
                py = start_y + matrix[0, 1] * x
                px = start_x + matrix[1, 1] * x
                if displaced:
                    py += matrix[0, 0] * moved[0, y, x] + matrix[0, 1] * moved[1, y, x]
                    px += matrix[1, 0] * moved[0, y, x] + matrix[1, 1] * moved[1, y, x]
                py = min(max(py, 0.0), rows - 1.0)
                px = min(max(px, 0.0), columns - 1.0)
                top, left = int(py) - before, int(px) - before
                phase_y = np.uint64((py - int(py)) * PHASES + 0.5)
                phase_x = np.uint64((px - int(px)) * PHASES + 0.5)
                total = np.float32(0.0)
                if top >= 0 and left >= 0 and top + taps <= rows and left + taps <= columns:
                    for i in range(taps):
                        along = np.float32(0.0)
                        for j in range(taps):
                            value = image[np.uint64(top + i), np.uint64(left + j)]
                            along += table[phase_x, np.uint64(j)] * np.float32(value)
                        total += table[phase_y, np.uint64(i)] * along
                else:
                    for i in range(taps):
                        row = min(max(top + i, 0), rows - 1)
                        along = np.float32(0.0)
                        for j in range(taps):
                            value = image[row, min(max(left + j, 0), columns - 1)]
                            along += table[phase_x, np.uint64(j)] * np.float32(value)
                        total += table[phase_y, np.uint64(i)] * along
                out[y, x] = total

    compiled: Kernel = kernel
    return compiled


_KERNELS: dict[tuple[int, bool], Kernel] = {
    (taps, displaced): _compile(taps, displaced) for taps in (2, 4, 6) for displaced in (False, True)
}
