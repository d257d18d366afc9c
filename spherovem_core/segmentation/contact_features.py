"""Features of a contact between two objects, from sums over its faces and over the voxels of both.

They tell the boundary at the contact and within both objects, and the contact's size. Trees that also saw the image, the flows
and the volumes of both objects segmented other parts of a volume of neuropil worse: few slices show few contacts within objects.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAPS = ("boundary", "boundary_squared", "boundary_over_quarter", "boundary_over_half")
"""Maps whose sums describe objects and contacts."""
CONTACT_FEATURE_COUNT = 9


class Side(NamedTuple):
    """One of two objects: surface in faces of a voxel of the flows, and the mean probability of a boundary within."""

    surface: float
    boundary: float


def contact_maps(boundary: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maps (4, Z, Y, X) named `MAPS` of the probability of a boundary."""
    return np.stack([boundary, boundary**2, boundary > 0.25, boundary > 0.5]).astype(np.float32)


def contact_features(
    faces: float, sums: NDArray[np.float64], count: float, one: Side, other: Side
) -> NDArray[np.float32]:
    """Return the features (9,) of a contact, whichever of both objects comes first.

    Parameters
    ----------
    faces
        Common area in faces of a voxel of the flows.
    sums, count
        Sums of the maps over the common faces, and their number.
    one, other
        Both objects.
    """
    mean, square, over_quarter, over_half = sums / max(count, 1)
    surface = min(one.surface, other.surface)
    return np.array(
        [
            mean,
            np.sqrt(max(square - mean * mean, 0.0)),
            over_quarter,
            over_half,
            min(one.boundary, other.boundary),
            max(one.boundary, other.boundary),
            mean - (one.boundary + other.boundary) / 2,
            np.log(faces + 1),
            faces / surface if surface else 0.0,
        ],
        np.float32,
    )
