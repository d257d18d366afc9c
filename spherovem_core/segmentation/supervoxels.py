"""Supervoxels of a whole volume, put together from the statistics of its blocks and joined step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spherovem_core.blocks import Region
from spherovem_core.label_statistics import merge_boxes
from spherovem_core.segmentation.block_statistics import NOWHERE, BlockStatistics
from spherovem_core.spacing import SpacingNm

OUTSIDE = 0
"""Number of the space beyond the volume's border."""


def face_areas_nm2(spacing_nm: SpacingNm) -> NDArray[np.float64]:
    """Return the area of a voxel's face that points along z, y, x."""
    dz, dy, dx = spacing_nm
    return np.array([dy * dx, dz * dx, dz * dy])


@dataclass(frozen=True)
class Contacts:
    """Pairs of touching supervoxels (M, 2), their common faces (M, 3), and sums over these faces (M, C).

    As in `BlockStatistics`; the smaller number comes first.
    """

    pairs: NDArray[np.int64]
    faces: NDArray[np.int64]
    sums: NDArray[np.float64]


class Supervoxels:
    """Supervoxels by their numbers, 0 is outside; joined ones go by the smallest of their numbers, the root.

    Attributes
    ----------
    roots : (N,) ndarray of int64
        Root of each supervoxel.
    is_object : (N,) ndarray of bool
        True for each root that is an object; False for background and dropped objects.
    """

    def __init__(self, blocks: Sequence[BlockStatistics]) -> None:
        def column(name: str, outside: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([outside, *(getattr(block, name) for block in blocks)])

        background = column("background", np.ones(1, bool))
        self._counts = column("counts", np.zeros(1, np.int64))
        self._firsts = column("firsts", np.full(1, NOWHERE))
        self._boxes = column("boxes", np.zeros((1, 6), np.int64))
        self._border = column("border", np.zeros((1, 3), np.int64))
        widths = [(one.sums.shape[1], one.contact_sums.shape[1]) for one in blocks[:1]] or [(2, 2)]
        self._sums = column("sums", np.zeros((1, widths[0][0])))
        self._contacts = Contacts(
            column("pairs", np.zeros((0, 2), np.int64)),
            column("faces", np.zeros((0, 3), np.int64)),
            column("contact_sums", np.zeros((0, widths[0][1]))),
        )
        self.roots = np.arange(len(background))
        self.is_object = ~background
        # Background that touches background across a block's face is one component.
        both = background[self._contacts.pairs].all(axis=1)
        self.join(self._contacts.pairs[both])
        self.join(column("joins", np.zeros((0, 2), np.int64)))

    def __len__(self) -> int:
        return len(self.roots)

    def join(self, pairs: NDArray[np.int64]) -> None:
        """Join each pair (M, 2); the result is an object if one of both is."""
        if not len(pairs):
            return
        ends = self.roots[pairs]
        graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(self), len(self)))
        _, group = connected_components(graph, directed=False)
        smallest = np.full(int(group.max()) + 1, NOWHERE)
        np.minimum.at(smallest, group, np.arange(len(self)))
        moved = smallest[group]
        objects = np.zeros(len(self), bool)
        np.logical_or.at(objects, moved[self.roots], self.is_object[self.roots])
        self.roots, self.is_object = moved[self.roots], objects

    def drop(self, roots: NDArray[np.int64]) -> None:
        """Turn these objects into background."""
        self.is_object[roots] = False

    def objects(self) -> NDArray[np.int64]:
        """Return the roots of all objects, in rising order."""
        return np.flatnonzero(self.is_object & (self.roots == np.arange(len(self))))

    def counts(self) -> NDArray[np.int64]:
        """Count the voxels of each root, 0 at other numbers."""
        return self._total(self._counts)

    def border(self) -> NDArray[np.int64]:
        """Count the faces (N, 3) of each root on the volume's border."""
        return self._total(self._border)

    def sums(self) -> NDArray[np.float64]:
        """Add up the measured maps (N, K) of each root, as a rule confidence and gradient."""
        return self._total(self._sums)

    def boxes(self) -> dict[int, Region]:
        """Return the bounding box of every object, by its root."""
        inside = self._counts > 0
        merged = merge_boxes(self._boxes[inside], self.roots[inside], len(self))
        return {
            root: tuple(map(slice, merged[root, :3].tolist(), merged[root, 3:].tolist()))
            for root in self.objects().tolist()
        }

    def contacts(self) -> Contacts:
        """Return the contacts between supervoxels as joined so far, in rising order of their numbers."""
        ends = np.sort(self.roots[self._contacts.pairs], axis=1)
        apart = ends[:, 0] != ends[:, 1]
        pairs, index = np.unique(ends[apart], axis=0, return_inverse=True)
        faces, sums = (
            np.zeros((len(pairs), 3), np.int64),
            np.zeros((len(pairs), self._contacts.sums.shape[1])),
        )
        np.add.at(faces, index, self._contacts.faces[apart])
        np.add.at(sums, index, self._contacts.sums[apart])
        return Contacts(pairs, faces, sums)

    def surfaces_nm2(self, spacing_nm: SpacingNm) -> NDArray[np.float64]:
        """Return the area of all faces of each root, on the border too; 0 at other numbers."""
        areas, contacts = face_areas_nm2(spacing_nm), self.contacts()
        surfaces = self.border() @ areas
        for ends in contacts.pairs.T:
            np.add.at(surfaces, ends, contacts.faces @ areas)
        return surfaces

    def labels(self) -> NDArray[np.uint32]:
        """Return the final label of every number.

        Objects are counted from 1 in the order of their first voxels; all else is 0.
        """
        firsts = np.full(len(self), NOWHERE)
        np.minimum.at(firsts, self.roots, self._firsts)
        objects = self.objects()
        labels = np.zeros(len(self), np.uint32)
        labels[objects[np.argsort(firsts[objects], kind="stable")]] = np.arange(1, len(objects) + 1)
        return np.asarray(labels[self.roots])

    def _total(self, values: NDArray[Any]) -> NDArray[Any]:
        total = np.zeros_like(values)
        np.add.at(total, self.roots, values)
        return total
