"""Particles at random in cells, and in clusters: made by painting and rejecting, with no code of the stage spatial."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spherovem_core.spacing import SpacingNm

Labels = NDArray[np.uint32]
Vector = NDArray[np.float64]

SHAPE = (60, 120, 120)
SPACING: SpacingNm = (100.0, 50.0, 50.0)
MOST_TRIES = 300


def ball_cells(shape: tuple[int, int, int] = SHAPE, spacing_nm: SpacingNm = SPACING) -> tuple[Labels, Labels]:
    """Make eight balls of different sizes with nuclei beside their middle."""
    grid, extent = _grid(shape, spacing_nm)
    cells, nuclei = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    rng = np.random.default_rng(0)
    side = extent / 2
    for label, corner in enumerate(np.ndindex(2, 2, 2), 1):
        centre = (np.array(corner) + 0.5) * side
        radius = rng.uniform(0.4, 0.47) * side.min()
        cells[_within(grid, centre, radius)] = label
        nuclei[_within(grid, centre + rng.uniform(-0.08, 0.08, 3) * side, 0.4 * radius)] = label
    return cells, nuclei


def packed_cells(
    shape: tuple[int, int, int] = SHAPE, spacing_nm: SpacingNm = SPACING
) -> tuple[Labels, Labels]:
    """Make eight cells that fill the volume up to its border, one voxel or more apart; two have no nucleus."""
    grid, extent = _grid(shape, spacing_nm)
    rng = np.random.default_rng(1)
    seeds = (np.array(list(np.ndindex(2, 2, 2))) + rng.uniform(0.3, 0.7, (8, 3))) * extent / 2
    points = np.stack(np.broadcast_arrays(*grid), axis=-1).reshape(-1, 3)
    near, which = cKDTree(seeds).query(points, 2)
    cells = np.where(near[:, 1] - near[:, 0] > 2 * max(spacing_nm), which[:, 0] + 1, 0).astype(np.uint32)
    nuclei = np.where((near[:, 0] < 0.12 * extent.min()) & (which[:, 0] > 1), cells, 0).astype(np.uint32)
    return cells.reshape(shape), nuclei.reshape(shape)


def rod_cells(shape: tuple[int, int, int] = SHAPE, spacing_nm: SpacingNm = SPACING) -> tuple[Labels, Labels]:
    """Make four rods along z that both borders cut, with long nuclei."""
    grid, extent = _grid(shape, spacing_nm)
    cells, nuclei = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for label, corner in enumerate(np.ndindex(2, 2), 1):
        y, x = (np.array(corner) + 0.5) * extent[1:] / 2
        across = (grid[1] - y) ** 2 + (grid[2] - x) ** 2 + 0 * grid[0]
        cells[across < (0.22 * extent[1]) ** 2] = label
        nuclei[across / (0.08 * extent[1]) ** 2 + ((grid[0] / extent[0] - 0.5) / 0.3) ** 2 < 1] = label
    return cells, nuclei


GEOMETRIES: dict[str, Callable[[], tuple[Labels, Labels]]] = {
    "balls": ball_cells,
    "packed": packed_cells,
    "rods": rod_cells,
}


def paint_particles(
    cells: Labels,
    nuclei: Labels,
    spacing_nm: SpacingNm,
    diameter_nm: float,
    count: int,
    rng: np.random.Generator,
    *,
    centres: Callable[[], Vector] | None = None,
    cut: bool = True,
    loads: Vector | None = None,
) -> Labels:
    """Paint balls that lie whole in the cytoplasm of one cell and have no voxel in common.

    Parameters
    ----------
    diameter_nm
        0 paints single voxels.
    centres
        Draws a centre in nm; None draws it anywhere in the volume, and a little beyond.
    cut
        False refuses balls that the border of the volume would cut.
    loads
        Probability that a cell takes a particle, by label.
    """
    spacing, shape = np.array(spacing_nm), np.array(cells.shape)
    particles = np.zeros(cells.shape, np.uint32)
    radius = diameter_nm / 2
    painted = 0
    for _ in range(count * MOST_TRIES):
        if painted == count:
            break
        centre = (
            rng.uniform(-0.5 * spacing - radius, (shape - 0.5) * spacing + radius)
            if centres is None
            else centres()
        )
        if diameter_nm == 0:
            low = np.rint(centre / spacing).astype(int)
            high = low + 1
        else:
            low = np.ceil((centre - radius) / spacing).astype(int)
            high = np.floor((centre + radius) / spacing).astype(int) + 1
        if not cut and ((low < 1).any() or (high > shape - 1).any()):
            continue
        low, high = np.maximum(low, 0), np.minimum(high, shape)
        if (low >= high).any():
            continue
        region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        z, y, x = np.ix_(
            *(np.arange(a, b) * step - at for a, b, step, at in zip(low, high, spacing, centre, strict=True))
        )
        ball = np.ones(tuple(high - low), bool) if diameter_nm == 0 else z**2 + y**2 + x**2 <= radius**2
        if not ball.any():
            continue
        label = cells[region][ball][0]
        if loads is not None and rng.random() > loads[label]:
            continue
        whole = label > 0 and (cells[region][ball] == label).all() and not nuclei[region][ball].any()
        if whole and not particles[region][ball].any():
            painted += 1
            particles[region][ball] = painted
    return particles


def clustered_centres(
    cells: Labels,
    nuclei: Labels,
    spacing_nm: SpacingNm,
    clusters: int,
    scatter: Callable[[np.random.Generator], Vector],
    rng: np.random.Generator,
) -> Callable[[], Vector]:
    """Choose parents at random in the cytoplasm; each draw is one of them plus its scatter in nm."""
    places = np.argwhere((cells > 0) & (nuclei == 0)) * np.array(spacing_nm)
    parents = places[rng.choice(len(places), clusters, replace=False)]
    return lambda: parents[rng.integers(clusters)] + scatter(rng)


def thomas(scale_nm: float) -> Callable[[np.random.Generator], Vector]:
    """Scatter with a normal distribution of this standard deviation along each axis."""
    return lambda rng: rng.normal(0, scale_nm, 3)


def matern(radius_nm: float) -> Callable[[np.random.Generator], Vector]:
    """Scatter evenly in a ball."""

    def scatter(rng: np.random.Generator) -> Vector:
        direction = rng.normal(size=3)
        return np.asarray(direction / np.linalg.norm(direction) * radius_nm * np.cbrt(rng.random()))

    return scatter


def _grid(shape: tuple[int, int, int], spacing_nm: SpacingNm) -> tuple[tuple[Vector, ...], Vector]:
    grid = np.ix_(*(np.arange(n) * step for n, step in zip(shape, spacing_nm, strict=True)))
    return grid, np.array(shape) * np.array(spacing_nm)


def _within(grid: tuple[Vector, ...], centre: Vector, radius: float) -> NDArray[np.bool_]:
    z, y, x = (axis - at for axis, at in zip(grid, centre, strict=True))
    return np.asarray(z**2 + y**2 + x**2 < radius**2)
