"""Split of one object along a line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.corrections.grid import PointUmTuple
from spherovem_core.corrections.object_box import (
    Factors,
    ObjectBox,
    any_of_blocks,
    coarse_factors,
    spread_out,
)


@dataclass(frozen=True)
class Plane:
    """The plane through a line, parallel to z; `start` and `end` from the centre of voxel (0, 0, 0)."""

    spacing: PointUmTuple
    start: PointUmTuple
    end: PointUmTuple

    def columns(self, region: Region) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distance of each column of voxels from the plane, and its place along the line."""
        _, dy, dx = self.spacing
        y = np.arange(region[1].start, region[1].stop)[:, None] * dy - self.start[1]
        x = np.arange(region[2].start, region[2].stop)[None, :] * dx - self.start[2]
        along = (self.end[1] - self.start[1], self.end[2] - self.start[2])
        return (x * along[0] - y * along[1]) / self.length, (y * along[0] + x * along[1]) / self.length

    @property
    def length(self) -> float:
        """Length of the line."""
        return math.dist(self.start, self.end)

    def sides(self, region: Region) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the columns on either side of the plane."""
        first = self.columns(region)[0] >= 0
        return first, ~first

    def near(self, region: Region) -> NDArray[np.bool_]:
        """Return the columns that the line as drawn meets."""
        across, place = self.columns(region)
        _, dy, dx = self.spacing
        found: NDArray[np.bool_] = (
            (np.abs(across) <= math.hypot(dy, dx)) & (place >= 0) & (place <= self.length)
        )
        return found


@dataclass(frozen=True)
class LineCut:
    """A cut along a line.

    Attributes
    ----------
    plane
        Where it cuts.
    coarse : pair of (Z, Y, X) ndarray of uint16
        Part of the voxels of the coarse grid, for what lies on the first side of the plane and on the second.
    factors
        Voxels in one of the coarse grid.
    """

    plane: Plane
    coarse: tuple[NDArray[Any], NDArray[Any]]
    factors: Factors

    def parts(self, box: ObjectBox, region: Region) -> NDArray[np.uint16]:
        """Return the parts in a region of the box."""
        first, _ = self.plane.sides(region)
        one, other = (spread_out(parts, region, self.factors) for parts in self.coarse)
        found: NDArray[np.uint16] = np.where(first, one, other)
        found[~box.read(region)] = 0
        return found


def find_line_cut(
    box: ObjectBox, spacing: PointUmTuple, start: PointUmTuple, end: PointUmTuple
) -> LineCut | None:
    """Find the cut along the plane through a line, parallel to z; None if the line does not cross the object.

    The plane may cross the object in several places. The parts are those on both sides of the line as drawn; what the plane
    separates from them elsewhere goes to the part that it touches. The plane cuts at full resolution. Which pieces hang
    together is seen on a coarser grid where the box of the object has more than `LARGEST_GRID` voxels.
    """
    row = math.floor(start[0] / spacing[0] + 0.5)
    if not 0 <= row < box.shape[0]:
        return None
    plane, factors = Plane(spacing, start, end), coarse_factors(box.shape, spacing)
    pieces = [
        cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32)
        for mask in _coarse_sides(box, plane, factors)
    ]
    mains = _pieces_beside(box, plane, pieces, factors, row)
    if mains is None:
        return None
    first, second = (int(found.max()) for found in pieces)
    shifted = np.where(pieces[1] > 0, pieces[1] + np.uint32(first), np.uint32(0))
    part_of = _spread(_touching(pieces[0], shifted), {mains[0]: 1, mains[1] + first: 2})
    for number in range(1, first + second + 1):
        part_of.setdefault(number, 1 if number <= first else 2)
    table = np.zeros(first + second + 1, np.uint16)
    table[list(part_of)] = list(part_of.values())
    return LineCut(plane, (table[pieces[0]], table[shifted]), factors)


def _coarse_sides(
    box: ObjectBox, plane: Plane, factors: Factors
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the coarse voxels that hold some of the object on either side of the plane."""
    shape = [-(-n // factor) for n, factor in zip(box.shape, factors, strict=True)]
    found = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for region in box.blocks():
        mask = box.read(region)
        if mask.any():
            for whole, own in zip(found, plane.sides(region), strict=True):
                place, blocks = any_of_blocks(mask & own, region, factors)
                whole[place] |= blocks
    return found


def _pieces_beside(
    box: ObjectBox, plane: Plane, pieces: Sequence[NDArray[np.uint32]], factors: Factors, row: int
) -> tuple[int, int] | None:
    """Return the piece on either side that lies along most of the line; None if there is none on one side."""
    counts: list[dict[int, int]] = [{}, {}]
    for region in box.blocks():
        if not region[0].start <= row < region[0].stop:
            continue
        flat = (slice(row, row + 1), *region[1:])
        beside = plane.near(flat) & box.read(flat)[0]
        for own, found, count in zip(plane.sides(flat), pieces, counts, strict=True):
            here = spread_out(found, flat, factors)[0][beside & own]
            for number, voxels in zip(*np.unique(here, return_counts=True), strict=True):
                count[int(number)] = count.get(int(number), 0) + int(voxels)
    if not all(counts):
        return None
    one, other = (max(sorted(count), key=lambda number: count[number]) for count in counts)
    return one, other


def _touching(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> dict[int, list[int]]:
    """List the pieces that touch each piece; pieces of both sides may lie in one coarse voxel."""
    both = (one > 0) & (other > 0)
    pairs = {tuple(map(int, pair)) for pair in np.unique(np.stack([one[both], other[both]]), axis=1).T}
    for joint in (np.where(other > 0, other, one), np.where(one > 0, one, other)):
        found = cc3d.contacts(np.ascontiguousarray(joint), connectivity=26, surface_area=False)
        pairs |= {(int(a), int(b)) for a, b in found}
    touching: dict[int, list[int]] = {}
    for a, b in sorted(pairs):
        touching.setdefault(a, []).append(b)
        touching.setdefault(b, []).append(a)
    return touching


def _spread(touching: dict[int, list[int]], part_of: dict[int, int]) -> dict[int, int]:
    """Give pieces the part of a piece that they touch, beginning with those known."""
    waiting = sorted(part_of)
    while waiting:
        known = waiting.pop(0)
        for number in sorted(touching.get(known, ())):
            if number not in part_of:
                part_of[number] = part_of[known]
                waiting.append(number)
    return part_of
