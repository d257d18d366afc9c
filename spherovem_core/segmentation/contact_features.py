"""Features of a contact between two objects, from sums over its faces and over the voxels of both."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.voxel_features import RIDGE, SMOOTH_IMAGE

MAPS = (
    "boundary", "boundary_squared", "boundary_over_quarter", "boundary_over_half", "logit", "flow_length",
    "image", "image_squared", "ridge", "dz", "dy", "dx",
)  # fmt: skip
"""Maps whose sums describe objects and contacts; over faces also the step of the flow and its square."""
BESIDE = (0, 4, 5, 6, 8)
"""Maps that are compared with their means in both objects."""
CONTACT_FEATURE_COUNT = 31


class Side(NamedTuple):
    """One of two objects: surface in faces of a voxel of the flows, volume in such voxels, means of the maps."""

    surface: float
    volume: float
    means: NDArray[np.float64]


def contact_maps(
    boundary: NDArray[np.float32], features: NDArray[np.float32], flows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the maps (12, Z, Y, X) named `MAPS`, from the boundary's probability, voxel features and flows."""
    length = np.sqrt(np.square(flows[:3]).sum(axis=0))
    image = features[SMOOTH_IMAGE]
    maps = [boundary, boundary**2, boundary > 0.25, boundary > 0.5, flows[3], length, image, image**2]
    return np.stack([*maps, features[RIDGE], *flows[:3]]).astype(np.float32)


def contact_features(
    faces: float, sums: NDArray[np.float64], count: float, one: Side, other: Side
) -> NDArray[np.float32]:
    """Return the features (31,) of a contact, whichever of both objects comes first.

    Parameters
    ----------
    faces
        Common area in faces of a voxel of the flows.
    sums, count
        Sums of the maps over the common faces, and their number.
    one, other
        Both objects.
    """
    means = sums / max(count, 1)
    steps, squares = means[len(MAPS)], means[len(MAPS) + 1]
    low, high = np.minimum(one.means, other.means), np.maximum(one.means, other.means)
    small, large = sorted((one.volume, other.volume))
    surface = min(one.surface, other.surface)
    compared = list(BESIDE)
    spread = _deviation(one.means[6], one.means[7]), _deviation(other.means[6], other.means[7])
    return np.array(
        [
            means[0],
            _deviation(means[0], means[1]),
            *means[2:7],
            _deviation(means[6], means[7]),
            means[8],
            steps,
            _deviation(steps, squares),
            *low[compared],
            *high[compared],
            *(means[compared] - (one.means[compared] + other.means[compared]) / 2)[[0, 1, 3]],
            min(spread),
            max(spread),
            np.log(faces + 1),
            np.log(small + 1),
            np.log(large + 1),
            faces / surface if surface else 0.0,
            faces**1.5 / max(small, 1.0),
        ],
        np.float32,
    )


def _deviation(mean: float, mean_square: float) -> float:
    return float(np.sqrt(max(mean_square - mean * mean, 0.0)))
