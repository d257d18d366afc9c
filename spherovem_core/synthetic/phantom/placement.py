"""Placement of balls in the tissue: clusters of them, in cells, in clefts, on membranes or in resin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import special

from spherovem_core.synthetic.phantom.balls import Balls, Place, join, without_overlap
from spherovem_core.synthetic.phantom.tissue import Located, Tissue

# A ball fits if it does so with a radius larger by this factor, in these directions. Level sets are distances to first
# order only, so the depth of its centre alone does not decide.
_SAFETY = 1.1
_DIRECTIONS = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)], float) - 1
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
_TRIES = 12
# Rounds of random places per place of a ball, and places tried per ball that is missing: few lie in a cleft or on a membrane.
_ROUNDS = {Place.CLEFT: 6, Place.MEMBRANE: 12, Place.RESIN: 12, Place.CYTOPLASM: 60}
_TRIED = {Place.CLEFT: 60, Place.MEMBRANE: 20, Place.RESIN: 6, Place.CYTOPLASM: 2}

Box = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class BallKind:
    """Size, grey value and whereabouts of one kind of ball.

    Attributes
    ----------
    number : int
        Number of the kind.
    key : tuple of int
        Seed of the random numbers.
    diameter_um, diameter_cv : float
        Mean and relative standard deviation of the diameters.
    diameter_range_um : (low, high), optional
        Limits of diameters that are even on a logarithmic scale, in place of mean and deviation.
    cluster_size, gap : float
        Mean number of balls in a cluster, and widest gap between two relative to the sum of their radii.
    clearance_um : float
        Distance that a ball in the cytoplasm keeps from membranes.
    fractions : mapping of Place to float
        Fraction of the volume of balls in each place other than the cytoplasm.
    """

    number: int
    key: tuple[int, ...]
    volume_fraction: float
    diameter_um: float
    diameter_cv: float = 0.0
    diameter_range_um: tuple[float, float] | None = None
    intensity: float = 220.0
    intensity_sd: float = 0.0
    cluster_size: float = 1.0
    gap: float = 0.06
    clearance_um: float = 0.0
    fractions: Mapping[Place, float] = field(default_factory=dict)

    @property
    def largest_um(self) -> float:
        """Diameter that no ball exceeds by more than a few standard deviations."""
        return self.diameter_range_um[1] if self.diameter_range_um else self.diameter_um

    @property
    def mean_volume_um3(self) -> float:
        """Mean volume of a ball, without its spread about the mean diameter."""
        if self.diameter_range_um is None or self.diameter_range_um[0] == self.diameter_range_um[1]:
            return float(np.pi / 6 * self.largest_um**3)
        low, high = self.diameter_range_um
        return float(np.pi / 6 * (high**3 - low**3) / (3 * np.log(high / low)))

    def radii(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn normally distributed numbers into radii in µm."""
        if self.diameter_range_um is None:
            return self.diameter_um / 2 * (1 + self.diameter_cv * np.clip(normal, -2.5, 2.5))
        low, high = self.diameter_range_um
        return np.asarray(low * (high / low) ** special.ndtr(normal) / 2)


def place_balls(
    kind: BallKind, tissue: Tissue, lower_um: NDArray[np.float64], upper_um: NDArray[np.float64],
    imaged: Box, occupied: Balls,
) -> Balls:  # fmt: skip
    """Fill a box with clusters until the balls centred in the imaged volume reach their fraction of its volume.

    Each place may stay below its target where the tissue lacks room: no cleft wide enough for a ball, or hardly any
    cytoplasm. No ball overlaps another, lies in a nucleus or, other than those on membranes, crosses a membrane.

    Parameters
    ----------
    lower_um, upper_um
        Box to fill.
    imaged
        Lower and upper corner of the imaged volume.
    occupied
        Balls of other kinds, which these must not overlap.

    Returns
    -------
    Balls
    """
    placed = Balls.none()
    target = kind.volume_fraction * float(np.prod(imaged[1] - imaged[0]))
    elsewhere = sum(kind.fractions.values())
    goal = 0.0
    for place, fraction in (*kind.fractions.items(), (Place.CYTOPLASM, 1 - elsewhere)):
        goal = target if place is Place.CYTOPLASM else goal + fraction * target
        for round_number in range(_ROUNDS[place]):
            missing = goal - float(placed.volumes_centred_in(imaged).sum())
            if missing <= 0:
                break
            generator = np.random.default_rng((*kind.key, int(place), round_number))
            grown = _grow_clusters(kind, generator, lower_um, upper_um, missing * _TRIED[place])
            fitting = _fit(grown, tissue, place, kind.clearance_um)
            placed = _added(occupied, placed, fitting)
            total = np.cumsum(placed.volumes_centred_in(imaged))
            placed = placed.take(np.arange(len(placed)) <= np.searchsorted(total, goal))
    return placed


