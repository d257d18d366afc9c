"""Points on a label's surface, each with the area it represents, its normal and its curvatures.

The surface crosses a grid line wherever the signed distance changes sign between two neighbouring grid points. The crossings
along one axis sample the surface in projection: each represents one cell face, and so an area of ``face / |n_axis|``. The three
axes are blended with weights that vanish where a projection degenerates. Every crossing is then a node of one quadrature rule
for integrals over the surface, without triangles and without a band width. The nodes are the vertices of marching cubes.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm

POINT_WIDTH = 9

FAST: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"nnan", "nsz"}}
"""How numba compiles the loops.

It must not order sums anew: with ``fastmath=True`` the process that compiles and those that load its code from the cache
differed in the last bits, and with them labels measured before and after a correction. It costs 5 % of the stage's time.
"""


@dataclass(frozen=True)
class Surface:
    """A sampled surface; every array has one row per point.

    Attributes
    ----------
    position : (N, 3) ndarray of float64
        In nm relative to voxel (0, 0, 0) of the volume.
    normal : (N, 3) ndarray of float64
        Unit vector out of the label.
    area : (N,) ndarray of float64
        Area in nm² that the point represents.
    mean_curvature, gaussian_curvature : (N,) ndarray of float64
        In 1/nm (a ball's is positive) and 1/nm².
    """

    position: NDArray[np.float64]
    normal: NDArray[np.float64]
    area: NDArray[np.float64]
    mean_curvature: NDArray[np.float64]
    gaussian_curvature: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.area)

    @property
    def total(self) -> float:
        """Area in nm²."""
        return float(self.area.sum())

    def integrate(self, values: NDArray[np.float64]) -> float:
        """Integrate a quantity given at the points over the surface, in its unit times nm².

        This is a sum and not a BLAS product: BLAS wakes its own threads, which costs more than the sum and stalls on a busy
        machine.
        """
        return float((self.area * values).sum())

    @property
    def enclosed(self) -> float:
        """Volume in nm³ within a closed surface, by the divergence theorem."""
        outward = ((self.position - self.position.mean(axis=0)) * self.normal).sum(axis=1)
        return self.integrate(outward) / 3

    def select(self, keep: NDArray[np.bool_]) -> "Surface":
        """Select the points for which `keep` holds."""
        return Surface(
            self.position[keep],
            self.normal[keep],
            self.area[keep],
            self.mean_curvature[keep],
            self.gaussian_curvature[keep],
        )


def sample_surface(
    distance: NDArray[np.float32], spacing_nm: SpacingNm, first_cell_nm: NDArray[np.float64]
) -> Surface:
    """Sample the zero level of a signed distance; the outermost two cells are left out.

    Mean and Gaussian curvature come from gradient and Hessian (Goldman, "Curvature formulas for implicit curves
    and surfaces", Computer Aided Geometric Design, 2005), by central differences. Runs on the CPU (numba).

    Parameters
    ----------
    distance : (Z, Y, X) ndarray of float32
        Signed distance in nm, negative inside.
    spacing_nm
        Cell size.
    first_cell_nm
        Position of cell (0, 0, 0).
    """
    spacing = np.array(spacing_nm, dtype=np.float64)
    signs = distance.view(np.int32)
    counts = _count_crossings(signs)
    points = np.empty((int(counts.sum()), POINT_WIDTH))
    _fill_crossings(distance, signs, counts, tuple(spacing.astype(np.float32).tolist()), points)
    return Surface(
        points[:, 0:3] * spacing + first_cell_nm, points[:, 3:6], points[:, 6], points[:, 7], points[:, 8]
    )


def undo_smoothing(surface: Surface, smoothing_nm: float) -> Surface:
    """Move a surface back to where it was before its occupancy was smoothed.

    A Gaussian of width s moves the half level of a curved body towards its centre of curvature by
    ``t = s²H / (1 + s²H²/3)``, where H is the mean curvature of the moved surface. The expansion ``s²H - s⁴H³/3`` holds for balls
    and for cylinders, and this form of it is within 0.5 % of the exact shift down to radii of 2 s. The points move back by t
    along their normals; area and curvatures become those of the parallel surface.
    """
    mean, gaussian = surface.mean_curvature, surface.gaussian_curvature
    bent = (smoothing_nm * mean) ** 2
    shift = smoothing_nm**2 * mean / (1 + bent / 3)
    stretch = np.maximum(1 + 2 * mean * shift + gaussian * shift**2, 0.05)
    return Surface(
        surface.position + shift[:, None] * surface.normal,
        surface.normal,
        surface.area * stretch,
        (mean + gaussian * shift) / stretch,
        gaussian / stretch,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_crossings(signs: Any) -> Any:
    """Count the crossings that begin in each row; the sign bits of the distances are read as integers."""
    depth, height, width = signs.shape
    counts = np.zeros((depth, height), np.int32)
    for z in range(2, depth - 3):
        for y in range(2, height - 3):
            row, beyond = signs[z, y, 2:], signs[z, y, 3:]
            below, beside = signs[z + 1, y, 2:], signs[z, y + 1, 2:]
            changes = np.int32(0)
            for x in range(width - 5):
                here = row[x]
                changes -= ((here ^ beyond[x]) >> 31) + ((here ^ below[x]) >> 31) + ((here ^ beside[x]) >> 31)
            counts[z, y] = changes
    return counts


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _fill_crossings(distance: Any, signs: Any, counts: Any, spacing: Any, points: Any) -> None:
    depth, height, width = distance.shape
    flat, sign = distance.reshape(-1), signs.reshape(-1)
    strides = (height * width, width, 1)
    hessian = np.array(((3, 6, 7), (6, 4, 8), (7, 8, 5)))
    one = np.float32(1)
    rates = (one / spacing[0], one / spacing[1], one / spacing[2])
    start, end, value = np.empty(12, np.float32), np.empty(12, np.float32), np.empty(12, np.float32)
    normal = np.empty(3, np.float32)
    n = 0
    for z in range(2, depth - 3):
        for y in range(2, height - 3):
            if counts[z, y] == 0:
                continue
            row = (z * height + y) * width
            for i in range(row + 2, row + width - 3):
                s = sign[i]
                if (s ^ sign[i + strides[0]] | s ^ sign[i + strides[1]] | s ^ sign[i + 1]) >= 0:
                    continue
                here = flat[i]
                _derivatives(flat, i, strides, rates, start)
                for axis in range(3):
                    j = i + strides[axis]
                    if s ^ sign[j] >= 0:
                        continue
                    there = flat[j]
                    _derivatives(flat, j, strides, rates, end)
                    # Linear interpolation of a curved profile crosses zero too far inside, by h²/8 times its second derivative.
                    step = here / (here - there)
                    bend = start[3 + axis] + step * (end[3 + axis] - start[3 + axis])
                    step += step * (1 - step) / 2 * bend * spacing[axis] ** 2 / (there - here)
                    for d in range(12):
                        value[d] = start[d] + step * (end[d] - start[d])
                    sag = step * (1 - step) / 2 * spacing[axis]
                    for d in range(3):
                        h = hessian[axis, d]
                        normal[d] = value[d] + value[9 + d] / 3 - sag * (end[h] - start[h])
                    point = points[n]
                    point[0], point[1], point[2] = z, y, i - row
                    point[axis] += step
                    _set_area(normal, axis, spacing, point)
                    _set_curvatures(value, point)
                    n += 1


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _derivatives(f: Any, i: int, strides: Any, rates: Any, out: Any) -> None:
    """Write gradient (z, y, x), Hessian (zz, yy, xx, zy, zx, yx) and the gradient's error terms at element i.

    The first nine are central differences of second order. A third of the last three, added to the gradient, gives it fourth
    order.
    """
    for a in range(3):
        s, per = strides[a], rates[a]
        slope = (f[i + s] - f[i - s]) * per * np.float32(0.5)
        out[a] = slope
        out[3 + a] = (f[i + s] - 2 * f[i] + f[i - s]) * per * per
        out[9 + a] = slope - (f[i + 2 * s] - f[i - 2 * s]) * per * np.float32(0.25)
    sz, sy, sx = strides
    pz, py, px = rates[0] * np.float32(0.5), rates[1] * np.float32(0.5), rates[2] * np.float32(0.5)
    out[6] = (f[i + sz + sy] - f[i + sz - sy] - f[i - sz + sy] + f[i - sz - sy]) * pz * py
    out[7] = (f[i + sz + sx] - f[i + sz - sx] - f[i - sz + sx] + f[i - sz - sx]) * pz * px
    out[8] = (f[i + sy + sx] - f[i + sy - sx] - f[i - sy + sx] + f[i - sy - sx]) * py * px


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _set_area(slope: Any, axis: int, spacing: Any, point: Any) -> None:
    """Write the normal and the area of a crossing.

    By the fourth powers, the weight of an axis vanishes with the third power of the normal's component.
    """
    length = max(np.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2), 1e-6)
    a, b, c = slope[0] / length, slope[1] / length, slope[2] / length
    face = spacing[0] * spacing[1] * spacing[2] / spacing[axis]
    point[3], point[4], point[5] = a, b, c
    point[6] = face * abs(point[3 + axis]) ** 3 / (a**4 + b**4 + c**4)


@numba.njit(**FAST)  # type: ignore[untyped-decorator]
def _set_curvatures(value: Any, point: Any) -> None:
    """Write the mean and the Gaussian curvature from gradient and Hessian.

    Both are of second order in the cell size, and most of their errors cancel: a gradient of higher order alone makes the
    Gaussian curvature worse.
    """
    length = max(np.sqrt(value[0] ** 2 + value[1] ** 2 + value[2] ** 2), 1e-6)
    a, b, c = value[0] / length, value[1] / length, value[2] / length
    zz, yy, xx, zy, zx, yx = value[3], value[4], value[5], value[6], value[7], value[8]
    along = a * a * zz + b * b * yy + c * c * xx + 2 * (a * b * zy + a * c * zx + b * c * yx)
    cofactors = (
        a * a * (yy * xx - yx * yx)
        + b * b * (zz * xx - zx * zx)
        + c * c * (zz * yy - zy * zy)
        + 2 * (a * b * (yx * zx - zy * xx) + a * c * (zy * yx - yy * zx) + b * c * (zy * zx - zz * yx))
    )
    point[7] = (zz + yy + xx - along) / (2 * length)
    point[8] = cofactors / (length * length)
