"""Cuts that would divide an object into two, proposed by image and flows, by shape, and by nuclei."""

from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.review.faces import FaceEvidence, Faces, find_faces, measure_faces
from spherovem_core.review.hulls import hull
from spherovem_core.review.object_view import ObjectView
from spherovem_core.review.partition import Key, by_evidence, by_neck, find_seeds, flood, join_basins

RIDGE = 0.5
"""Evidence, 0 within objects and 1 at their surface, from which a voxel counts as boundary when seeds are looked for."""

ENVELOPE_VOXELS = 2
"""Voxels around a nucleus whose evidence is not counted: its envelope looks like the boundary of a cell."""

SEED_DISTANCE = 4
"""Voxels between two seeds."""


@dataclass(frozen=True)
class Cut:
    """A division of an object into two parts.

    Attributes
    ----------
    source
        Proposed by: ``evidence``, ``shape`` or ``nuclei``.
    faces
        Evidence on the cut.
    volumes_um3
        Volume of the smaller and of the larger part.
    enclosed
        Cut area as a fraction of the smaller part's whole surface.
    neck
        Cut area over the power 2/3 of the smaller part's volume.
    hull_ratio
        Volume of the convex hull over the sum of the parts' hulls: 1 if the object is convex, more with a waist.
    nuclei : (2,)
        Nuclei that lie in each part for the most.
    seeds_um : (2, 3) ndarray
        A point deep in each part.
    """

    source: str
    faces: FaceEvidence
    volumes_um3: tuple[float, float]
    enclosed: float
    neck: float
    hull_ratio: float
    nuclei: tuple[int, int]
    seeds_um: NDArray[np.float64]


def propose_cuts(
    view: ObjectView, flow: NDArray[np.float32] | None, depth: NDArray[np.float32], hull_um3: float
) -> list[Cut]:
    """Propose up to three cuts of an object, each found in another way.

    Parameters
    ----------
    flow
        From `unit_flow`.
    depth
        From `depth_um` of the object.
    hull_um3
        Volume of its convex hull.
    """
    mask = view.mask
    evidence = boundary_map(view, flow, depth)
    smooth = ndimage.gaussian_filter(evidence, 0.7)
    outer = _outer_faces(mask)
    cuts = []
    height = smooth - 0.3 * depth / max(float(depth.max()), 1e-6)
    inner_depth = depth_um(mask & (smooth < RIDGE), view.spacing_um)
    trials: list[tuple[str, NDArray[Any], NDArray[np.int64], Key]] = [
        ("evidence", height, find_seeds(inner_depth, SEED_DISTANCE), by_evidence),
        ("shape", -ndimage.gaussian_filter(depth, 0.7), find_seeds(depth, SEED_DISTANCE), by_neck),
        ("nuclei", height, _nucleus_seeds(view), by_evidence),
    ]
    for source, surface, seeds, key in trials:
        if len(seeds) < 2:
            continue
        basins = flood(surface.astype(np.float32), seeds, mask)
        outer_area = _area_by_class(outer, basins, view.face_areas_um2)
        parts = join_basins(
            basins, smooth, view.face_areas_um2, float(np.prod(view.spacing_um)), outer_area, key
        )
        cut = None if parts is None else _describe(view, source, parts, flow, hull_um3)
        if cut is not None:
            cuts.append(cut)
    return cuts


def depth_um(mask: NDArray[np.bool_], spacing_um: NDArray[np.float64]) -> NDArray[np.float32]:
    """Measure the distance of every voxel of a mask to its outside in µm; the end of the array is no outside.

    A mask that fills the array has one voxel's side everywhere.
    """
    if mask.all():
        return np.full(mask.shape, spacing_um.min(), np.float32)
    depth = np.zeros(mask.shape, np.float32)
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found:
        return depth
    # The outside voxel nearest to one of the mask borders the mask: one voxel around the mask decides.
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in found[0])
    sides = tuple(spacing_um.tolist())
    depth[box] = edt.edt(
        np.ascontiguousarray(mask[box]).view(np.uint8), anisotropy=sides, black_border=False, parallel=1
    )
    return depth


