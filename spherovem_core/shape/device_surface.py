"""Signed distance and surface of a label by whole-array operations, for a GPU.

The compiled loops of `spherovem_core.shape.signed_distance` and `spherovem_core.shape.surface` give the same points in the
same order, and are several times as fast on a CPU; a test compares the two. Common formulas for both would change the last bits
of the loops. Grid, extension beyond the border and fractal dimension of a label have no counterpart here and run on the CPU.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.gaussian_filtering import filter_between_zeros_on
from spherovem_core.shape.label_grid import LabelGrid
from spherovem_core.shape.signed_distance import quantile_table, smoothing_weights
from spherovem_core.shape.surface import Surface
from spherovem_core.spacing import SpacingNm
from spherovem_core.utils.accelerator import Accelerator

# Rows of zz, yy, xx, zy, zx, yx as a symmetric matrix.
HESSIAN = ((0, 3, 4), (3, 1, 5), (4, 5, 2))
SMALLEST_SLOPE = 1e-6


def signed_distance_on(
    gpu: Accelerator, occupancy: NDArray[np.float32], grid: LabelGrid, smoothing_nm: float
) -> Any:
    """Compute the signed distance in nm to the half level of a smoothed occupancy, as an array of the device.

    Parameters and result are those of `spherovem_core.shape.signed_distance.signed_distance`, but the occupancy keeps its values.
    """
    values = filter_between_zeros_on(gpu, gpu.to_device(occupancy), smoothing_weights(grid, smoothing_nm))
    table = gpu.to_device((smoothing_nm * quantile_table()).astype(np.float32))
    place = gpu.xp.clip(values, 0, np.float32(0.99999)) * np.float32(len(table) - 1)
    below = place.astype(np.int32)
    return table[below] + (place - below.astype(np.float32)) * (table[below + 1] - table[below])


def sample_surface_on(
    gpu: Accelerator, distance: Any, spacing_nm: SpacingNm, first_cell_nm: NDArray[np.float64]
) -> Surface:
    """Sample the zero level of a signed distance that lies on the device; the surface comes back to the host.

    Parameters and result are those of `spherovem_core.shape.surface.sample_surface`.
    """
    xp = gpu.xp
    spacing = np.asarray(spacing_nm, np.float32)
    element, axis = _find_crossings(xp, distance)
    strides = np.array((distance.shape[1] * distance.shape[2], distance.shape[2], 1))
    flat = distance.ravel()
    beyond = element + xp.asarray(strides)[axis]
    start = _derivatives(xp, flat, element, strides, spacing)
    end = _derivatives(xp, flat, beyond, strides, spacing)
    rows, side = xp.arange(len(element)), xp.asarray(spacing)[axis]

    here, there = flat[element], flat[beyond]
    step = here / (here - there)
    # Linear interpolation of a curved profile crosses zero too far inside, by h²/8 times its second derivative.
    bend = start[3 + axis, rows] + step * (end[3 + axis, rows] - start[3 + axis, rows])
    step = step + step * (1 - step) / 2 * bend * side**2 / (there - here)
    value = start + step * (end - start)
    sag = step * (1 - step) / 2 * side
    hessian = 3 + xp.asarray(HESSIAN)[axis].T
    change = xp.take_along_axis(end, hessian, axis=0) - xp.take_along_axis(start, hessian, axis=0)
    normal = value[:3] + value[9:] / 3 - sag * change
    normal /= xp.maximum(xp.sqrt((normal**2).sum(axis=0)), SMALLEST_SLOPE)

    face = xp.asarray(spacing.prod() / spacing)[axis]
    area = face * xp.abs(normal[axis, rows]) ** 3 / (normal**4).sum(axis=0)
    mean, gaussian = _curvatures(xp, value)
    position = xp.stack(xp.unravel_index(element, distance.shape)).astype(np.float64)
    position[axis, rows] += step
    values = gpu.to_host(xp.concatenate([position, normal, xp.stack([area, mean, gaussian])]))
    points = np.ascontiguousarray(values.T, np.float64)
    return Surface(
        points[:, :3] * spacing_nm + first_cell_nm, points[:, 3:6], points[:, 6], points[:, 7], points[:, 8]
    )


def _find_crossings(xp: Any, distance: Any) -> tuple[Any, Any]:
    """Find the grid lines that the surface crosses: flat index of the element where each begins, and its axis.

    They are in the order of the elements, then of the axes. The outermost two cells are left out.
    """
    inside = xp.signbit(distance)
    core = tuple(slice(2, size - 3) for size in distance.shape)
    crossing = xp.zeros((*distance.shape, 3), bool)
    for axis in range(3):
        shifted = list(core)
        shifted[axis] = slice(3, distance.shape[axis] - 2)
        crossing[(*core, axis)] = inside[core] != inside[tuple(shifted)]
    found = xp.flatnonzero(crossing)
    return found // 3, found % 3


def _derivatives(xp: Any, f: Any, i: Any, strides: NDArray[Any], spacing: NDArray[np.float32]) -> Any:
    """Compute gradient (z, y, x), Hessian (zz, yy, xx, zy, zx, yx) and the gradient's error terms at elements i, in rows.

    They are central differences of second order. A third of the last three, added to the gradient, gives it fourth order.
    """
    rates = np.float32(1) / spacing
    half = np.float32(0.5) * rates
    first, second, error = [], [], []
    for a in range(3):
        s = int(strides[a])
        slope = (f[i + s] - f[i - s]) * half[a]
        first.append(slope)
        second.append((f[i + s] - 2 * f[i] + f[i - s]) * rates[a] * rates[a])
        error.append(slope - (f[i + 2 * s] - f[i - 2 * s]) * half[a] * np.float32(0.5))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        s, t = int(strides[a]), int(strides[b])
        mixed = f[i + s + t] - f[i + s - t] - f[i - s + t] + f[i - s - t]
        second.append(mixed * half[a] * half[b])
    return xp.stack([*first, *second, *error])


def _curvatures(xp: Any, value: Any) -> tuple[Any, Any]:
    """Compute mean and Gaussian curvature from gradient and Hessian (Goldman 2005)."""
    length = xp.maximum(xp.sqrt((value[:3] ** 2).sum(axis=0)), SMALLEST_SLOPE)
    a, b, c = value[:3] / length
    zz, yy, xx, zy, zx, yx = value[3:9]
    along = a * a * zz + b * b * yy + c * c * xx + 2 * (a * b * zy + a * c * zx + b * c * yx)
    cofactors = (
        a * a * (yy * xx - yx * yx)
        + b * b * (zz * xx - zx * zx)
        + c * c * (zz * yy - zy * zy)
        + 2 * (a * b * (yx * zx - zy * xx) + a * c * (zy * yx - yy * zx) + b * c * (zy * zx - zz * yx))
    )
    return (zz + yy + xx - along) / (2 * length), cofactors / (length * length)
