"""Geometry of the tissue: the cell and nucleus of each point in space, and its depth in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from spherovem_core.synthetic.phantom.cell_states import CellState
from spherovem_core.synthetic.phantom.cells import CellPacking, pack_cells
from spherovem_core.synthetic.phantom.exterior import Exterior
from spherovem_core.synthetic.phantom.noise import SmoothNoise
from spherovem_core.synthetic.phantom.nuclei import Nuclei, place_nuclei
from spherovem_core.synthetic.phantom.tissue_parameters import TissueParameters

SURROUNDINGS = 1.1
"""Margin around the rendered box in mean cell diameters: cells reach at most about this far out of it."""
# Lattice step and amplitude, in cell diameters, of the waves that deform cells and the bulges of nuclei.
# The steepest wave must stay well below slope 1, where the coordinates fold.
_WAVES = ((0.55, 0.07), (0.17, 0.011))
_BULGES = ((0.4, 0.03), (0.16, 0.012))
_CLEFT_STEP = 0.35
# Width, in cell diameters, of the gap around a dead cell.
_SHRINKAGE = 0.06
# Standard deviations of the cleft field from where a contact opens to where it is widest.
_CLEFT_RAMP = 0.8


class Located(NamedTuple):
    """Cell and nucleus of each point (index, -1 for a cell without nucleus) and the depths in µm.

    A point lies in its cell where `cell_depth_um` is positive, in its nucleus where `nucleus_depth_um` is, and in a region
    without tissue where `outside_um` is. Elsewhere the index is that of the nearest.
    """

    cell: NDArray[np.int32]
    cell_depth_um: NDArray[np.float32]
    nucleus: NDArray[np.int32]
    nucleus_depth_um: NDArray[np.float32]
    outside_um: NDArray[np.float32]
    region: NDArray[np.uint8]


@dataclass(frozen=True)
class Tissue:
    """Cells and nuclei as level sets of physical coordinates in µm; voxel (0, 0, 0) is centred at 0."""

    cells: CellPacking
    nuclei: Nuclei
    waves: tuple[tuple[float, SmoothNoise], ...]
    bulges: tuple[tuple[float, SmoothNoise], ...]
    clefts: SmoothNoise
    cleft_threshold: float
    cleft_half_width_um: float
    exterior: Exterior
    shrinkage_um: float

    def locate_grid(
        self, z_um: NDArray[np.float64], y_um: NDArray[np.float64], x_um: NDArray[np.float64]
    ) -> Located:
        """Locate the points of a regular grid, in arrays of shape (len(z), len(y), len(x))."""
        points = [np.ascontiguousarray(a, np.float32) for a in np.meshgrid(z_um, y_um, x_um, indexing="ij")]
        return self._locate(points, lambda field: field.on_grid(z_um, y_um, x_um))

    def locate_points(self, points_um: NDArray[np.float64]) -> Located:
        """Locate scattered points (N, 3), in arrays of shape (N,)."""
        points = [np.ascontiguousarray(a, np.float32) for a in points_um.T]
        return self._locate(points, lambda field: field.at_points(points_um))

    def _locate(
        self,
        points: list[NDArray[np.float32]],
        evaluate: Callable[[SmoothNoise], NDArray[np.float32]],
    ) -> Located:
        z, y, x = points
        wavy = [p.copy() for p in points]
        for number, (amplitude, field) in enumerate(self.waves):
            wavy[number % 3] += np.float32(amplitude) * evaluate(field)
        cell, depth = self.cells.locate(wavy[0], wavy[1], wavy[2])
        opening = (evaluate(self.clefts) - np.float32(self.cleft_threshold)) / np.float32(_CLEFT_RAMP)
        depth -= np.float32(self.cleft_half_width_um) * np.clip(opening, 0, 1)
        outside, region = self.exterior.locate(z, y, x, evaluate)
        # Cells end at the surface of the tissue, and nuclei keep their distance from it.
        np.minimum(depth, -outside, out=depth)
        dead = self.nuclei.states == CellState.DEAD
        if dead.any():
            depth -= np.float32(self.shrinkage_um) * dead[cell]
        bulge = np.zeros_like(depth)
        for amplitude, field in self.bulges:
            bulge += np.float32(amplitude) * evaluate(field)
        nucleus, nucleus_depth = self.nuclei.locate(z, y, x, cell, depth, bulge)
        return Located(cell, depth, nucleus, nucleus_depth, outside, region)


def surroundings(
    parameters: TissueParameters, lower_um: NDArray[np.float64], upper_um: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the corners of the box in which the cells of a rendered box and their neighbours grow."""
    margin = SURROUNDINGS * parameters.cell_diameter_um
    return lower_um - margin, upper_um + margin


def grow_tissue(
    parameters: TissueParameters,
    lower_um: NDArray[np.float64],
    upper_um: NDArray[np.float64],
    exterior: Exterior,
) -> Tissue:
    """Make the cells and nuclei that fill a box outside the exterior, and the neighbours that they touch."""
    diameter = parameters.cell_diameter_um
    low, high = surroundings(parameters, lower_um, upper_um)

    def field(number: int, step: float) -> SmoothNoise:
        return SmoothNoise((parameters.seed, number), step * diameter, tuple(low), tuple(high))

    cells = pack_cells(parameters, low, high)
    bare = Tissue(
        cells,
        Nuclei.none(len(cells.seeds_um)),
        waves=tuple(
            (amplitude * parameters.cell_waviness * diameter, field(10 + 3 * octave + axis, step))
            for octave, (step, amplitude) in enumerate(_WAVES)
            for axis in range(3)
        ),
        bulges=tuple((a * diameter, field(20 + n, step)) for n, (step, a) in enumerate(_BULGES)),
        clefts=field(30, _CLEFT_STEP),
        cleft_threshold=-float(special.ndtri(np.clip(parameters.extracellular_fraction, 1e-9, 1 - 1e-9))),
        cleft_half_width_um=parameters.extracellular_width_nm / 2000,
        exterior=exterior,
        shrinkage_um=_SHRINKAGE * diameter,
    )
    return replace(bare, nuclei=_nuclei_of(parameters, bare, (low, high), (lower_um, upper_um)))


def _nuclei_of(
    parameters: TissueParameters,
    bare: Tissue,
    grown: tuple[NDArray[np.float64], NDArray[np.float64]],
    imaged: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Nuclei:
    """Place nuclei in the cells, whose extent is sampled on a coarse grid."""
    step = parameters.cell_diameter_um / 18
    axes = [np.arange(low + step / 2, high, step) for low, high in zip(*grown, strict=True)]
    located = bare.locate_grid(*axes)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return place_nuclei(
        parameters,
        points,
        step**3,
        located.cell.ravel(),
        located.cell_depth_um.ravel(),
        cell_count=len(bare.cells.seeds_um),
        visible=np.all((points > imaged[0]) & (points < imaged[1]), axis=1),
    )