def _added(occupied: Balls, placed: Balls, fitting: Balls) -> Balls:
    """Append the balls that overlap none before them."""
    both = join(placed, fitting)
    keep = without_overlap(join(occupied, both))[len(occupied) :]
    return both.take(keep)


def _grow_clusters(
    kind: BallKind,
    generator: np.random.Generator,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    volume: float,
) -> Balls:
    """Grow clusters at random places, of about the given volume together."""
    mean = kind.cluster_size
    count = min(int(np.ceil(volume / (kind.mean_volume_um3 * mean))) + 8, 20_000)
    sizes = np.minimum(generator.geometric(1 / mean, count), int(5 * mean) + 1)
    clusters = np.repeat(np.arange(count), sizes)
    radii = kind.radii(generator.standard_normal(clusters.size))
    offsets = np.zeros((clusters.size, 3))
    _aggregate(clusters, radii, generator.random((clusters.size, _TRIES, 4)), kind.gap, offsets)
    grey = kind.intensity + kind.intensity_sd * generator.standard_normal(clusters.size)
    centres = generator.uniform(lower, upper, (count, 3))[clusters] + offsets
    numbers = np.full(clusters.size, kind.number)
    return Balls(centres, radii, grey, clusters, np.full(clusters.size, -1), numbers, np.zeros_like(numbers))


@njit(cache=True, error_model="numpy")
def _aggregate(clusters, radii, random, gap, offsets):  # type: ignore[no-untyped-def]
    """Let each ball touch an earlier one of its cluster, at the try nearest to the first ball."""
    first = 0
    for n in range(1, clusters.size):
        if clusters[n] != clusters[first]:
            first = n
            continue
        shortest = np.inf
        spot = np.zeros(3)
        for u in random[n]:
            other = first + int(u[0] * (n - first))
            length = (radii[other] + radii[n]) * (1.001 + gap * u[3])
            height = 2 * u[1] - 1
            across = np.sqrt(1 - height * height)
            candidate = offsets[other] + length * np.array(
                [height, across * np.cos(2 * np.pi * u[2]), across * np.sin(2 * np.pi * u[2])]
            )
            away = np.sum(candidate**2)
            if away >= shortest:
                continue
            free = True
            for k in range(first, n):
                if np.sum((candidate - offsets[k]) ** 2) < (radii[k] + radii[n]) ** 2:
                    free = False
                    break
            if free:
                shortest = away
                spot = candidate
        # Without room it stays at the first ball, where it is dropped as overlapping.
        offsets[n] = spot


def _fit(grown: Balls, tissue: Tissue, place: Place, clearance_um: float) -> Balls:
    """Keep the balls that lie fully in their place: the cytoplasm of their cluster's cell, for one."""
    if len(grown) == 0:
        return grown
    located = tissue.locate_points(grown.centres_um)
    kept = replace(grown, places=np.full(len(grown), int(place)))
    if place is Place.CYTOPLASM:
        first, home = np.unique(grown.clusters, return_index=True, return_inverse=True)[1:]
        homes = located.cell[first][home].astype(np.int64)
        inside = (located.cell == homes) & (located.cell_depth_um > 0) & (located.nucleus_depth_um < 0)
        kept = replace(kept, cells=homes).take(inside)
    elif place is Place.MEMBRANE:
        centred = np.abs(located.cell_depth_um) < 0.3 * kept.radii_um
        kept = replace(kept, cells=np.where(located.cell_depth_um > 0, located.cell, -1)).take(centred)
    else:
        kept = kept.take(located.cell_depth_um < 0)
    surface = kept.centres_um[:, None] + (_SAFETY * kept.radii_um + clearance_um)[:, None, None] * _DIRECTIONS
    around = tissue.locate_points(surface.reshape(-1, 3))
    fits = _belongs(around, np.repeat(kept.cells, len(_DIRECTIONS)), place)
    return kept.take(np.all(fits.reshape(-1, len(_DIRECTIONS)), axis=1))


def _belongs(around: Located, cells: NDArray[np.int64], place: Place) -> NDArray[np.bool_]:
    """Mark points on the surfaces of balls that lie where the balls may."""
    if place is Place.CYTOPLASM:
        inside = (around.cell_depth_um > 0) & (around.nucleus_depth_um < 0)
        return np.asarray(inside & (around.cell == cells))
    if place is Place.RESIN:
        return np.asarray(around.outside_um > 0)
    in_specimen = around.outside_um < 0
    if place is Place.MEMBRANE:
        return np.asarray(in_specimen & (around.nucleus_depth_um < 0))
    return np.asarray(in_specimen & (around.cell_depth_um < 0))
