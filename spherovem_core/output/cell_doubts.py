"""Doubts about cells when their particles are counted: whether they are right, and where their surface lies."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.output.doses import column_or_nan
from spherovem_core.output.object_intervals import SHIFT_COLUMNS
from spherovem_core.output.particle_intervals import NORMAL

Floats = NDArray[np.float64]

LEAST_SHARE = 0.2
"""Least fraction of a true cell's particles that a wrong one holds, or of its particles that belong to the true one."""
REACH = 3.0
"""Standard deviations of the surface from which a particle is inside for certain."""


@dataclass(frozen=True)
class CellDoubts:
    """Doubts about G cells and N particles.

    Attributes
    ----------
    wrong : (G,) ndarray
        Probability that the cell is merged with another or divided.
    middle_um, error_um : (G,) ndarray
        Middle of the interval by which the whole surface lies too far out, and its standard deviation.
    entering : (G,) ndarray
        Particles per µm of a layer outside its surface.
    owner : (N,) ndarray of int64
        Cell of each particle.
    depth_um : (N,) ndarray
        Depth of its centre in that cell; infinite where it is not known.
    """

    wrong: Floats
    middle_um: Floats
    error_um: Floats
    entering: Floats
    owner: NDArray[np.int64]
    depth_um: Floats

    @cached_property
    def shallow(self) -> NDArray[np.int64]:
        """Indices of the particles that may lie outside of the true cell."""
        reach = self.middle_um + REACH * np.sqrt(2) * self.error_um
        return np.flatnonzero(self.depth_um < reach[self.owner])

    def draw_inside(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw which particles lie in the true cell: the whole surface is shifted, and off at each place as much besides."""
        shallow, owner = self.shallow, self.owner[self.shallow]
        shift = self.middle_um + self.error_um * rng.standard_normal(len(self.wrong))
        place = self.error_um[owner] * rng.standard_normal(len(owner))
        inside = np.ones(len(self.owner), np.bool_)
        inside[shallow] = self.depth_um[shallow] > shift[owner] + place
        return inside

    def draw_entered(self, rng: np.random.Generator) -> Floats:
        """Draw how many particles a surface that lies too far in leaves outside."""
        shift = self.middle_um + self.error_um * rng.standard_normal(len(self.wrong))
        return rng.poisson(self.entering * np.maximum(-shift, 0.0)).astype(np.float64)

    def draw_right(self, count: Floats, volume: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Give the true cell of a wrong one a part of its particles, or more of them than it has."""
        wrong = rng.random(len(count)) < self.wrong
        share = np.maximum(np.sqrt(rng.random(len(count))), LEAST_SHARE)
        merged = rng.random(len(count)) < 0.5
        part = rng.binomial(count.astype(np.int64), share)
        more = count + rng.negative_binomial(count + 0.5, share)
        true = np.where(wrong, np.where(merged, part, more), count)
        ratio = np.where(count > 0, true / np.maximum(count, 1), 1.0)
        return true, volume * ratio


def cell_doubts(
    cells: pd.DataFrame, owner: NDArray[np.int64], particles: pd.DataFrame, per_um3: float
) -> CellDoubts:
    """Collect the doubts of a table of cells.

    Parameters
    ----------
    cells
        Final table with ``confidence``, `SHIFT_COLUMNS` and ``surface_area_um2``. A cell without them, as of imported labels, is
        taken as it is.
    owner : (N,) ndarray of int64
        Row of the cell of each particle.
    particles
        Table of these particles with ``membrane_gap_um`` and ``equivalent_diameter_um``.
    per_um3
        Particles per µm³ around cells.
    """
    confidence, low, high, area = (
        np.nan_to_num(column_or_nan(cells, name), nan=unknown)
        for name, unknown in (
            ("confidence", 1.0),
            (SHIFT_COLUMNS[0], 0.0),
            (SHIFT_COLUMNS[1], 0.0),
            ("surface_area_um2", 0.0),
        )
    )
    depth = (
        column_or_nan(particles, "membrane_gap_um") + column_or_nan(particles, "equivalent_diameter_um") / 2
    )
    depth = np.nan_to_num(depth, nan=np.inf)
    return CellDoubts(
        1 - confidence, (low + high) / 2, (high - low) / (2 * NORMAL), area * per_um3, owner, depth
    )
