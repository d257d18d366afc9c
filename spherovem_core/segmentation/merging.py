"""Merging of neighbours without a boundary between them, on the adjacency graph of objects."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.supervoxels import Supervoxels, face_areas_nm2
from spherovem_core.spacing import SpacingNm


@dataclass
class _Object:
    """Area of the surface in nm², voxels, and sums of the measured maps over them."""

    area: float
    count: float
    sums: NDArray[np.float64]


@dataclass
class _Contact:
    """Common area in nm², common faces, and sums of the measured maps over them."""

    area: float
    count: float
    sums: NDArray[np.float64]


class AdjacencyGraph:
    """Objects and their contacts; merging two objects changes the contacts of their neighbours.

    Every quantity is a sum over voxels or faces, so that those of a merged object follow from those of its parts.

    Parameters
    ----------
    supervoxels
        Objects and their contacts, with the sums measured there.
    spacing_nm
        Voxel size.
    """

    def __init__(self, supervoxels: Supervoxels, spacing_nm: SpacingNm) -> None:
        contacts, counts, sums = supervoxels.contacts(), supervoxels.counts(), supervoxels.sums()
        surfaces = supervoxels.surfaces_nm2(spacing_nm)
        self.objects = {
            root: _Object(float(surfaces[root]), float(counts[root]), sums[root])
            for root in supervoxels.objects().tolist()
        }
        self.contacts: dict[int, dict[int, _Contact]] = {root: {} for root in self.objects}
        both = supervoxels.is_object[contacts.pairs].all(axis=1)
        areas = contacts.faces[both] @ face_areas_nm2(spacing_nm)
        faces, values = contacts.faces[both].sum(axis=1), contacts.sums[both]
        for n, (a, b) in enumerate(contacts.pairs[both].tolist()):
            contact = _Contact(float(areas[n]), float(faces[n]), values[n])
            self.contacts[a][b] = self.contacts[b][a] = contact

    def contact_fraction(self, a: int, b: int) -> float:
        """Return the common area as a fraction of the smaller surface; 1 if one object lies inside the other."""
        smaller = min(self.objects[a].area, self.objects[b].area)
        return self.contacts[a][b].area / smaller if smaller else 0.0

    def boundary_strength(self, a: int, b: int) -> float:
        """Measure the boundary between two touching objects: 0 none, 1 as sharp as can be.

        The larger of two: the drop of the network's confidence at the contact relative to its mean in both objects, and
        the contrast (c - m) / (c + m) of the image's gradient c at the contact to its mean m in both objects.
        """
        contact, one, other = self.contacts[a][b], self.objects[a], self.objects[b]
        inside = (one.sums + other.sums) / (one.count + other.count)
        confidence, gradient = contact.sums / contact.count
        dip = 1 - confidence / inside[0] if inside[0] > 0 else 0.0
        total = gradient + inside[1]
        contrast = (gradient - inside[1]) / total if total > 0 else 0.0
        return float(np.clip(max(dip, contrast), 0, 1))

    def merge(self, kept: int, gone: int) -> None:
        """Merge two touching objects under the number `kept`."""
        common = self.contacts[kept].pop(gone)
        self.contacts[gone].pop(kept)
        one, other = self.objects[kept], self.objects.pop(gone)
        one.area += other.area - 2 * common.area
        one.count += other.count
        one.sums = one.sums + other.sums
        for neighbour, contact in self.contacts.pop(gone).items():
            del self.contacts[neighbour][gone]
            known = self.contacts[kept].get(neighbour)
            if known is not None:
                contact = _Contact(
                    known.area + contact.area, known.count + contact.count, known.sums + contact.sums
                )
            self.contacts[kept][neighbour] = self.contacts[neighbour][kept] = contact


def merge_weak_boundaries(graph: AdjacencyGraph, parameters: MaskParameters) -> NDArray[np.int64]:
    """Merge the pair with the weakest boundary, until no pair is left that may be merged.

    A pair may be merged if it touches with at least the fraction `merge_contact_fraction` of the smaller surface and its
    boundary strength is at most `merge_boundary_strength`. A merger changes both values for its neighbours, which are
    measured again: a fragment is compared with the whole object that it touches, not with another fragment. The graph is
    changed in place.

    Returns
    -------
    (M, 2) ndarray of int64
        Pairs in the order in which they were merged.
    """
    pairs, _ = merge_in_order(graph, parameters.merge_boundary_strength, parameters.merge_contact_fraction)
    return pairs


def merge_in_order(
    graph: AdjacencyGraph, strongest: float, least_contact: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Merge as `merge_weak_boundaries`, and return also the boundary strength (M,) at which each pair was merged.

    With a smaller `strongest` the pairs are the same up to the first whose strength is above it.
    """
    pairs: list[tuple[int, int]] = []
    strengths: list[float] = []
    waiting = [
        e for a in graph.contacts for e in _candidates(graph, strongest, least_contact, a) if e[1] == a
    ]
    heapq.heapify(waiting)
    while waiting:
        strength, a, b = heapq.heappop(waiting)
        if b not in graph.contacts.get(a, {}) or strength != graph.boundary_strength(a, b):
            continue
        if graph.contact_fraction(a, b) < least_contact:
            continue
        graph.merge(a, b)
        pairs.append((a, b))
        strengths.append(strength)
        for entry in _candidates(graph, strongest, least_contact, a):
            heapq.heappush(waiting, entry)
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(strengths)


def _candidates(
    graph: AdjacencyGraph, strongest: float, least_contact: float, a: int
) -> Iterator[tuple[float, int, int]]:
    """Yield the mergers that an object allows: strength of the boundary, and both numbers, the smaller first."""
    for b in graph.contacts[a]:
        if graph.contact_fraction(a, b) >= least_contact:
            strength = graph.boundary_strength(a, b)
            if strength <= strongest:
                yield strength, min(a, b), max(a, b)
