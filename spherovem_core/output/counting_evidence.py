"""Evidence of an acquisition on particles that are not in its table: other objects that may be some, and its border."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, values_at
from spherovem_core.label_statistics import BOX_COLUMNS
from spherovem_core.output.unexplained_bodies import Bodies, no_bodies, unexplained_bodies
from spherovem_core.spacing import NM_PER_UM, SpacingNm

Floats = NDArray[np.float64]

MOST_AT_BORDER = 2.0
"""Density of particles at the border, relative to that elsewhere, as which they count at most."""


@dataclass(frozen=True)
class CountingEvidence:
    """Evidence on particles that were missed; by default none.

    Attributes
    ----------
    bodies
        Other objects that may be particles.
    body_cells : (M,) ndarray of int64
        Cell in which each lies; 0 for none.
    explained
        Numbers of single particles and of agglomerates of several.
    sliver_um
        Height of the cap of a particle, cut off by the border, that can just be found; 0 without a detection limit.
    slivers
        Particles of which the border leaves less than that cap, expected in the acquisition per particle.
    at_border
        That number, relative to what it is where particles lie at the border as densely as elsewhere.
    """

    bodies: Bodies = field(default_factory=no_bodies)
    body_cells: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    explained: tuple[int, int] = (0, 0)
    sliver_um: float = 0.0
    slivers: float = 0.0
    at_border: float = 1.0


def counting_evidence(
    others: pd.DataFrame,
    particles: pd.DataFrame,
    spacing_nm: SpacingNm,
    shape: Sequence[int],
    detection_limit_nm: float | None,
    cells_at: Callable[[pd.DataFrame], NDArray[Any]] | None = None,
) -> CountingEvidence:
    """Collect the evidence of an acquisition.

    Parameters
    ----------
    others
        Table of other objects.
    particles
        Final table of particles; those marked ``excluded`` show what particles look like, too.
    spacing_nm, shape
        Voxel size and voxels of the image.
    detection_limit_nm
        Diameter of the smallest particle that is found.
    cells_at
        Gives the label of the cell, 0 for none, at the centroid of each row of a part of `others`; None: all lie in none.
    """
    sizes: NDArray[np.int64] = np.zeros(0, np.int64)
    if "agglomerate" in particles:
        sizes = np.asarray(particles.groupby("agglomerate").size(), np.int64)
    explained = int((sizes == 1).sum()), int((sizes > 1).sum())
    bodies = unexplained_bodies(others, particles, spacing_nm, sizes)
    cells: NDArray[np.int64] = np.zeros(len(bodies), np.int64)
    if cells_at is not None and len(bodies):
        cells = np.asarray(cells_at(others.set_index("label").loc[bodies.label]), np.int64)
    width = float(particles["equivalent_diameter_um"].median()) if len(particles) else 0.0
    height = cap_height_um(width, (detection_limit_nm or 0.0) / NM_PER_UM)
    slivers = slivers_per_particle(particles, shape, height / max(width, 1e-9))
    sides = np.array(shape) * np.asarray(spacing_nm) / NM_PER_UM
    layer = float((2 * height / sides).sum())
    at_border = min(slivers / layer, MOST_AT_BORDER) if layer > 0 else 1.0
    return CountingEvidence(bodies, cells, explained, height, slivers, at_border)


def slivers_per_particle(particles: pd.DataFrame, shape: Sequence[int], height: float) -> float:
    """Estimate how many particles leave too little at the border, per particle, from those found that the border cuts.

    A plane cuts balls at all heights alike. Of those of which at most a cap of the fraction `height` of the diameter is left,
    there are height / (1 - height) times as many as of the others.
    """
    if not len(particles) or not set(BOX_COLUMNS) <= set(particles):
        return 0.0
    ends = particles[list(BOX_COLUMNS)].to_numpy(np.int64)
    cut = ((ends[:, :3] <= 0) | (ends[:, 3:] >= np.array(shape))).any(axis=1)
    return float((cut.sum() + 0.5) / len(particles) * height / (1 - height))


def cap_height_um(diameter_um: float, limit_um: float) -> float:
    """Compute the height of the cap of a ball that has the volume of a smaller ball: at most half of its diameter.

    A cap of height h of a ball of radius R has the volume pi h² (3 R - h) / 3.
    """
    radius = diameter_um / 2
    heights = np.linspace(0.0, radius, 201)
    volumes = heights**2 * (3 * radius - heights)
    return float(np.interp(limit_um**3 / 2, volumes, heights)) if diameter_um > 0 else 0.0


def cut_ratios(cells: pd.DataFrame, evidence: CountingEvidence) -> Floats:
    """Return the slivers per particle of each cell, from the part of its surface that the border cuts off."""
    if not {"truncated_fraction", "surface_area_um2"} <= set(cells):
        return np.zeros(len(cells))
    cut, area, volume = (
        np.nan_to_num(cells[name].to_numpy(np.float64))
        for name in ("truncated_fraction", "surface_area_um2", "volume_um3")
    )
    area = area * cut / np.maximum(1 - cut, 0.05)
    layer = area * evidence.sliver_um / np.maximum(volume, 1e-9)
    return np.asarray(np.minimum(evidence.at_border * layer, 1.0))


def number_of_rows(own: pd.DataFrame, counted: pd.DataFrame) -> Floats:
    """Return how many particles each row stands for: a clump that is not told apart for as many as its volume amounts to."""
    if "kind" not in own or not (own["kind"] == "clump").any():
        return np.ones(len(own))
    single = counted.loc[counted["kind"] != "clump", "volume_um3"]
    if single.empty:
        return np.ones(len(own))
    several = own["volume_um3"].to_numpy(np.float64) / float(single.median())
    return np.where(own["kind"] == "clump", np.maximum(several, 1.0), 1.0)


def labels_at(
    labels: ArrayLike, spacing_nm: SpacingNm, origin_nm: SpacingNm, centroids_um: Floats
) -> NDArray[np.int64]:
    """Read the labels at centroids, chunk by chunk.

    Parameters
    ----------
    labels : (Z, Y, X) array-like
        Labels of the cells.
    spacing_nm, origin_nm
        Their voxel size, and the position of the centre of their first voxel in the coordinates of the centroids.
    centroids_um : (M, 3) ndarray
        Places; those beyond the labels count to their border.
    """
    at = np.rint((centroids_um * NM_PER_UM - np.array(origin_nm)) / np.array(spacing_nm)).astype(np.int64)
    at = np.clip(at, 0, np.array(labels.shape) - 1)
    return values_at(labels, at).astype(np.int64)
