"""Examination of one object: its inside and cuts that would divide it, and its contacts with neighbours.

What is found of the object itself depends on its own voxels, the image, the flows and the nuclei in its view, but not on its
neighbours. What is found at a contact depends on the faces of the contact, image, flows and nuclei, but not on the rest of the
two objects, nor on the view in which the faces are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import block_grid
from spherovem_core.review.boundary_sharpness import boundary_slope
from spherovem_core.review.cuts import Cut, depth_um, nuclei_within, propose_cuts
from spherovem_core.review.faces import (
    FaceEvidence,
    FaceValues,
    average_values,
    find_faces,
    measure_faces,
    read_values,
    unit_flow,
)
from spherovem_core.review.hulls import hull
from spherovem_core.review.object_view import (
    MARGIN,
    ObjectBox,
    ObjectView,
    fitting_times,
    read_view,
    view_region,
)
from spherovem_core.review.review_grid import ReviewGrid
from spherovem_core.review.touching import Touch, faces_of

LEAST_VOXELS = 30
"""Voxels of the view below which an object is not cut."""

CONTACT_EDGE = 64
"""Voxels along the side of the blocks in which a contact is read on its own."""


@dataclass(frozen=True)
class Inside:
    """Measurements of an object itself.

    Attributes
    ----------
    volume_um3, hull_um3
        Volume on the view's grid, and of the convex hull.
    hull_um : (N, 3) ndarray of float32
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
        Number of nuclei that lie in it for the most.
    nucleus_overlap
        Fraction of its volume that any nucleus fills.
    cuts
        In the order of the ways to cut.
    pieces_um : (K, 3) ndarray
        Deepest points of separate pieces, the largest first; one for an object in one piece.
    second_piece
        Volume of the second largest piece as a fraction of the object.
    slope
        Mean slope of the logit at its surface, per µm.
    """

    volume_um3: float
    hull_um3: float
    hull_um: NDArray[np.float32]
    inside_um: NDArray[np.float64]
    gradient: float
    logit: float
    flow_length: float
    flow_error: float
    rim: FaceEvidence | None
    nuclei: int
    nucleus_overlap: float
    cuts: tuple[Cut, ...]
    pieces_um: NDArray[np.float64]
    second_piece: float
    slope: float


@dataclass(frozen=True)
class Contact:
    """Contact of an object with a neighbour.

    Attributes
    ----------
    union_hull_um3
        Volume of the convex hull of both objects.
    """

    other: int
    faces: FaceEvidence
    union_hull_um3: float


@dataclass(frozen=True)
class Examined(Inside):
    """Measurements of an object, and its contacts with the neighbours of larger numbers, in rising order."""

    label: int
    contacts: tuple[Contact, ...]


@dataclass(frozen=True)
class Examination:
    """Measurements to make in the surroundings of one object.

    Attributes
    ----------
    box
        The object, with its bounding box on the grid.
    inside
        False if only contacts are to be measured.
    touches
        Contacts to measure, by neighbour.
    """

    box: ObjectBox
    inside: bool
    touches: Mapping[int, Touch]


def examine(task: Examination, grid: ReviewGrid) -> tuple[Inside | None, dict[int, FaceEvidence]]:
    """Measure an object; None if it has no voxel on its grid. Measure contacts, by neighbour."""
    inside, found = None, {}
    times = fitting_times(task.box)
    if task.inside:
        own = grid.coarser(times)
        view = read_view(task.box.label, own, view_region(task.box, own))
        inside = _examine_inside(view) if view.mask.any() else None
        if times == 1:
            return inside, _contacts_in(view, task.touches)
    for other, touch in task.touches.items():
        found[other] = _measure_contact(task.box.label, other, touch, grid)
    return inside, found


def _examine_inside(view: ObjectView) -> Inside:
    mask = view.mask
    lengths = None if view.flow is None else np.linalg.norm(view.flow, axis=0)
    flow_length = _median(lengths, mask)
    flow = unit_flow(view.flow, flow_length)
    depth = depth_um(mask, view.spacing_um)
    corners, hull_volume = hull(mask, view)
    well_inside = _well_inside(view, depth)
    outer = find_faces(mask.astype(np.int8) + 1, mask.astype(np.int8) + 1)
    pieces, second = _pieces(view, depth)
    return Inside(
        float(mask.sum() * np.prod(view.spacing_um)),
        hull_volume,
        corners.astype(np.float32),
        pieces[0],
        _median(view.gradient, well_inside),
        _median(view.logit, well_inside),
        flow_length,
        _flow_error(flow, depth, mask),
        measure_faces(view, outer, flow) if len(outer) else None,
        len(nuclei_within(view)),
        float("nan") if view.nuclei is None else float((view.nuclei[mask] > 0).mean()),
        tuple(propose_cuts(view, flow, depth, hull_volume)) if mask.sum() >= LEAST_VOXELS else (),
        pieces,
        second,
        boundary_slope(view),
    )


def _well_inside(view: ObjectView, depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Select voxels two voxels or more from the surface, without nuclei, or else the deeper half."""
    inside = depth > 2 * float(view.spacing_um.max())
    if view.nuclei is not None:
        bare = inside & ~ndimage.binary_dilation(view.nuclei > 0, iterations=2)
        inside = bare if bare.any() else inside
    return inside if inside.any() else view.mask & (depth >= np.median(depth[view.mask]))


def _contacts_in(view: ObjectView, touches: Mapping[int, Touch]) -> dict[int, FaceEvidence]:
    """Measure contacts of an object that lie in its view."""
    if not touches:
        return {}
    faces, neighbour = faces_of(view.labels, view.label)
    values = read_values(view, faces, unit_flow(view.flow, view.grid.flow_length))
    return {other: average_values(values.select(neighbour == other), view.grid) for other in touches}


def _measure_contact(label: int, other: int, touch: Touch, grid: ReviewGrid) -> FaceEvidence:
    """Measure a contact in blocks, as it would be in the view of either object."""
    parts = []
    shape = tuple(high - low for low, high in zip(touch.low, touch.high, strict=True))
    for block in block_grid(shape, (CONTACT_EDGE,) * 3):
        low = np.array(touch.low) + [s.start for s in block.core]
        high = np.array(touch.low) + [s.stop for s in block.core]
        region = tuple(
            slice(max(0, int(a) - MARGIN), min(n, int(b) + MARGIN))
            for a, b, n in zip(low, high, grid.shape, strict=True)
        )
        view = read_view(label, grid, region)
        faces, neighbour = faces_of(view.labels, label)
        before = faces.before + view.low
        chosen = (neighbour == other) & ((before >= low) & (before < high)).all(axis=1)
        parts.append(read_values(view, faces.select(chosen), unit_flow(view.flow, grid.flow_length)))
    return average_values(FaceValues.join(parts), grid)


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
