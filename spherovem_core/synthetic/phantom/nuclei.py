"""Nuclei: deformed ellipsoids that follow the shape of their cell and lie strictly inside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spherovem_core.synthetic.phantom.cell_states import draw_states, nuclei_by_state
from spherovem_core.synthetic.phantom.nucleus_forms import nuclei_in
from spherovem_core.synthetic.phantom.tissue_parameters import TissueParameters

# Cytoplasm between a nucleus and its cell's membrane, and between two nuclei, in cell diameters.
CLEARANCE = 0.06
_BLEND = 0.04
# Fewest sample points of a cell with a nucleus.
_FEWEST_POINTS = 20


@dataclass(frozen=True)
class Nuclei:
    """Nuclei of a packing. Those of cell i are in rows start[i] to start[i + 1] - 1.

    Attributes
    ----------
    start : (S + 1,) int64
    centres_um : (K, 3) float64
    metrics : (K, 3, 3) float64
        Matrices B: before its surface is deformed, a nucleus holds the points with (p - c)ᵀ B (p - c) < 1.
    states : (S,) int8
        `CellState` of each cell.
    clearance_um, blend_um : float
        Least depth below the surface of the cell, and length over which the two surfaces blend.
    """

    start: NDArray[np.int64]
    centres_um: NDArray[np.float64]
    metrics: NDArray[np.float64]
    states: NDArray[np.int8]
    clearance_um: float
    blend_um: float

    @classmethod
    def none(cls, cell_count: int) -> Nuclei:
        """Make the nuclei of cells that have none."""
        return cls(
            np.zeros(cell_count + 1, np.int64),
            np.empty((0, 3)),
            np.empty((0, 3, 3)),
            np.zeros(cell_count, np.int8),
            0.0,
            1.0,
        )

    @property
    def cells(self) -> NDArray[np.int64]:
        """Cell index of each nucleus."""
        return np.repeat(np.arange(self.start.size - 1), np.diff(self.start))

    def locate(
        self,
        z_um: NDArray[np.float32],
        y_um: NDArray[np.float32],
        x_um: NDArray[np.float32],
        cell: NDArray[np.int32],
        cell_depth_um: NDArray[np.float32],
        bulge_um: NDArray[np.float32],
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the nearest nucleus of each point in its cell, and the depth of the point in it.

        Returns
        -------
        nucleus : ndarray of int32
            Index of the nucleus, -1 in cells without nucleus.
        depth_um : ndarray of float32
            First-order distance to its surface in µm, negative outside.
        """
        nucleus = np.empty(z_um.shape, np.int32)
        depth = np.empty(z_um.shape, np.float32)
        _locate(
            z_um.ravel(), y_um.ravel(), x_um.ravel(),
            cell.ravel(), cell_depth_um.ravel(), bulge_um.ravel(),
            self.start, self.centres_um, self.metrics, self.clearance_um, self.blend_um,
            nucleus.ravel(), depth.ravel(),
        )  # fmt: skip
        return nucleus, depth


