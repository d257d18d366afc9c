"""Particles of several populations and other round bodies, at random places that do not overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from _independent_balls import (
    Floats,
    Spacing,
    ball_cover,
    ball_patch,
    distance_to,
    find_place,
    touching_balls,
)
from numpy.typing import NDArray
from scipy import ndimage

Place = Literal["tissue", "resin", "resin border", "volume border", "anywhere"]


@dataclass(frozen=True)
class Population:
    """Particles of one kind; `clumps` lists the sizes of clumps of touching particles, else each particle stands alone."""

    count: int = 60
    diameter_nm: float = 320.0
    grey: float = 215.0
    place: Place = "tissue"
    clumps: tuple[int, ...] = ()
    spread: float = 0.05


@dataclass(frozen=True)
class Blobs:
    """Round bodies that are no particles; `mottle` is the standard deviation of their texture, `softness_nm` of their edge."""

    count: int = 12
    diameter_nm: tuple[float, float] = (700.0, 1200.0)
    grey: float = 205.0
    mottle: float = 0.0
    softness_nm: float = 0.0


def blob_cover(
    blobs: Blobs, taken: NDArray[np.bool_], spacing: Spacing, random: np.random.Generator
) -> Floats:
    """Cover blobs at random places that are not taken."""
    diameters = random.uniform(*blobs.diameter_nm, blobs.count)
    cover = np.zeros(taken.shape, np.float32)
    chosen: list[tuple[NDArray[np.float64], float]] = []
    free = distance_to(taken, spacing)
    for diameter in sorted(diameters, reverse=True):
        centre = find_place(free, chosen, diameter / 2, diameter / 2, spacing, random, inside=False)
        chosen.append((centre, diameter / 2))
        cover = np.maximum(cover, ball_cover(taken.shape, spacing, centre, diameter))
    if blobs.softness_nm:
        cover = ndimage.gaussian_filter(cover, [blobs.softness_nm / step for step in spacing])
    return cover


def place_particles(
    populations: Sequence[Population],
    resin: NDArray[np.bool_],
    others: NDArray[np.bool_],
    spacing: Spacing,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Draw positions and diameters of particles that overlap neither each other nor other bodies."""
    rows: list[dict[str, Any]] = []
    chosen: list[tuple[NDArray[np.float64], float]] = []
    clump = 0
    for number, population in enumerate(populations, 1):
        free = distance_to(_taken(population.place, resin, others), spacing)
        edges = (
            np.argwhere(ndimage.binary_dilation(resin) & ~resin)
            if population.place == "resin border"
            else None
        )
        for size in population.clumps or (1,) * population.count:
            clump += 1
            diameters = population.diameter_nm * (1 + population.spread * random.uniform(-1, 1, size))
            offsets = touching_balls(diameters, random)
            reach = float((np.linalg.norm(offsets, axis=1) + diameters / 2).max())
            centre = _centre(population.place, edges, free, chosen, reach, spacing, random)
            chosen.append((centre, reach))
            rows += [
                {
                    "label": 0,
                    **dict(zip(("z_nm", "y_nm", "x_nm"), centre + offset, strict=True)),
                    "diameter_nm": diameter,
                    "population": number,
                    "clump": clump,
                    "place": population.place,
                    "grey": random.normal(population.grey, 3),
                }
                for offset, diameter in zip(offsets, diameters, strict=True)
            ]
    columns = ("label", "z_nm", "y_nm", "x_nm", "diameter_nm", "population", "clump", "place", "grey")
    table = pd.DataFrame(rows, columns=list(columns))
    table["label"] = np.arange(1, len(table) + 1)
    return table


def _taken(place: Place, resin: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if place == "resin":
        return others | ~resin
    return others | resin if place in ("tissue", "volume border") else others


def _centre(
    place: Place,
    edges: NDArray[np.intp] | None,
    free: Floats,
    chosen: Sequence[tuple[NDArray[np.float64], float]],
    radius: float,
    spacing: Spacing,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw the centre of a clump: anywhere in its place, in tissue and touching the resin, or on the border of the volume."""
    steps, gap = np.array(spacing), max(spacing)
    for _ in range(2_000):
        centre = find_place(free, chosen, radius, gap, spacing, random)
        if place == "volume border":
            axis = random.integers(3)
            edge = (0, free.shape[axis] - 1)[random.integers(2)]
            centre[axis] = edge * steps[axis] + random.uniform(-0.5, 0.5) * radius * (1 if edge == 0 else -1)
        elif edges is not None:
            centre = edges[random.integers(len(edges))] * steps
            inside = np.all((centre > radius) & (centre < (np.array(free.shape) - 1) * steps - radius))
            if not inside:
                continue
        if all(np.linalg.norm(centre - other) > radius + size + gap for other, size in chosen):
            return centre
    raise RuntimeError(f"no place at the {place} for a ball of {radius:.0f} nm among {len(chosen)}")


def paint_particles(grey: Floats, table: pd.DataFrame, spacing: Spacing) -> tuple[Floats, NDArray[np.uint32]]:
    """Paint particles into the grey values; returns the cover and the labels (see `Drawing`)."""
    cover, labels = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, np.uint32)
    fullest = np.zeros(grey.shape, np.float32)
    matrix = grey.copy()
    for row in table.itertuples():
        centre = np.array([row.z_nm, row.y_nm, row.x_nm])
        region, part = ball_patch(grey.shape, spacing, centre, row.diameter_nm)
        cover[region] += part
        grey[region] += part * (row.grey - matrix[region])
        level = min(0.5, float(part.max())) if part.size else 0.5
        mine = (part >= level) & (part > fullest[region])
        labels[region][mine] = row.label
        fullest[region] = np.maximum(fullest[region], part)
    return np.minimum(cover, 1), labels


def is_cut(table: pd.DataFrame, shape: tuple[int, int, int], spacing: Spacing) -> NDArray[np.bool_]:
    """Tell which balls the border of the volume cuts."""
    centres = table[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
    radius = table["diameter_nm"].to_numpy(float)[:, None] / 2
    low, high = -0.5 * np.array(spacing), (np.array(shape) - 0.5) * np.array(spacing)
    return ((centres - radius < low) | (centres + radius > high)).any(axis=1)
