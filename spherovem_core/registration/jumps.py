"""Jumps of a stack: slices from which on the position, scale, turn or shear differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import (
    Matrix,
    compose,
    invert,
    rotation_degrees,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.change_points import ChangePoints, find_change_points, fit_steps

SMALLEST_JUMP_PX = 0.5
NOISE_FLOOR_PX = 0.05
CERTAIN = 2.5
ROUNDS = 2
TINY = 2e-4
BESIDE = 2
SURE_IF_KNOWN = 4.0

# Scale, turn, stretch along y against x, and shear, from the elements (yy, yx, xy, xx) of a linear map less the identity.
DEFORMATIONS = 0.5 * np.array([[1, 0, 0, 1], [0, -1, 1, 0], [1, 0, 0, -1], [0, 1, 1, 0]], dtype=np.float64)


@dataclass(frozen=True)
class Jumps:
    """Jumps of a stack.

    Attributes
    ----------
    places : (Z, 2, 3) ndarray
        Map by which the jumps displace each slice: the identity in the position of the reference slice and in the scale, turn
        and shear of the nominal slices.
    sizes_px : (Z, 2) ndarray
        Displacement of the centre (y, x) by the jump to each slice, 0 if there is none.
    deformed, shifted : tuple of int
        First slices after jumps of scale, turn or shear, and after jumps of position.
    bent, astray : (Z,) ndarray of bool
        Slices whose deformation, or position, is no part of the slow trend: it is far from that of their neighbours, or was
        not measured.
    nominal : slice
        Longest run of slices without a jump of scale, turn or shear, the first on a tie. Its scale is that of the voxel size.
    """

    places: Matrix
    sizes_px: NDArray[np.float64]
    deformed: tuple[int, ...]
    shifted: tuple[int, ...]
    bent: NDArray[np.bool_]
    astray: NDArray[np.bool_]
    nominal: slice

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Make the columns of the slice table: the size of the jump to each slice, 0 if there is none, and its scale."""
        count = len(self.places)
        turn, scale, shear = np.zeros(count), np.zeros(count), np.zeros(count)
        for z in self.deformed:
            step = compose(self.places[z], invert(self.places[z - 1]))
            largest, smallest = np.linalg.svd(step[:, :2], compute_uv=False)
            sizes = (
                np.deg2rad(rotation_degrees(step)),
                np.sqrt(largest * smallest) - 1.0,
                largest / smallest - 1.0,
            )
            turn[z], scale[z], shear[z] = (size if abs(size) > TINY else 0.0 for size in sizes)
        return {
            "jump_y_px": self.sizes_px[:, 0],
            "jump_x_px": self.sizes_px[:, 1],
            "jump_rotation_deg": np.rad2deg(turn),
            "jump_scale": scale,
            "jump_shear": shear,
            "relative_scale": np.sqrt(np.linalg.det(self.places[:, :, :2])),
        }


def find_jumps(solved: Matrix, good: Sequence[int], reference: int, shape: Sequence[int]) -> Jumps:
    """Find the jumps of the maps of a stack.

    Change points (`find_change_points`) of scale, turn, stretch and shear are found together, as the root mean square
    displacements that they cause over a slice; then, in maps without these, change points of the position of the centre.
    Jumps displace the slices as acquired, so they are composed after the slow changes of the tissue.

    Parameters
    ----------
    solved : (Z, 2, 3) ndarray
        Maps of reference coordinates to those of each slice.
    good
        Slices whose maps were measured, rising.
    reference
        Slice whose position is kept.
    shape : (Y, X)
        Shape of a slice.
    """
    kept, count = np.asarray(good, dtype=np.int_), len(solved)
    centre = shift_matrix(*slice_centre(shape))
    at_centre = compose(invert(centre), compose(solved, centre))
    turned, deformed, bent = _deformations(at_centre[:, :, :2], kept, shape)
    nominal = _longest_run(deformed, count)
    position = (np.linalg.inv(turned) @ at_centre[:, :, 2:])[:, :, 0]
    moves = _with_known_places(position[kept], kept, deformed)
    shifted = tuple(int(kept[i]) for i in moves.first)
    levels = _at_all(moves.levels(), kept, count)
    sizes = np.zeros((count, 2))
    for z in shifted:
        sizes[z] = turned[z] @ (levels[z] - levels[z - 1])
    about_centre = np.concatenate([turned, turned @ (levels - levels[reference])[:, :, None]], axis=-1)
    places = compose(centre, compose(about_centre, invert(centre)))
    astray = _without_trend(moves.wild, kept, count)
    return Jumps(places, sizes, deformed, shifted, bent, astray, nominal)


