"""Mesh of nodes over the reference frame that carries a smooth displacement field."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration.crop import Rectangle

NODES_PER_SIDE = 24
MIN_SPACING_PX = 8.0
MIN_NODES = 6


@dataclass(frozen=True)
class Mesh:
    """Nodes at equal steps in the reference frame; a cubic spline through them gives the field between.

    Attributes
    ----------
    origin_y_px, origin_x_px
        Place of the first node in reference pixels.
    step_y_px, step_x_px
        Distance of the nodes.
    rows, columns
        Number of nodes along y and x.
    """

    origin_y_px: float
    origin_x_px: float
    step_y_px: float
    step_x_px: float
    rows: int
    columns: int

    @classmethod
    def over(cls, frame: Rectangle) -> Self:
        """Lay a mesh over a rectangle, with about 24 nodes along its longer side and a node in each corner."""
        height, width = frame.shape
        step = max(MIN_SPACING_PX, (max(height, width) - 1) / (NODES_PER_SIDE - 1))
        rows, columns = (max(MIN_NODES, round((n - 1) / step) + 1) for n in (height, width))
        return cls(
            float(frame.y0),
            float(frame.x0),
            max(height - 1, 1) / (rows - 1),
            max(width - 1, 1) / (columns - 1),
            rows,
            columns,
        )

    def to_record(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return dict(vars(self))

    def positions(self) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Return the places of the nodes along y and x, in reference pixels."""
        return (
            self.origin_y_px + self.step_y_px * np.arange(self.rows),
            self.origin_x_px + self.step_x_px * np.arange(self.columns),
        )

    def interpolation(self, y: NDArray[np.floating[Any]], x: NDArray[np.floating[Any]]) -> tuple[Any, Any]:
        """Return the matrices that interpolate node values at rows y and columns x: ``down @ nodes @ along.T``."""
        return (
            spline_matrix((np.asarray(y) - self.origin_y_px) / self.step_y_px, self.rows),
            spline_matrix((np.asarray(x) - self.origin_x_px) / self.step_x_px, self.columns),
        )

    def sample(
        self, nodes: NDArray[np.floating[Any]], y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Interpolate (rows, columns, k) node values at scattered positions of one shape: (..., k)."""
        places = np.stack([(y - self.origin_y_px) / self.step_y_px, (x - self.origin_x_px) / self.step_x_px])
        values = [
            ndimage.map_coordinates(np.asarray(nodes[..., k], np.float64), places, order=3, mode="nearest")
            for k in range(nodes.shape[-1])
        ]
        return np.stack(values, -1)


def spline_matrix(places: NDArray[np.floating[Any]], count: int) -> NDArray[np.float64]:
    """Compute the weights of `count` nodes at places in units of their distance: (places, count) float64.

    The interpolation is the cubic spline through the nodes, mirrored at both ends; places beyond an end take its value.
    """
    first, weights = spline_taps(places, count)
    matrix = np.zeros((len(first), count))
    rows = np.arange(len(first))
    for tap in range(4):
        np.add.at(matrix, (rows, _mirror(first - 1 + tap, count)), weights[:, tap])
    return matrix @ _coefficients(count)


def spline_taps(
    places: NDArray[np.floating[Any]], count: int
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Return the first of the four coefficients of `spline_coefficients` around each place, and their weights (places, 4)."""
    clipped = np.clip(np.asarray(places, dtype=np.float64), 0.0, count - 1.0)
    first = np.clip(np.floor(clipped).astype(np.int_), 0, max(count - 2, 0))
    t = clipped - first
    weights = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], -1) / 6.0
    )
    return first, weights


def spline_coefficients(nodes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Convert (rows, columns, 2) node values to coefficients of cubic B-splines, with one more on each side by mirroring."""
    values: NDArray[Any] = np.einsum(
        "ij,jkc->ikc", _coefficients(nodes.shape[0]), np.asarray(nodes, np.float64)
    )
    values = np.einsum("ij,kjc->kic", _coefficients(nodes.shape[1]), values)
    return np.asarray(np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="reflect"))


def _mirror(index: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    period = max(2 * (count - 1), 1)
    folded = np.abs(index) % period
    return np.where(folded >= count, period - folded, folded)


@lru_cache(maxsize=16)
def _coefficients(count: int) -> NDArray[np.float64]:
    """Return the matrix from node values to B-spline coefficients with mirrored ends."""
    basis = np.zeros((count, count))
    rows = np.arange(count)
    for offset, weight in ((-1, 1 / 6), (0, 4 / 6), (1, 1 / 6)):
        np.add.at(basis, (rows, _mirror(rows + offset, count)), weight)
    inverse = np.asarray(np.linalg.inv(basis))
    inverse.setflags(write=False)
    return inverse
