"""Connected components: measured in each slab, and merged exactly across slabs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spherovem_core.label_statistics import merge_boxes

FIRST, VOXELS, SEEDS = range(3)
# Labels of a slab carry this bit where a voxel is bright enough to start a body.
SEED_BIT = np.uint32(1 << 31)
LABEL_BITS = np.uint32(SEED_BIT - 1)
# So many voxels without a label are skipped at once.
_SKIPPED = 64


@dataclass(frozen=True)
class ComponentMeasures:
    """First voxel, size and bounding box of each component.

    Attributes
    ----------
    sums : (N, 3) ndarray of int64
        Smallest index of a voxel in C order of the volume; voxel count; number of voxels that can start a body.
    boxes : (N, 6) ndarray of int64
        z0, y0, x0, z1, y1, x1, half-open.
    """

    sums: NDArray[np.int64]
    boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sums)

    def take(self, rows: NDArray[np.int64]) -> "ComponentMeasures":
        """Select some of the components."""
        return ComponentMeasures(self.sums[rows], self.boxes[rows])


def concatenate_measures(parts: list[ComponentMeasures]) -> ComponentMeasures:
    """Concatenate the measures of several sets of components."""
    return ComponentMeasures(
        np.concatenate([part.sums for part in parts]) if parts else np.empty((0, 3), np.int64),
        np.concatenate([part.boxes for part in parts]) if parts else np.empty((0, 6), np.int64),
    )


@njit(cache=True, nogil=True)
def _highest(labels):  # type: ignore[no-untyped-def]
    """Find the highest label of a slice."""
    highest = np.uint32(0)
    for j in range(labels.shape[0]):
        for i in range(labels.shape[1]):
            highest = max(highest, labels[j, i] & np.uint32(0x7FFFFFFF))
    return highest


@njit(cache=True, nogil=True, inline="always")
def _any(labels):  # type: ignore[no-untyped-def]
    some = np.uint32(0)
    for i in range(len(labels)):
        some |= labels[i]
    return some != 0


@njit(cache=True, nogil=True)
def _measure(labels, z, origin_y, origin_x, height, width, sums, boxes):  # type: ignore[no-untyped-def]
    for j in range(labels.shape[0]):
        for start in range(0, labels.shape[1], _SKIPPED):
            stop = min(start + _SKIPPED, labels.shape[1])
            if not _any(labels[j, start:stop]):
                continue
            for i in range(start, stop):
                label = labels[j, i] & 0x7FFFFFFF
                if label == 0:
                    continue
                y, x = j + origin_y, i + origin_x
                row, box = sums[label - 1], boxes[label - 1]
                if row[1] == 0:
                    row[0] = (z * height + y) * width + x
                    box[0], box[1], box[2], box[3], box[4], box[5] = z, y, x, z + 1, y + 1, x + 1
                row[1] += 1
                row[2] += labels[j, i] >> 31
                box[1], box[2] = min(box[1], y), min(box[2], x)
                box[3], box[4], box[5] = z + 1, max(box[4], y + 1), max(box[5], x + 1)


@njit(cache=True, nogil=True)
def mark_seeds(labels, contrast, level):  # type: ignore[no-untyped-def]
    """Set `SEED_BIT` in the labels of a slice where the contrast reaches a level; a voxel without a label gets none."""
    for j in range(labels.shape[0]):
        for start in range(0, labels.shape[1], _SKIPPED):
            stop = min(start + _SKIPPED, labels.shape[1])
            if not _any(labels[j, start:stop]):
                continue
            for i in range(start, stop):
                if labels[j, i] and contrast[j, i] >= level:
                    labels[j, i] |= SEED_BIT


def measure_components(
    labels: NDArray[np.uint32], origin: tuple[int, int, int], shape: tuple[int, ...]
) -> ComponentMeasures:
    """Measure the components of a block, numbered from 1.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        Labels of the block, with `SEED_BIT`.
    origin
        First voxel of the block in the volume.
    shape
        Shape of the volume.
    """
    count = max((int(_highest(plane)) for plane in labels), default=0)
    sums, boxes = np.zeros((count, 3), np.int64), np.zeros((count, 6), np.int64)
    z, y, x = origin
    for k, plane in enumerate(labels):
        _measure(plane, z + k, y, x, shape[1], shape[2], sums, boxes)
    return ComponentMeasures(sums, boxes)


@dataclass(frozen=True)
class LabelledVoxels:
    """Labelled voxels of one slice: their rising positions in C order, and their labels."""

    places: NDArray[np.int64]
    labels: NDArray[np.int64]


def labelled_voxels(labels: NDArray[Any]) -> LabelledVoxels:
    """List the labelled voxels of a slice (Y, X)."""
    places = np.flatnonzero(labels)
    return LabelledVoxels(places, (labels.ravel()[places] & LABEL_BITS).astype(np.int64))


def touching_pairs(
    upper: LabelledVoxels, lower: LabelledVoxels, height: int, width: int
) -> NDArray[np.int64]:
    """Find pairs (N, 2) of labels in two adjacent slices whose voxels share a face, an edge or a corner."""
    y, x = np.divmod(upper.places, width)
    found = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            places = upper.places[inside] + dy * width + dx
            at = np.searchsorted(lower.places, places)
            hit = at < len(lower.places)
            hit[hit] = lower.places[at[hit]] == places[hit]
            found.append(np.stack([upper.labels[inside][hit], lower.labels[at[hit]]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def merge_components(
    measures: ComponentMeasures, pairs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ComponentMeasures]:
    """Merge components that touch.

    Parameters
    ----------
    measures
        Measures of N pieces.
    pairs : (M, 2) ndarray
        Indices, from 0, of two pieces that touch.

    Returns
    -------
    owner : (N,) ndarray
        Component of each piece, from 0; components are in the order of their first voxels.
    merged
        Measures of the components.
    """
    count = len(measures)
    if count == 0:
        return np.empty(0, np.int64), measures
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    number, group = connected_components(graph, directed=False)
    sums = np.zeros((number, 3), np.int64)
    np.add.at(sums, group, measures.sums)
    sums[:, FIRST] = np.iinfo(np.int64).max
    np.minimum.at(sums[:, FIRST], group, measures.sums[:, FIRST])
    boxes = merge_boxes(measures.boxes, group, number)
    order = np.argsort(sums[:, FIRST])
    rank = np.empty(number, np.int64)
    rank[order] = np.arange(number)
    return rank[group], ComponentMeasures(sums[order], boxes[order])
