"""Distances in nm between the surfaces of matched objects, read from the arrays one pair at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spherovem_core.blocks import ArrayLike, block_grid
from spherovem_core.spacing import SpacingNm

BLOCK_SIDE = 192
"""Side in voxels of the blocks in which the box of a large object is read."""

Box = NDArray[np.int64]


@dataclass(frozen=True)
class Surface:
    """Faces between voxels of an object and other voxels.

    Attributes
    ----------
    centres : (N, 3) ndarray of float64
        Centres of the faces along z, y, x in nm.
    areas : (N,) ndarray of float64
        Their areas in nm², which differ with the axis where the spacing does.
    """

    centres: NDArray[np.float64]
    areas: NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two objects that match, and their bounding boxes."""

    true_label: int
    predicted_label: int
    true_box: Box
    predicted_box: Box


def boundary_distances(
    pair: Pair, truth: ArrayLike, predicted: ArrayLike, spacing_nm: SpacingNm
) -> tuple[float, float]:
    """Measure the distance between the surfaces of two objects.

    The distance of a face is that to the nearest face of the other surface. Faces are weighted by area, since
    otherwise sides with short voxels would count more. The voxel grid resolves
    oblique surfaces to about half a voxel. An object has no face where the border of the array cuts it.

    Parameters
    ----------
    pair
        The objects and their boxes. Only the boxes are read, in blocks, so memory is proportional to the surfaces of
        the objects.
    truth, predicted : (Z, Y, X) or (Y, X) array of int
    spacing_nm
        Voxel size; dz has no effect in a section.

    Returns
    -------
    mean_nm, percentile_95_nm
        Mean over both surfaces, and the larger of the two surfaces' 95th percentiles; NaN if one has no face.
    """
    first = object_surface(truth, pair.true_label, pair.true_box, spacing_nm)
    second = object_surface(predicted, pair.predicted_label, pair.predicted_box, spacing_nm)
    if not len(first.areas) or not len(second.areas):
        return float("nan"), float("nan")
    there, back = _nearest(first, second), _nearest(second, first)
    areas = np.concatenate([first.areas, second.areas])
    mean = float(np.average(np.concatenate([there, back]), weights=areas))
    return mean, max(_percentile(there, first.areas, 0.95), _percentile(back, second.areas, 0.95))


def object_surface(labels: ArrayLike, label: int, box: Box, spacing_nm: SpacingNm) -> Surface:
    """Find the faces of one object; voxels of a section have no neighbours along z."""
    lead = 3 - len(labels.shape)
    shape = (1,) * lead + tuple(labels.shape)
    low, high = np.maximum(box[:, 0] - 1, 0), np.minimum(box[:, 1], shape)
    centres, areas = [np.zeros((0, 3))], [np.zeros(0)]
    for block in block_grid((high - low).tolist(), (BLOCK_SIDE,) * 3):
        core = [slice(int(s.start + a), int(s.stop + a)) for s, a in zip(block.core, low, strict=True)]
        outer = tuple(slice(s.start, min(s.stop + 1, n)) for s, n in zip(core, shape, strict=True))
        mask = (np.asarray(labels[outer[lead:]]) == label)[(None,) * lead]
        for axis in range(3):
            found = _faces(mask, core, axis)
            found[:, axis] += 0.5
            centres.append((found + [s.start for s in core]) * spacing_nm)
            areas.append(np.full(len(found), np.prod(np.delete(spacing_nm, axis))))
    return Surface(np.concatenate(centres), np.concatenate(areas))


def _faces(mask: NDArray[np.bool_], core: Sequence[slice], axis: int) -> NDArray[np.float64]:
    """Find the voxels of the core that differ from the next one along `axis`, in coordinates of the core."""
    own = tuple(slice(0, s.stop - s.start) for s in core)
    here: list[Any] = list(own)
    here[axis] = slice(0, min(own[axis].stop, mask.shape[axis] - 1))
    after = list(here)
    after[axis] = slice(1, here[axis].stop + 1)
    return np.argwhere(mask[tuple(here)] != mask[tuple(after)]).astype(np.float64)


def _nearest(surface: Surface, other: Surface) -> NDArray[np.float64]:
    """Measure the distance of each face to the nearest face of another surface."""
    # Balancing the tree costs more than it saves, since each tree is queried once.
    tree = cKDTree(other.centres, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(surface.centres)[0], dtype=np.float64)


def _percentile(values: NDArray[np.float64], weights: NDArray[np.float64], fraction: float) -> float:
    """Find the smallest value that at least `fraction` of the weight does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    place = np.searchsorted(reached, fraction * reached[-1] * (1 - 1e-12))
    return float(values[order][min(int(place), len(values) - 1)])
