"""Minkowski-Bouligand dimension of a surface, from the growth of the tube around it."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spherovem_core.shape.surface import Surface

RADII = 12
# Lattice side over the smallest radius of an octave; 0.75 costs twice as much and changes dimensions by less than 0.01.
LATTICE = 1.0


@dataclass(frozen=True)
class FractalFit:
    """Result of a fit of the tube's growth.

    Attributes
    ----------
    dimension
        2 for a smooth surface, up to 3 for one that fills space; NaN where no range of radii could be fitted.
    r2
        Coefficient of determination of the straight line.
    low_nm, high_nm
        Smallest and largest tube radius of the fit.
    """

    dimension: float
    r2: float
    low_nm: float
    high_nm: float


NO_FIT = FractalFit(float("nan"), float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Domain:
    """Box in nm in which tube volume counts; it ends only at the borders of the volume that cut a label."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def fit_tube_scaling(
    surface: Surface, spread_nm: float, radii_nm: tuple[float, float], total_curvature: float, domain: Domain
) -> FractalFit:
    """Fit ``log V(r) = (3 - D) log r + c`` to the volume of the points within r of a surface.

    A smooth closed surface has ``V(r) = 2 A r + (2/3) r³ ∫K`` (Weyl's tube formula). The second term bends the line and would
    give a dimension below 2 for r near the object's size. It follows from the total Gaussian curvature and is subtracted
    before the fit; the excess of a rough surface remains.

    Parameters
    ----------
    surface
        Points spaced by `spread_nm` or less.
    spread_nm
        Their spacing; a distance to the nearest point is corrected for its component along the surface.
    radii_nm
        Smallest and largest tube radius. The surface was smoothed below the first; beyond the second the tube follows the
        object's outline instead of its surface.
    total_curvature
        ``∫K dA`` over the part of the surface inside the domain.
    domain
        The box in which tube volume counts.

    References
    ----------
    Mandelbrot, The Fractal Geometry of Nature, 1982; Gray, Tubes, 2004.
    """
    low, high = radii_nm
    radii = np.geomspace(low, high, RADII)
    volume = tube_volumes(surface, radii, spread_nm, domain) - 2 / 3 * radii**3 * total_curvature
    if not np.all(volume > 0):
        return FractalFit(np.nan, np.nan, low, high)
    x, y = np.log(radii), np.log(volume)
    x, y = x - x.mean(), y - y.mean()
    slope = float((x * y).sum() / (x * x).sum())
    left = float(((y - slope * x) ** 2).sum())
    return FractalFit(3 - slope, 1 - left / float((y * y).sum()), low, high)


def tube_volumes(
    surface: Surface, radii: NDArray[np.float64], spread: float, domain: Domain
) -> NDArray[np.float64]:
    """Measure the volume within each of the rising radii of a surface.

    Each octave of radii has a lattice as wide as its smallest radius, so that it costs a quarter of the octave before it.
    """
    volumes = np.empty(len(radii))
    columns = surface.position.T
    bounds = np.array([[column.min() for column in columns], [column.max() for column in columns]])
    octaves = np.maximum(np.ceil(np.log2(radii / radii[0]) - 1e-9).astype(int) - 1, 0)
    for octave in np.unique(octaves):
        here = octaves == octave
        # A lattice twice as wide needs a quarter of the points; half of them are safe on rough surfaces too.
        thinned = slice(None, None, 2 ** int(octave))
        position, normal = surface.position[thinned], surface.normal[thinned]
        side = LATTICE * float(radii[0]) * 2 ** int(octave)
        volumes[here] = _octave_volumes(position, normal, bounds, radii[here], side, spread, domain)
    return volumes


def _octave_volumes(
    position: NDArray[np.float64],
    normal: NDArray[np.float64],
    bounds: NDArray[np.float64],
    radii: NDArray[np.float64],
    side: float,
    spread: float,
    domain: Domain,
) -> NDArray[np.float64]:
    reach = radii[-1] + side
    low = np.maximum(bounds[0] - reach, domain.low)
    high = np.minimum(bounds[1] + reach, domain.high)
    shape = np.maximum(1, np.ceil((high - low) / side)).astype(np.int64)
    # Sites sit in the middle of equal cells, so that a border of the domain falls between two of them.
    cells = (high - low) / shape
    points = (position - (low + cells / 2)).astype(np.float32)
    counts = _measure_tube(
        points,
        np.ascontiguousarray(normal, np.float32),
        tuple(cells.astype(np.float32).tolist()),
        tuple(shape.tolist()),
        radii,
        np.float32(reach**2),
        max(spread, side / 2) ** 2,
    )
    volumes: NDArray[np.float64] = counts * cells.prod()
    return volumes