def place_nuclei(
    parameters: TissueParameters,
    points_um: NDArray[np.float64],
    point_volume_um3: float,
    cell: NDArray[np.int32],
    depth_um: NDArray[np.float32],
    *,
    cell_count: int,
    visible: NDArray[np.bool_],
) -> Nuclei:
    """Place the nuclei of each cell, from a sample of the tissue on a regular grid.

    Parameters
    ----------
    points_um : (N, 3) ndarray
        Points of the grid, each of which stands for `point_volume_um3`.
    cell, depth_um : (N,) ndarray
        Cell of each point and the distance to the cell's surface.
    cell_count : int
        Number of cells.
    visible : (N,) ndarray of bool
        True for points in the imaged volume. The fractions of cells with 0 and 2 nuclei hold among the cells there.
    """
    generator = np.random.default_rng((parameters.seed, 0x0C1E05))
    inside = depth_um > 0
    seen = np.bincount(cell[inside & visible], minlength=cell_count)
    states = draw_states(parameters, seen)
    numbers = nuclei_by_state(parameters, states, _nucleus_numbers(generator, parameters, seen))
    jitter = generator.standard_normal((cell_count, 3))
    fractions = parameters.nucleus_fraction * np.clip(
        1 + parameters.nucleus_fraction_cv * generator.standard_normal(cell_count), 0.6, 1.3
    )
    ranked = np.flatnonzero(inside)[np.argsort(cell[inside], kind="stable")]
    members = np.split(ranked, np.cumsum(np.bincount(cell[inside], minlength=cell_count))[:-1])
    centres, metrics = [np.empty((0, 3))], [np.empty((0, 3, 3))]
    for index, rows in enumerate(members):
        if rows.size < _FEWEST_POINTS:
            numbers[index] = 0
        if numbers[index] == 0:
            continue
        radius = fractions[index] / 2 * (6 / np.pi * rows.size * point_volume_um3) ** (1 / 3)
        number, state = int(numbers[index]), int(states[index])
        made = nuclei_in(points_um[rows], depth_um[rows], radius, jitter[index], number, state)
        centres.append(made[0])
        metrics.append(made[1])
    return Nuclei(
        np.concatenate([[0], np.cumsum(numbers)]),
        np.concatenate(centres),
        np.concatenate(metrics),
        states,
        CLEARANCE * parameters.cell_diameter_um,
        _BLEND * parameters.cell_diameter_um,
    )


def _nucleus_numbers(
    generator: np.random.Generator, parameters: TissueParameters, seen: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw the number of nuclei of each cell. The fractions hold, up to rounding, among the most visible cells."""
    numbers = np.ones(seen.size, np.int64)
    ranked = np.argsort(-seen, kind="stable")
    for group in np.array_split(ranked, max(1, seen.size // 40)):
        shuffled = generator.permutation(group)
        none = round(parameters.anucleate_fraction * group.size)
        two = round(parameters.binucleate_fraction * group.size)
        numbers[shuffled[:none]] = 0
        numbers[shuffled[none : none + two]] = 2
    return numbers


@njit(cache=True, nogil=True, error_model="numpy")
def _locate(  # type: ignore[no-untyped-def]
    pz, py, px, cell, cell_depth, bulge, start, centres, metrics, clearance, blend, nucleus, depth
):  # fmt: skip
    for n in range(pz.size):
        nucleus[n] = -1
        depth[n] = -100.0
        first, stop = start[cell[n]], start[cell[n] + 1]
        for k in range(first, stop):
            z, y, x = pz[n] - centres[k, 0], py[n] - centres[k, 1], px[n] - centres[k, 2]
            inside = _ellipsoid_depth(z, y, x, metrics[k]) + bulge[n]
            for other in range(first, stop):
                if other == k:
                    continue
                away = centres[other] - centres[k]
                length = np.sqrt(np.sum(away**2))
                middle = length / 2 - (z * away[0] + y * away[1] + x * away[2]) / length
                inside = min(inside, middle - clearance / 2)
            limit = cell_depth[n] - clearance
            mix = min(max(0.5 + 0.5 * (limit - inside) / blend, 0.0), 1.0)
            inside = limit + (inside - limit) * mix - blend * mix * (1.0 - mix)
            if inside > depth[n]:
                depth[n] = inside
                nucleus[n] = k


@njit(cache=True, nogil=True, error_model="numpy")
def _ellipsoid_depth(z, y, x, metric):  # type: ignore[no-untyped-def]
    """Compute the first-order distance to the surface of an ellipsoid, positive inside."""
    gz = metric[0, 0] * z + metric[0, 1] * y + metric[0, 2] * x
    gy = metric[1, 0] * z + metric[1, 1] * y + metric[1, 2] * x
    gx = metric[2, 0] * z + metric[2, 1] * y + metric[2, 2] * x
    rho = np.sqrt(max(z * gz + y * gy + x * gx, 1e-12))
    return (1.0 - rho) * rho / np.sqrt(gz * gz + gy * gy + gx * gx + 1e-12)
