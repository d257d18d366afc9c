"""What lies inside an object belongs to it: holes found on the graph of touching regions."""

from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.regions import OUTSIDE, Regions


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
    graph = nx.Graph()
    graph.add_edges_from(regions.contacts().pairs.tolist())
    graph.add_edges_from((OUTSIDE, int(root)) for root in np.flatnonzero(regions.border().any(axis=1)))
    found = [
        (region, owner)
        for region, owner in _owners(graph, regions)
        if not regions.is_object[region] and region != OUTSIDE
    ]
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def _owners(graph: nx.Graph, regions: Regions) -> Iterator[tuple[int, int]]:
    """Each region that an object encloses, with the innermost such object."""
    if OUTSIDE not in graph:
        return
    meshes = [sorted(mesh) for mesh in nx.biconnected_components(graph)]
    of_region: dict[int, list[int]] = {}
    for n, mesh in enumerate(meshes):
        for region in mesh:
            of_region.setdefault(region, []).append(n)
    # From the outside inwards: a mesh is entered through the one region it shares with what was passed before.
    waiting: list[tuple[int, int, int | None]] = [(n, OUTSIDE, None) for n in of_region[OUTSIDE]]
    while waiting:
        n, entry, owner = waiting.pop()
        if regions.is_object[entry]:
            owner = entry
        for region in meshes[n]:
            if region == entry:
                continue
            if owner is not None:
                yield region, owner
            waiting.extend((other, region, owner) for other in of_region[region] if other != n)
