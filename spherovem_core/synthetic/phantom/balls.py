"""Balls: nanoparticles and other round bodies."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


class Place(IntEnum):
    """Part of the tissue that a ball lies in."""

    CYTOPLASM = 0
    CLEFT = 1
    MEMBRANE = 2
    RESIN = 3


@dataclass(frozen=True)
class Balls:
    """Disjoint balls and the clusters they form.

    Attributes
    ----------
    centres_um : (N, 3) float64
    radii_um, intensities : (N,) float64
    clusters : (N,) int64
        Cluster of each ball, from 0.
    cells : (N,) int64
        Index of the cell of each ball, -1 outside cells.
    kinds : (N,) int64
        Number of the kind: the population of a nanoparticle, from 1.
    places : (N,) int64
        `Place` of each ball.
    """

    centres_um: NDArray[np.float64]
    radii_um: NDArray[np.float64]
    intensities: NDArray[np.float64]
    clusters: NDArray[np.int64]
    cells: NDArray[np.int64]
    kinds: NDArray[np.int64]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.radii_um)

    @classmethod
    def none(cls) -> Balls:
        """Make an empty set of balls."""
        reals, numbers = np.empty(0), np.empty(0, np.int64)
        return cls(np.empty((0, 3)), reals, reals, numbers, numbers, numbers, numbers)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Balls:
        """Select balls."""
        return Balls(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def near(self, z_um: float, reach_um: float) -> NDArray[np.int64]:
        """Find the balls whose surface comes within reach of a plane."""
        return np.flatnonzero(np.abs(self.centres_um[:, 0] - z_um) < self.radii_um + reach_um)

    def volumes_centred_in(self, box: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Compute the volume in µm³ of each ball centred in the box, 0 for the others."""
        inside = np.all((self.centres_um > box[0]) & (self.centres_um < box[1]), axis=1)
        return np.where(inside, 4 / 3 * np.pi * self.radii_um**3, 0.0)


def join(first: Balls, second: Balls) -> Balls:
    """Append balls; their clusters get numbers of their own."""
    offset = first.clusters.max(initial=-1) + 1
    parts = {f.name: [getattr(first, f.name), getattr(second, f.name)] for f in fields(Balls)}
    parts["clusters"][1] = parts["clusters"][1] + offset
    return Balls(**{name: np.concatenate(pair) for name, pair in parts.items()})


def without_overlap(balls: Balls) -> NDArray[np.bool_]:
    """Mark the balls that overlap none before them."""
    keep = np.ones(len(balls), bool)
    if len(balls) < 2:
        return keep
    pairs = cKDTree(balls.centres_um).query_pairs(2 * balls.radii_um.max(), output_type="ndarray")
    i, j = pairs.T
    overlap = (
        np.linalg.norm(balls.centres_um[i] - balls.centres_um[j], axis=1)
        < balls.radii_um[i] + balls.radii_um[j]
    )
    keep[np.maximum(i, j)[overlap]] = False
    return keep


def volumes_inside(
    balls: Balls, lower_um: NDArray[np.float64], upper_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the volume in µm³ of the part of each ball inside a box.

    It is exact for balls that the box does not cut. For the others it comes from midpoint quadrature over 400 × 400
    chords, within 1e-3 of the volume of the ball.
    """
    volumes = 4 / 3 * np.pi * balls.radii_um**3
    reach = np.minimum(balls.centres_um - lower_um, upper_um - balls.centres_um).min(axis=1)
    for n in np.flatnonzero(reach < balls.radii_um):
        centre, radius = balls.centres_um[n], balls.radii_um[n]
        t = (np.arange(400) + 0.5) / 200 - 1
        z, y = centre[0] + radius * t[:, None], centre[1] + radius * t[None, :]
        half = radius * np.sqrt(np.maximum(1 - t[:, None] ** 2 - t[None, :] ** 2, 0))
        chord = np.minimum(centre[2] + half, upper_um[2]) - np.maximum(centre[2] - half, lower_um[2])
        inside = (z > lower_um[0]) & (z < upper_um[0]) & (y > lower_um[1]) & (y < upper_um[1])
        volumes[n] = np.sum(np.where(inside, np.maximum(chord, 0), 0)) * (radius / 200) ** 2
    return volumes
