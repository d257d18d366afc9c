"""Displacement of the pixels of a slice by its local field, for the final warp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.elastic_mesh import Mesh, spline_coefficients, spline_taps

RowDisplacement = Callable[[range], NDArray[np.float32]]


@dataclass(frozen=True)
class LocalField:
    """Field of one slice.

    Attributes
    ----------
    mesh : Mesh
    nodes : (rows, columns, 2) ndarray
        Displacement (y, x) at each node, in reference pixels.
    """

    mesh: Mesh
    nodes: NDArray[np.float32]

    def on(self, crop: Rectangle) -> RowDisplacement:
        """Make a function that computes the displacement of the given rows of a crop: (2, rows, columns) float32.

        It uses one thread and releases the interpreter lock. Every pixel is computed by itself, so the rows can be taken in any
        bands.
        """
        coefficients = spline_coefficients(self.nodes)
        first_y, weight_y = spline_taps(
            (np.arange(crop.y0, crop.y1) - self.mesh.origin_y_px) / self.mesh.step_y_px, self.mesh.rows
        )
        first_x, weight_x = spline_taps(
            (np.arange(crop.x0, crop.x1) - self.mesh.origin_x_px) / self.mesh.step_x_px, self.mesh.columns
        )

        def displacement(rows: range) -> NDArray[np.float32]:
            out = np.empty((2, len(rows), crop.shape[1]), np.float32)
            chosen = slice(rows.start, rows.stop)
            _interpolate(coefficients, first_y[chosen], weight_y[chosen], first_x, weight_x, out)
            return out

        return displacement


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _interpolate(
    coefficients: NDArray[np.float64],
    first_y: NDArray[np.int64],
    weight_y: NDArray[np.float64],
    first_x: NDArray[np.int64],
    weight_x: NDArray[np.float64],
    out: Any,
) -> None:
    columns = coefficients.shape[1]
    line = np.empty(columns)
    for axis in range(2):
        for y in range(len(first_y)):
            for k in range(columns):
                total = 0.0
                for tap in range(4):
                    total += weight_y[y, tap] * coefficients[first_y[y] + tap, k, axis]
                line[k] = total
            for x in range(len(first_x)):
                total = 0.0
                for tap in range(4):
                    total += weight_x[x, tap] * line[first_x[x] + tap]
                out[axis, y, x] = total
