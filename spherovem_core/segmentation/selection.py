"""Choice of the final objects: holes are filled, fragments merged, unwanted objects dropped."""

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.filters import filter_vectors
from spherovem_core.segmentation.flow_error import object_error
from spherovem_core.segmentation.holes import find_enclosed_background
from spherovem_core.segmentation.learned_merging import LearnedGraph, LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging import AdjacencyGraph, merge_in_order, merge_weak_boundaries
from spherovem_core.segmentation.supervoxels import Supervoxels, face_areas_nm2
from spherovem_core.spacing import SpacingNm, voxel_volume_um3


def choose_objects(
    supervoxels: Supervoxels,
    inputs: MaskInputs,
    numbers: ArrayLike,
    parameters: MaskParameters,
    ledger: MutableMapping[str, Any],
    learned: LearnedMerging | None = None,
) -> None:
    """Join and drop supervoxels as the parameters say.

    Parameters
    ----------
    supervoxels
        Changed in place.
    inputs
        Flows for the flow error.
    numbers : (Z, Y, X) array of uint32
        Supervoxel of each voxel.
    parameters
        Holes, merging, smallest diameter, largest truncated fraction, and flow error, in this order.
    ledger
        Keeps the flow error of each object measured so far.
    learned
        Decides on merging, if given.
    """
    spacing_nm = inputs.target.spacing_nm
    if parameters.fill_holes:
        supervoxels.join(find_enclosed_background(supervoxels))
    if learned is not None:
        model = learned.model
        graph = LearnedGraph(supervoxels, spacing_nm, model.contact, model.spacing_nm)
        supervoxels.join(merge_in_order(graph, model.strongest)[0])
        if parameters.fill_holes:
            supervoxels.join(find_enclosed_background(supervoxels))
    elif parameters.merge_boundary_strength:
        supervoxels.join(merge_weak_boundaries(AdjacencyGraph(supervoxels, spacing_nm), parameters))
        if parameters.fill_holes:
            supervoxels.join(find_enclosed_background(supervoxels))
    supervoxels.drop(find_too_small(supervoxels, parameters, spacing_nm))
    if parameters.max_truncated_fraction < 1:
        supervoxels.drop(find_mostly_truncated(supervoxels, parameters, spacing_nm))
    if parameters.flow_error_threshold:
        supervoxels.drop(find_inconsistent(supervoxels, inputs, numbers, parameters, ledger))
    if parameters.fill_holes:
        supervoxels.join(find_enclosed_background(supervoxels))


def find_too_small(
    supervoxels: Supervoxels, parameters: MaskParameters, spacing_nm: SpacingNm
) -> NDArray[np.int64]:
    """Find objects with fewer voxels than a ball of `min_diameter_um`."""
    least = np.pi / 6 * parameters.min_diameter_um**3 / voxel_volume_um3(spacing_nm)
    objects = supervoxels.objects()
    return objects[supervoxels.counts()[objects] < least]


def find_mostly_truncated(
    supervoxels: Supervoxels, parameters: MaskParameters, spacing_nm: SpacingNm
) -> NDArray[np.int64]:
    """Find objects with more than `max_truncated_fraction` of their surface, by area of faces, on the volume's border."""
    objects = supervoxels.objects()
    cut = supervoxels.border()[objects] @ face_areas_nm2(spacing_nm)
    surface = supervoxels.surfaces_nm2(spacing_nm)[objects]
    return objects[cut > parameters.max_truncated_fraction * surface]


def find_inconsistent(
    supervoxels: Supervoxels,
    inputs: MaskInputs,
    numbers: ArrayLike,
    parameters: MaskParameters,
    ledger: MutableMapping[str, Any],
) -> NDArray[np.int64]:
    """Find objects whose flows disagree with their shape by more than `flow_error_threshold`."""
    found = []
    for root, box in supervoxels.boxes().items():
        key = f"flow error of {root}"
        if key not in ledger:
            ledger[key] = _measure_error(root, box, supervoxels, inputs, numbers, parameters)
        if ledger[key] > parameters.flow_error_threshold:
            found.append(root)
    return np.array(found, np.int64)


def _measure_error(
    root: int,
    box: Region,
    supervoxels: Supervoxels,
    inputs: MaskInputs,
    numbers: ArrayLike,
    parameters: MaskParameters,
) -> float:
    """Measure the flow error of an object at the resolution of the flows; 0 if it has no voxel there."""
    grid, target = inputs.grid, inputs.target
    region, samples = [], []
    for axis, s in enumerate(box):
        # Flow voxels whose centres lie in the box, and the mask voxel at each centre.
        centres = grid.origin_nm[axis] + grid.spacing_nm[axis] * np.arange(grid.shape[axis])
        place = np.rint((centres - target.origin_nm[axis]) / target.spacing_nm[axis]).astype(int)
        inside = np.flatnonzero((place >= s.start) & (place < s.stop))
        region.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        samples.append(place[inside] - s.start)
    mask = (supervoxels.roots[np.asarray(numbers[box])] == root)[np.ix_(*samples)]
    if not mask.any():
        return 0.0
    flows = filter_vectors(np.asarray(inputs.flows[(slice(0, 3), *region)]), parameters, inputs.sides)
    if not inputs.in_sections:
        return object_error(mask, flows)
    shown = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    errors = [object_error(mask[z : z + 1], flows[:, z : z + 1]) for z in shown]
    return float(np.average(errors, weights=mask[shown].sum(axis=(1, 2))))
