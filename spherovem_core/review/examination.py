"""Examination of one object: its inside, its contacts with neighbours, and cuts that would divide it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.review.cuts import Cut, depth_um, nuclei_within, propose_cuts
from spherovem_core.review.faces import FaceEvidence, find_faces, measure_faces, unit_flow
from spherovem_core.review.hulls import hull
from spherovem_core.review.object_view import ObjectBox, ObjectView, PlacedField, ReviewLevel, view_object

LEAST_VOXELS = 30
"""Voxels of the view below which an object is not cut."""


@dataclass(frozen=True)
class Contact:
    """Contact of an object with a neighbour."""

    other: int
    faces: FaceEvidence


@dataclass(frozen=True)
class Examined:
    """Measurements of one object.

    Attributes
    ----------
    volume_um3, hull_um3
        Volume on the view's grid, and of the convex hull.
    hull_um : (N, 3) ndarray
        Corners of the convex hull.
    inside_um : (3,) ndarray
        Deepest point.
    gradient, logit
        Medians well within the object; NaN where the source is absent.
    flow_length
        Median length of the flows within.
    flow_error
        One minus the mean cosine between the flows and the way inwards: 0 agreement, 1 chance, 2 opposition.
    rim
        Evidence on its surface within the volume; None if it fills the view.
    nuclei
        Nuclei that lie in it for the most.
    nucleus_overlap
        Fraction of its volume that any nucleus fills.
    contacts, cuts
        In rising order of the neighbours; in the order of the ways to cut.
    pieces_um : (K, 3) ndarray
        Deepest points of separate pieces, the largest first; one for an object in one piece.
    second_piece
        Volume of the second largest piece as a fraction of the object.
    """

    label: int
    volume_um3: float
    hull_um3: float
    hull_um: NDArray[np.float64]
    inside_um: NDArray[np.float64]
    gradient: float
    logit: float
    flow_length: float
    flow_error: float
    rim: FaceEvidence | None
    nuclei: tuple[int, ...]
    nucleus_overlap: float
    contacts: tuple[Contact, ...]
    cuts: tuple[Cut, ...]
    pieces_um: NDArray[np.float64]
    second_piece: float


def examine(
    box: ObjectBox, levels: Sequence[ReviewLevel], flows: PlacedField | None, voxel_nm: float
) -> Examined | None:
    """Examine one object; None if it has no voxel on the coarse grid."""
    view = view_object(box, levels, flows, voxel_nm)
    if not view.mask.any():
        return None
    mask, flow = view.mask, unit_flow(view)
    depth = depth_um(mask, view.spacing_um)
    corners, hull_volume = hull(mask, view)
    well_inside = _well_inside(view, depth)
    outer = find_faces(mask.astype(np.int8) + 1, mask.astype(np.int8) + 1)
    pieces, second = _pieces(view, depth)
    nuclei = () if view.nuclei is None else tuple(nuclei_within(view))
    return Examined(
        box.label,
        float(mask.sum() * np.prod(view.spacing_um)),
        hull_volume,
        corners,
        pieces[0],
        _median(view.gradient, well_inside),
        _median(view.logit, well_inside),
        _median(None if view.flow is None else np.linalg.norm(view.flow, axis=0), mask),
        _flow_error(flow, depth, mask),
        measure_faces(view, outer, flow) if len(outer) else None,
        nuclei,
        float("nan") if view.nuclei is None else float((view.nuclei[mask] > 0).mean()),
        tuple(_contacts(view, flow)),
        tuple(propose_cuts(view, flow, depth, hull_volume)) if mask.sum() >= LEAST_VOXELS else (),
        pieces,
        second,
    )


def _well_inside(view: ObjectView, depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Select voxels two voxels or more from the surface, without nuclei, or else the deeper half."""
    inside = depth > 2 * float(view.spacing_um.max())
    if view.nuclei is not None:
        bare = inside & ~ndimage.binary_dilation(view.nuclei > 0, iterations=2)
        inside = bare if bare.any() else inside
    return inside if inside.any() else view.mask & (depth >= np.median(depth[view.mask]))


def _contacts(view: ObjectView, flow: NDArray[np.float32] | None) -> list[Contact]:
    own = view.labels == view.label
    faces = find_faces(view.labels, view.labels)
    mine = np.logical_or(*faces.both(own))
    faces = faces.select(mine)
    if not len(faces):
        return []
    one, other = faces.both(view.labels)
    neighbour = np.where(one == view.label, other, one)
    return [
        Contact(int(n), measure_faces(view, faces.select(neighbour == n), flow)) for n in np.unique(neighbour)
    ]


def _pieces(view: ObjectView, depth: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    pieces, count = ndimage.label(view.mask, ndimage.generate_binary_structure(3, 3))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")[:2]
    points = [
        np.unravel_index(int(np.where(pieces == n + 1, depth, -1).argmax()), depth.shape) for n in order
    ]
    return view.place(np.array(points)), float(sizes[order[1]] / sizes.sum()) if len(order) > 1 else 0.0


def _flow_error(
    flow: NDArray[np.float32] | None, depth: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    if flow is None or mask.sum() < LEAST_VOXELS:
        return float("nan")
    smooth = ndimage.gaussian_filter(depth, 1.5)
    inwards = np.array(np.gradient(smooth))[:, mask]
    inwards /= np.linalg.norm(inwards, axis=0) + 1e-6
    return float(1 - (inwards * flow[:, mask]).sum(axis=0).mean())


def _median(values: NDArray[np.floating] | None, where: NDArray[np.bool_]) -> float:
    return float("nan") if values is None else float(np.median(values[where]))
