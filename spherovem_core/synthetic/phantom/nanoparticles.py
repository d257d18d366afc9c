"""Nanoparticles: clusters of touching balls, in an endosome of a cell or in a cleft."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.tissue import Tissue

# A ball fits if it does so with a radius larger by this factor, in these directions. Level sets are distances to first
# order only, so the depth of its centre alone does not decide.
_SAFETY = 1.1
_DIRECTIONS = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)], float) - 1
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
_TRIES = 12
_ROUNDS_OUTSIDE, _ROUNDS_INSIDE = 6, 60


@dataclass(frozen=True)
class Nanoparticles:
    """Disjoint balls and the clusters they form.

    Attributes
    ----------
    centres_um : (N, 3) float64
    radii_um, intensities : (N,) float64
    clusters : (N,) int64
        Cluster of each ball, from 0.
    cells : (N,) int64
        Index of the cell of each ball, -1 outside cells.
    """

    centres_um: NDArray[np.float64]
    radii_um: NDArray[np.float64]
    intensities: NDArray[np.float64]
    clusters: NDArray[np.int64]
    cells: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.radii_um)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Nanoparticles:
        """Select balls."""
        return Nanoparticles(
            self.centres_um[rows],
            self.radii_um[rows],
            self.intensities[rows],
            self.clusters[rows],
            self.cells[rows],
        )


def place_nanoparticles(
    parameters: PhantomParameters,
    tissue: Tissue,
    lower_um: NDArray[np.float64],
    upper_um: NDArray[np.float64],
    target_um3: float,
    imaged: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Nanoparticles:
    """Fill a box with clusters until the balls centred in the imaged volume reach the target volume.

    Clusters outside cells are placed first. Both kinds may stay below their target where the tissue lacks room: no cleft
    wide enough for a ball, or hardly any cytoplasm. No ball lies in a nucleus, crosses a membrane or overlaps another.
    """
    placed = _empty()
    fraction = parameters.nanoparticle_extracellular_fraction
    goals = ((True, fraction * target_um3, _ROUNDS_OUTSIDE), (False, target_um3, _ROUNDS_INSIDE))
    for outside, goal, rounds in goals:
        for round_number in range(rounds):
            missing = goal - float(_centred_in(placed, imaged).sum())
            if missing <= 0:
                break
            generator = np.random.default_rng((parameters.seed, 0xA0, int(outside), round_number))
            # Few random places lie in a cleft, so try 30 times as many of them.
            tried = missing * (60 if outside else 2)
            grown = _grow_clusters(parameters, generator, lower_um, upper_um, tried)
            fitting = _fit(grown, tissue, outside=outside)
            placed = _disjoint(placed, fitting)
            total = np.cumsum(_centred_in(placed, imaged))
            placed = placed.take(np.arange(len(placed)) <= np.searchsorted(total, goal))
    return placed


def _empty() -> Nanoparticles:
    none = np.empty(0)
    return Nanoparticles(np.empty((0, 3)), none, none, none.astype(np.int64), none.astype(np.int64))


def _grow_clusters(
    parameters: PhantomParameters,
    generator: np.random.Generator,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    volume: float,
) -> Nanoparticles:
    """Grow clusters at random places, of about the given volume together."""
    mean = parameters.nanoparticle_cluster_size
    ball = np.pi / 6 * (parameters.nanoparticle_diameter_nm / 1000) ** 3
    count = min(int(np.ceil(volume / (ball * mean))) + 8, 20_000)
    sizes = np.minimum(generator.geometric(1 / mean, count), int(5 * mean) + 1)
    clusters = np.repeat(np.arange(count), sizes)
    spread = np.clip(generator.standard_normal(clusters.size), -2.5, 2.5)
    radii = parameters.nanoparticle_diameter_nm / 2000 * (1 + parameters.nanoparticle_diameter_cv * spread)
    offsets = np.zeros((clusters.size, 3))
    _aggregate(clusters, radii, generator.random((clusters.size, _TRIES, 4)), offsets)
    spread = generator.standard_normal(clusters.size)
    grey = parameters.nanoparticle_intensity + parameters.nanoparticle_intensity_sd * spread
    centres = generator.uniform(lower, upper, (count, 3))[clusters] + offsets
    return Nanoparticles(centres, radii, grey, clusters, np.full(clusters.size, -1))


@njit(cache=True, error_model="numpy")
def _aggregate(clusters, radii, random, offsets):  # type: ignore[no-untyped-def]
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
            length = (radii[other] + radii[n]) * (1.001 + 0.06 * u[3])
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


def _fit(grown: Nanoparticles, tissue: Tissue, *, outside: bool) -> Nanoparticles:
    """Keep the balls that lie fully in the cytoplasm of their cluster's cell, or fully outside all cells."""
    if len(grown) == 0:
        return grown
    located = tissue.locate_points(grown.centres_um)
    if outside:
        kept = grown.take(located.cell_depth_um < 0)
    else:
        first, home = np.unique(grown.clusters, return_index=True, return_inverse=True)[1:]
        homes = located.cell[first][home].astype(np.int64)
        inside = (located.cell == homes) & (located.cell_depth_um > 0) & (located.nucleus_depth_um < 0)
        kept = replace(grown, cells=homes).take(inside)
    surface = kept.centres_um[:, None] + _SAFETY * kept.radii_um[:, None, None] * _DIRECTIONS
    around = tissue.locate_points(surface.reshape(-1, 3))
    if outside:
        fits = around.cell_depth_um < 0
    else:
        fits = (around.cell_depth_um > 0) & (around.nucleus_depth_um < 0)
        fits &= around.cell == np.repeat(kept.cells, len(_DIRECTIONS))
    return kept.take(np.all(fits.reshape(-1, len(_DIRECTIONS)), axis=1))