def boundary_map(
    view: ObjectView, flow: NDArray[np.float32] | None, depth: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Combine image, logit and flows into one map: about 0 within the object and 1 as at its own surface."""
    mask, maps = view.mask, []
    inside = depth > 2 * float(view.spacing_um.max())
    inside = inside if inside.any() else mask
    rim = mask & ~ndimage.binary_erosion(mask, border_value=1)
    rim = rim if rim.any() else mask
    if view.gradient is not None:
        maps.append(_scaled(view.gradient, inside, rim, 0.25))
    if view.logit is not None:
        maps.append(_scaled(-view.logit, inside, rim, 0.1))
    if flow is not None:
        divergence = sum(
            np.gradient(ndimage.gaussian_filter(flow[axis], 0.7), axis=axis) for axis in range(3)
        )
        maps.append(np.clip(divergence, 0, 1.5).astype(np.float32))
    if not maps:
        return np.zeros(mask.shape, np.float32)
    combined: NDArray[np.float32] = np.asarray(np.mean(maps, axis=0), np.float32)
    if view.nuclei is not None:
        combined[ndimage.binary_dilation(view.nuclei > 0, iterations=ENVELOPE_VOXELS)] = 0
    return np.asarray(combined, np.float32)


def _scaled(
    values: NDArray[np.float32], inside: NDArray[np.bool_], rim: NDArray[np.bool_], least: float
) -> NDArray[np.float32]:
    low, high = float(np.median(values[inside])), float(np.median(values[rim]))
    return np.asarray(np.clip((values - low) / max(high - low, least * abs(low), 1e-6), 0, 1.5), np.float32)


def _nucleus_seeds(view: ObjectView) -> NDArray[np.int64]:
    """Return a point deep in each nucleus of the object; none unless there are two."""
    found = nuclei_within(view)
    if len(found) < 2 or view.nuclei is None:
        return np.empty((0, 3), np.int64)
    seeds = []
    for nucleus in found:
        inside = depth_um((view.nuclei == nucleus) & view.mask, view.spacing_um)
        seeds.append(np.unravel_index(int(inside.argmax()), inside.shape))
    return np.array(seeds, np.int64)


def nuclei_within(view: ObjectView) -> list[int]:
    """Return the nuclei that lie in the object with most of their voxels in the view."""
    if view.nuclei is None:
        return []
    total = np.unique(view.nuclei[view.nuclei > 0], return_counts=True)
    inside = dict(
        zip(*np.unique(view.nuclei[(view.nuclei > 0) & view.mask], return_counts=True), strict=True)
    )
    return [int(n) for n, count in zip(*total, strict=True) if inside.get(n, 0) > 0.5 * count]


def _deepest(mask: NDArray[np.bool_], spacing_um: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of a voxel deep in a mask, looked for among every second voxel where that has any."""
    step = 2 if mask[::2, ::2, ::2].any() else 1
    inside = depth_um(mask[::step, ::step, ::step], step * spacing_um)
    return step * np.array(np.unravel_index(int(inside.argmax()), inside.shape))


def _outer_faces(mask: NDArray[np.bool_]) -> Faces:
    classes = mask.astype(np.int8) + 1
    return find_faces(classes, classes)


def _area_by_class(
    faces: Faces, basins: NDArray[np.int32], face_areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    owner = np.maximum(*faces.both(basins))
    weights = face_areas[faces.axis]
    return np.bincount(owner, weights, minlength=int(basins.max()) + 1).astype(np.float64)


def _describe(
    view: ObjectView,
    source: str,
    parts: NDArray[np.int32],
    flow: NDArray[np.float32] | None,
    hull_um3: float,
) -> Cut | None:
    faces = find_faces(parts, parts)
    if not len(faces):
        return None
    masks = [parts == 1, parts == 2]
    counts = [int(mask.sum()) for mask in masks]
    if counts[0] > counts[1]:
        masks.reverse()
        counts.reverse()
    volumes = [count * float(np.prod(view.spacing_um)) for count in counts]
    hulls = [hull(mask, view)[1] for mask in masks]
    evidence = measure_faces(view, faces, flow)
    outer = _outer_faces(masks[0])
    surface = float(view.face_areas_um2[outer.axis].sum())
    nuclei = [0, 0]
    for nucleus in nuclei_within(view):
        own = np.asarray(view.nuclei) == nucleus
        inside = [int((own & mask).sum()) for mask in masks]
        nuclei[int(np.argmax(inside))] += 1
    seeds = [view.place(_deepest(mask, view.spacing_um)) for mask in masks]
    return Cut(
        source,
        evidence,
        (volumes[0], volumes[1]),
        evidence.area_um2 / max(surface, 1e-9),
        evidence.area_um2 / volumes[0] ** (2 / 3),
        hull_um3 / max(sum(hulls), 1e-9),
        (nuclei[0], nuclei[1]),
        np.array(seeds),
    )
