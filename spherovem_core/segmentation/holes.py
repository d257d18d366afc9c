"""What lies inside an object belongs to it: holes found on the graph of touching regions."""

from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.supervoxels import OUTSIDE, Regions


def enclosed(regions: Regions) -> NDArray[np.int64]:
    """Find background that an object shuts off from the volume's border.

    A region lies inside an object if every path of touching regions from it to the border passes through
    that object, that is, if the object is a cut vertex of the graph. So the result depends neither on blocks nor on
    how many regions a hole is made of, and a hole with another object in it is filled around that object.

    Returns
    -------
    (M, 2) ndarray of int64
        Region of background, and the innermost object around it.
    """
    pairs = regions.contacts().pairs
    border = np.flatnonzero(regions.border().any(axis=1))
    pockets, beside = _pockets(regions, pairs, border)
    edges = pairs[~np.isin(pairs, pockets).any(axis=1)]
    outer = np.stack([np.full_like(border, OUTSIDE), border], axis=1)
    meshes = _Meshes(np.concatenate([edges, _rings(pockets, beside), outer]), regions.is_object)
    found = [
        (region, owner)
        for region, owner in meshes.owners()
        if not regions.is_object[region] and region != OUTSIDE
    ]
    # A pocket lies in the mesh of the objects around it.
    starts = np.flatnonzero(np.diff(pockets, prepend=-1))
    for pocket, a, b in zip(
        pockets[starts].tolist(), beside[starts].tolist(), beside[starts + 1].tolist(), strict=True
    ):
        owner = meshes.owner_between(a, b)
        if owner is not None:
            found.append((pocket, owner))
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def _pockets(
    regions: Regions, pairs: NDArray[np.int64], border: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Background between two objects or more and nothing else, with each of these objects, in rising order.

    There are far more of these than objects, which is why they get no place in the graph.
    """
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    closed = ~regions.is_object
    closed[border] = False
    # Dropped objects and background that touch each other are no pockets.
    loose = ends[~regions.is_object[ends].any(axis=1), 0]
    closed[loose] = False
    closed &= np.bincount(ends[:, 0], minlength=len(regions)) >= 2
    ends = ends[closed[ends[:, 0]]]
    ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
    return ends[:, 0], ends[:, 1]


def _rings(pockets: NDArray[np.int64], beside: NDArray[np.int64]) -> NDArray[np.int64]:
    """Edges in a ring through the objects around each pocket, which connect these as the pocket does."""
    starts = np.flatnonzero(np.diff(pockets, prepend=-1))
    following = np.arange(1, len(pockets) + 1)
    ends = np.append(starts[1:], len(pockets))[: len(starts)]
    following[ends - 1] = starts
    rings = np.sort(np.stack([beside, beside[following]], axis=1), axis=1)
    return np.unique(rings[rings[:, 0] != rings[:, 1]], axis=0)


class _Meshes:
    """Parts of a graph that hang together without a cut vertex, and the objects through which they hang on the outside."""

    def __init__(self, edges: NDArray[np.int64], is_object: NDArray[np.bool_]) -> None:
        graph = nx.Graph()
        graph.add_edges_from(edges.tolist())
        self._meshes = [sorted(mesh) for mesh in nx.biconnected_components(graph)]
        self._of_region: dict[int, list[int]] = {}
        for n, mesh in enumerate(self._meshes):
            for region in mesh:
                self._of_region.setdefault(region, []).append(n)
        # From the outside inwards: a mesh is entered through the one region it shares with what was passed before.
        self._entry: dict[int, int] = {}
        self._owner: dict[int, int | None] = {}
        waiting: list[tuple[int, int, int | None]] = [
            (n, OUTSIDE, None) for n in self._of_region.get(OUTSIDE, [])
        ]
        while waiting:
            n, entry, owner = waiting.pop()
            self._entry[n] = entry
            self._owner[n] = entry if is_object[entry] else owner
            waiting.extend(
                (other, region, self._owner[n])
                for region in self._meshes[n]
                if region != entry
                for other in self._of_region[region]
                if other != n
            )

    def owners(self) -> Iterator[tuple[int, int]]:
        """Each region that an object encloses, with the innermost such object."""
        for n, entry in self._entry.items():
            owner = self._owner[n]
            if owner is not None:
                yield from ((region, owner) for region in self._meshes[n] if region != entry)

    def owner_between(self, a: int, b: int) -> int | None:
        """Innermost object around what lies between two regions that share an edge; None if there is none."""
        common = set(self._of_region[a]) & set(self._of_region[b])
        return self._owner[common.pop()]