def _disjoint(placed: Nanoparticles, added: Nanoparticles) -> Nanoparticles:
    """Append the added balls that overlap none before them."""
    offset = placed.clusters.max(initial=-1) + 1
    both = Nanoparticles(
        np.concatenate([placed.centres_um, added.centres_um]),
        np.concatenate([placed.radii_um, added.radii_um]),
        np.concatenate([placed.intensities, added.intensities]),
        np.concatenate([placed.clusters, added.clusters + offset]),
        np.concatenate([placed.cells, added.cells]),
    )
    if len(both) < 2:
        return both
    pairs = cKDTree(both.centres_um).query_pairs(2 * both.radii_um.max(), output_type="ndarray")
    i, j = pairs.T
    overlap = (
        np.linalg.norm(both.centres_um[i] - both.centres_um[j], axis=1) < both.radii_um[i] + both.radii_um[j]
    )
    keep = np.ones(len(both), bool)
    keep[np.maximum(i, j)[overlap]] = False
    return both.take(keep)


def _centred_in(
    particles: Nanoparticles, box: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Compute the volume of each ball centred in the box, 0 for the others."""
    inside = np.all((particles.centres_um > box[0]) & (particles.centres_um < box[1]), axis=1)
    return np.where(inside, 4 / 3 * np.pi * particles.radii_um**3, 0.0)


def volumes_inside(
    particles: Nanoparticles, lower_um: NDArray[np.float64], upper_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the volume in µm³ of the part of each ball inside a box.

    It is exact for balls that the box does not cut. For the others it comes from midpoint quadrature over 400 × 400
    chords, within 1e-3 of the volume of the ball.
    """
    volumes = 4 / 3 * np.pi * particles.radii_um**3
    reach = np.minimum(particles.centres_um - lower_um, upper_um - particles.centres_um).min(axis=1)
    for n in np.flatnonzero(reach < particles.radii_um):
        centre, radius = particles.centres_um[n], particles.radii_um[n]
        t = (np.arange(400) + 0.5) / 200 - 1
        z, y = centre[0] + radius * t[:, None], centre[1] + radius * t[None, :]
        half = radius * np.sqrt(np.maximum(1 - t[:, None] ** 2 - t[None, :] ** 2, 0))
        chord = np.minimum(centre[2] + half, upper_um[2]) - np.maximum(centre[2] - half, lower_um[2])
        inside = (z > lower_um[0]) & (z < upper_um[0]) & (y > lower_um[1]) & (y < upper_um[1])
        volumes[n] = np.sum(np.where(inside, np.maximum(chord, 0), 0)) * (radius / 200) ** 2
    return volumes
