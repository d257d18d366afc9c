"""Depth below the surface of the specimen, from its mask.

The surface is the border between the specimen and what lies outside of it: resin or empty frame that reaches the image's border
along y or x. Resin that tissue encloses (lumina) belongs to the inside, and so do charging streaks. Only the surface in the field
is known. A surface beyond the field cannot be nearer than the field's border, so that the depth is certain where it is less than
the distance to that border, and else between that distance and the measured depth.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial.grids import Placement

NO_SURFACE = "no surface in the field"
BEYOND = "the nearest surface may lie outside of the field"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Surface:
    """Surface of the specimen in the field.

    Attributes
    ----------
    depth : (Z, Y, X) ndarray of float32
        Distance in µm from the centres of the mask's voxels to the surface, negative outside; None without a surface.
    first_um, side_um : (3,) ndarray of float64
        Position of the centre of the first voxel, and size of a voxel.
    low_um, high_um : (3,) ndarray of float64
        Corners of the field.
    """

    depth: NDArray[np.float32] | None
    first_um: Floats
    side_um: Floats
    low_um: Floats
    high_um: Floats


def find_surface(
    outside: NDArray[np.bool_], mask: Placement, field: Placement, field_shape: tuple[int, ...]
) -> Surface:
    """Measure the distance of each voxel of a mask to the surface; runs on the CPU, in memory.

    Parameters
    ----------
    outside : (Z, Y, X) ndarray of bool
        What is not specimen.
    mask
        Voxel size and origin of the mask.
    field, field_shape
        Voxel size, origin and shape of the image that shows the field.
    """
    side = np.array(mask.spacing_nm) / NM_PER_UM
    step = np.array(field.spacing_nm) / NM_PER_UM
    low = np.array(field.origin_nm) / NM_PER_UM - step / 2
    depth = None
    if outside.any() and not outside.all():
        depth = np.where(outside, np.float32(0), _to_border(~outside, side))
        depth -= np.where(outside, _to_border(outside, side), np.float32(0))
    first = np.array(mask.origin_nm) / NM_PER_UM
    return Surface(depth, first, side, low, low + step * np.array(field_shape))


def depth_at(surface: Surface, points_um: Floats) -> tuple[Floats, Floats]:
    """Measure the depth of points, interpolated between voxels of the mask.

    Parameters
    ----------
    points_um : (N, 3) ndarray of float64

    Returns
    -------
    depth, at_least : (N,) ndarray of float64
        Depth in µm below the nearest surface in the field, negative outside the specimen and NaN without a surface; and the
        depth that is certain: no more than the distance to the field's border.
    """
    sides = np.concatenate([points_um - surface.low_um, surface.high_um - points_um], axis=1)
    border = np.maximum(sides.min(axis=1, initial=np.inf), 0.0)
    if surface.depth is None:
        return np.full(len(points_um), np.nan), border
    place = (points_um - surface.first_um) / surface.side_um
    depth = ndimage.map_coordinates(surface.depth, place.T, output=np.float64, order=1, mode="nearest")
    return depth, np.minimum(depth, border)


def depth_columns(surface: Surface, points_um: Floats) -> dict[str, NDArray[Any]]:
    """Return the columns ``depth_um``, ``depth_at_least_um`` and ``depth_note`` for points."""
    depth, at_least = depth_at(surface, points_um)
    note = np.where(np.isnan(depth), NO_SURFACE, np.where(at_least < depth, BEYOND, ""))
    return {"depth_um": depth, "depth_at_least_um": at_least, "depth_note": note.astype(object)}


def measure_depth_of_particles(particles: pd.DataFrame, surface: Surface) -> pd.DataFrame:
    """Add the depth of their centroids to the table of particles (`depth_columns`)."""
    return particles.assign(**depth_columns(surface, particles[list(CENTROID_COLUMNS)].to_numpy(np.float64)))


def _to_border(inside: NDArray[np.bool_], side: Floats) -> NDArray[np.float32]:
    """Measure the distance from the centres of voxels in a region to its border, half a voxel before the nearest one outside."""
    distance, nearest = ndimage.distance_transform_edt(inside, sampling=side, return_indices=True)
    inverse = np.zeros(inside.shape, np.float32)
    for axis, length in enumerate(inside.shape):
        own = np.arange(length, dtype=np.float32).reshape([-1 if n == axis else 1 for n in range(3)])
        inverse += (nearest[axis] - own) ** 2
    # In a direction v, an ellipsoid with the sides of a voxel has the length |v| / |v / side|.
    half = np.divide(distance, 2 * np.sqrt(inverse), out=np.zeros(inside.shape), where=inverse > 0)
    return np.asarray(distance - half, np.float32)
