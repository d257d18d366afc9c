"""Holes of objects, found on the graph of touching supervoxels."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.supervoxels import OUTSIDE, Supervoxels


def find_enclosed_background(supervoxels: Supervoxels) -> NDArray[np.int64]:
    """Find background that an object shuts off from the volume's border.

    A supervoxel lies inside an object if every path of touching supervoxels from it to the border passes through
    that object, that is, if the object is a cut vertex of the graph. The result depends neither on blocks nor on the
    number of supervoxels in a hole, and a hole with another object in it is filled around that object.

    Returns
    -------
    (M, 2) ndarray of int64
        Supervoxel of background, and the innermost object around it.
    """
    pairs = supervoxels.contacts().pairs
    border = np.flatnonzero(supervoxels.border().any(axis=1))
    pockets, beside = _pockets(supervoxels, pairs, border)
    edges = pairs[~np.isin(pairs, pockets).any(axis=1)]
    outer = np.stack([np.full_like(border, OUTSIDE), border], axis=1)
    components = _BiconnectedComponents(
        np.concatenate([edges, _rings(pockets, beside), outer]), supervoxels.is_object
    )
    found = [
        (enclosed, owner)
        for enclosed, owner in components.owners()
        if not supervoxels.is_object[enclosed] and enclosed != OUTSIDE
    ]
    # A pocket lies in the component of the objects around it.
    starts = np.flatnonzero(np.diff(pockets, prepend=-1))
    for pocket, a, b in zip(
        pockets[starts].tolist(), beside[starts].tolist(), beside[starts + 1].tolist(), strict=True
    ):
        owner = components.owner_between(a, b)
        if owner is not None:
            found.append((pocket, owner))
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def _pockets(
    supervoxels: Supervoxels, pairs: NDArray[np.int64], border: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find background that touches two or more objects and nothing else, with each of these objects, in rising order.

    Pockets outnumber objects by far, so they get no place in the graph.
    """
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    closed = ~supervoxels.is_object
    closed[border] = False
    # Dropped objects and background that touch each other are no pockets.
    loose = ends[~supervoxels.is_object[ends].any(axis=1), 0]
    closed[loose] = False
    closed &= np.bincount(ends[:, 0], minlength=len(supervoxels)) >= 2
    ends = ends[closed[ends[:, 0]]]
    ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
    return ends[:, 0], ends[:, 1]


def _rings(pockets: NDArray[np.int64], beside: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return edges in a ring through the objects around each pocket, which connect these as the pocket does."""
    starts = np.flatnonzero(np.diff(pockets, prepend=-1))
    following = np.arange(1, len(pockets) + 1)
    ends = np.append(starts[1:], len(pockets))[: len(starts)]
    following[ends - 1] = starts
    rings = np.sort(np.stack([beside, beside[following]], axis=1), axis=1)
    return np.unique(rings[rings[:, 0] != rings[:, 1]], axis=0)


class _BiconnectedComponents:
    """Biconnected components of the graph, and the object through which each is reached from outside."""

    def __init__(self, edges: NDArray[np.int64], is_object: NDArray[np.bool_]) -> None:
        # Only masks need it, and it takes 0.1 s to import.
        import networkx as nx

        graph = nx.Graph()
        graph.add_edges_from(edges.tolist())
        self._components = [sorted(component) for component in nx.biconnected_components(graph)]
        self._of_node: dict[int, list[int]] = {}
        for n, component in enumerate(self._components):
            for node in component:
                self._of_node.setdefault(node, []).append(n)
        # From outside inwards: a component is entered through the one node that it shares with those passed before.
        self._entry: dict[int, int] = {}
        self._owner: dict[int, int | None] = {}
        waiting: list[tuple[int, int, int | None]] = [
            (n, OUTSIDE, None) for n in self._of_node.get(OUTSIDE, [])
        ]
        while waiting:
            n, entry, owner = waiting.pop()
            self._entry[n] = entry
            self._owner[n] = entry if is_object[entry] else owner
            waiting.extend(
                (other, node, self._owner[n])
                for node in self._components[n]
                if node != entry
                for other in self._of_node[node]
                if other != n
            )

    def owners(self) -> Iterator[tuple[int, int]]:
        """Yield each supervoxel that an object encloses, with the innermost such object."""
        for n, entry in self._entry.items():
            owner = self._owner[n]
            if owner is not None:
                yield from ((node, owner) for node in self._components[n] if node != entry)

    def owner_between(self, a: int, b: int) -> int | None:
        """Return the innermost object around the pockets between two objects that share an edge; None without one."""
        common = set(self._of_node[a]) & set(self._of_node[b])
        return self._owner[common.pop()]