def _deformations(
    linear: Matrix, kept: NDArray[np.int_], shape: Sequence[int]
) -> tuple[Matrix, tuple[int, ...], NDArray[np.bool_]]:
    """Find the linear map by which jumps deform each slice, the first slices after them, and slices without a trend."""
    radius = float(np.sqrt(((np.asarray(shape[-2:], dtype=np.float64) ** 2 - 1.0) / 12.0).sum()))
    turned: Matrix = np.broadcast_to(np.eye(2), linear.shape)
    steps = find_change_points(_deformation(linear[kept]) * radius, kept, SMALLEST_JUMP_PX, NOISE_FLOOR_PX)
    deformed = tuple(int(kept[i]) for i in steps.first)
    nominal = _longest_run(deformed, len(linear))
    certain = np.abs(steps.heights) > CERTAIN * steps.errors
    for _ in range(ROUNDS if deformed else 0):
        left = np.linalg.inv(turned) @ linear
        steps = fit_steps(_deformation(left[kept]) * radius, kept, steps, NOISE_FLOOR_PX)
        heights = np.where(certain, steps.heights, 0.0) / radius
        levels = _at_all(replace(steps, heights=heights).levels(), kept, len(linear))
        change = ((levels - levels[nominal.start]) @ (2.0 * DEFORMATIONS)).reshape(-1, 2, 2)
        usual = np.median(left[nominal], axis=0)
        turned = turned @ (np.eye(2) + change @ np.linalg.inv(usual))
    return turned, deformed, _without_trend(steps.wild, kept, len(linear))


def _with_known_places(
    values: NDArray[np.float64], kept: NDArray[np.int_], deformed: Sequence[int]
) -> ChangePoints:
    """Find jumps of position; one where scale, turn or shear jump needs to stand out less, since its place is known."""
    moves = find_change_points(values, kept, SMALLEST_JUMP_PX, NOISE_FLOOR_PX)
    for place in np.searchsorted(kept, deformed).tolist():
        if moves.first.size and int(np.abs(moves.first - place).min()) <= BESIDE:
            continue
        first = np.sort(np.append(moves.first, place))
        more = fit_steps(values, kept, replace(moves, first=first), NOISE_FLOOR_PX)
        if more.significance()[np.searchsorted(first, place)] > SURE_IF_KNOWN:
            moves = more
    return moves


def _without_trend(wild: NDArray[np.bool_], kept: NDArray[np.int_], count: int) -> NDArray[np.bool_]:
    without = np.ones(count, dtype=bool)
    without[kept] = wild
    return without


def _deformation(linear: Matrix) -> NDArray[np.float64]:
    """Compute scale, turn, stretch and shear of linear maps: (n, 4)."""
    return (linear - np.eye(2)).reshape(-1, 4) @ DEFORMATIONS.T


def _at_all(levels: NDArray[np.float64], kept: NDArray[np.int_], count: int) -> NDArray[np.float64]:
    """Give a slice without a map the level of the last one before it that has one."""
    before = np.searchsorted(kept, np.arange(count), side="right") - 1
    return levels[np.maximum(before, 0)]


def _longest_run(first: Sequence[int], count: int) -> slice:
    bounds = [0, *first, count]
    longest = max(range(len(bounds) - 1), key=lambda k: (bounds[k + 1] - bounds[k], -k))
    return slice(bounds[longest], bounds[longest + 1])