@numba.njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _measure_tube(
    position: Any, normal: Any, cells: Any, shape: Any, radii: Any, square_reach: Any, square_spread: Any
) -> Any:
    """Count lattice sites within each radius of the points; runs on the CPU.

    The nearest point of each site spreads to its neighbours as long as that shortens a distance.
    """
    depth, height, width = shape
    nearest = np.full(depth * height * width, -1, np.int32)
    square = np.full(len(nearest), square_reach, np.float32)
    queued = np.zeros(len(nearest), np.bool_)
    queue = np.empty(len(nearest) + 1, np.int32)
    head, tail = 0, _seed(position, cells, shape, nearest, square, queued, queue)
    cz, cy, cx = cells
    while head != tail:
        site = queue[head]
        head = head + 1 if head + 1 < len(queue) else 0
        queued[site] = False
        p = nearest[site]
        z0, rest = divmod(site, height * width)
        y0, x0 = divmod(rest, width)
        pz, py, px = position[p]
        for z in range(max(z0 - 1, 0), min(z0 + 2, depth)):
            dz = (pz - np.float32(z) * cz) ** 2
            for y in range(max(y0 - 1, 0), min(y0 + 2, height)):
                dzy = dz + (py - np.float32(y) * cy) ** 2
                for x in range(max(x0 - 1, 0), min(x0 + 2, width)):
                    d = np.float32(dzy + (px - np.float32(x) * cx) ** 2)
                    other = (z * height + y) * width + x
                    if d < square[other]:
                        square[other], nearest[other] = d, p
                        if not queued[other]:
                            queued[other] = True
                            queue[tail] = other
                            tail = tail + 1 if tail + 1 < len(queue) else 0
    return _count_within(position, normal, cells, shape, nearest, square, radii, square_spread)


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _seed(position: Any, cells: Any, shape: Any, nearest: Any, square: Any, queued: Any, queue: Any) -> Any:
    """Offer each point to the eight sites around it, and return the number of sites queued."""
    depth, height, width = shape
    cz, cy, cx = cells
    tail = 0
    for p in range(len(position)):
        pz, py, px = position[p]
        z0, y0, x0 = int(np.floor(pz / cz)), int(np.floor(py / cy)), int(np.floor(px / cx))
        for z in range(max(z0, 0), min(z0 + 2, depth)):
            dz = (pz - np.float32(z) * cz) ** 2
            for y in range(max(y0, 0), min(y0 + 2, height)):
                dzy = dz + (py - np.float32(y) * cy) ** 2
                for x in range(max(x0, 0), min(x0 + 2, width)):
                    d = np.float32(dzy + (px - np.float32(x) * cx) ** 2)
                    site = (z * height + y) * width + x
                    if d < square[site]:
                        square[site], nearest[site] = d, p
                        if not queued[site]:
                            queued[site] = True
                            queue[tail] = site
                            tail += 1
    return tail


@numba.njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _count_within(
    position: Any,
    normal: Any,
    cells: Any,
    shape: Any,
    nearest: Any,
    square: Any,
    radii: Any,
    square_spread: Any,
) -> Any:
    """Count sites within each radius; a site within half a cell of the radius counts in part."""
    counts = np.zeros(len(radii))
    cz, cy, cx = cells
    cell = (cz + cy + cx) / 3
    _, height, width = shape
    for site in range(len(nearest)):
        p = nearest[site]
        if p < 0:
            continue
        z, rest = divmod(site, height * width)
        y, x = divmod(rest, width)
        up = (z * cz - position[p, 0]) * normal[p, 0]
        up += (y * cy - position[p, 1]) * normal[p, 1] + (x * cx - position[p, 2]) * normal[p, 2]
        along = max(square[site] - up * up, 0.0)
        distance = np.sqrt(max(square[site] - min(along, square_spread), 0.0))
        for r in range(len(radii) - 1, -1, -1):
            part = (radii[r] - distance) / cell + 0.5
            if part <= 0:
                break
            counts[r] += min(part, 1.0)
    return counts
