"""Label volumes for the tests of the spatial stage."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spherovem_core.rounding import round_to
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial import distance_step_um, distance_to_nucleus

Labels = NDArray[np.uint32]
SPACING = (50.0, 10.0, 10.0)


def random_tissue(shape: tuple[int, int, int], seed: int, cells: int = 9) -> tuple[Labels, Labels]:
    """Make cells (Voronoi regions with gaps, some in two pieces) and nuclei that cross their borders."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * np.array(SPACING)
    extent = np.array(shape) * np.array(SPACING)
    seeds = rng.uniform(0, 1, (2 * cells, 3)) * extent
    names = rng.permutation(np.arange(2 * cells) // 2 * 7 + 3)
    near, which = cKDTree(seeds).query(grid, 2)
    found = names[which[..., 0]].astype(np.uint32)
    found[near[..., 1] - near[..., 0] < 15] = 0
    nuclei = np.zeros(shape, np.uint32)
    for label, centre in enumerate(rng.uniform(0, 1, (cells // 2, 3)) * extent, 1):
        radius = rng.uniform(20, 90)
        nuclei[np.linalg.norm(grid - centre, axis=-1) < radius] = label
    return found, nuclei


def rounded_distance(nuclei: Labels, cells: Labels, spacing_nm: SpacingNm = SPACING) -> NDArray[np.float32]:
    """Measure the distance in µm as the map of the stage holds it."""
    return round_to(distance_to_nucleus(nuclei, cells, spacing_nm), distance_step_um(spacing_nm))


def brute_force_distance(nuclei: Labels, cells: Labels, spacing_nm: SpacingNm) -> NDArray[np.float64]:
    """Measure the distance in µm by comparing every voxel of a cell with every nucleus voxel in it."""
    distance = np.full(cells.shape, np.nan)
    for label in np.unique(cells[cells > 0]):
        inside = cells == label
        targets = np.argwhere(inside & (nuclei > 0)) * np.array(spacing_nm)
        if len(targets):
            points = np.argwhere(inside) * np.array(spacing_nm)
            gaps = np.linalg.norm(points[:, None] - targets[None], axis=-1)
            distance[inside] = gaps.min(axis=1) / 1000
    return distance
