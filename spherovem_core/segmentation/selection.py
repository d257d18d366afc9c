"""Which regions of a volume are objects in the end: holes filled, fragments merged, unwanted objects dropped."""

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.filters import filter_vectors
from spherovem_core.segmentation.flow_error import object_error
from spherovem_core.segmentation.holes import enclosed
from spherovem_core.segmentation.mask_inputs import MaskField
from spherovem_core.segmentation.merging import AdjacencyGraph, mergers
from spherovem_core.segmentation.supervoxels import Regions, face_areas_nm2
from spherovem_core.spacing import SpacingNm, voxel_volume_um3


def choose_objects(
    regions: Regions,
    field: MaskField,
    numbers: ArrayLike,
    parameters: SegmentationParameters,
    ledger: MutableMapping[str, Any],
) -> None:
    """Join and drop regions as the parameters say.

    Parameters
    ----------
    regions
        Changed in place.
    field
        Flows for the flow error.
    numbers : (Z, Y, X) array of uint32
        Region of each voxel.
    parameters
        Merging, holes, smallest diameter, largest share of the border, and flow error, in this order.
    ledger
        Keeps the flow error of each object that was judged.
    """
    spacing_nm = field.target.spacing_nm
    if parameters.fill_holes:
        regions.join(enclosed(regions))
    if parameters.merge_boundary_strength:
        regions.join(mergers(AdjacencyGraph(regions, spacing_nm), parameters))
        if parameters.fill_holes:
            regions.join(enclosed(regions))
    regions.drop(too_small(regions, parameters, spacing_nm))
    if parameters.max_truncated_fraction < 1:
        regions.drop(mostly_cut(regions, parameters, spacing_nm))
    if parameters.flow_error_threshold:
        regions.drop(inconsistent(regions, field, numbers, parameters, ledger))
    if parameters.fill_holes:
        regions.join(enclosed(regions))


def too_small(
    regions: Regions, parameters: SegmentationParameters, spacing_nm: SpacingNm
) -> NDArray[np.int64]:
    """Objects with fewer voxels than a ball of `min_diameter_um`."""
    least = np.pi / 6 * parameters.min_diameter_um**3 / voxel_volume_um3(spacing_nm)
    objects = regions.objects()
    return objects[regions.counts()[objects] < least]


def mostly_cut(
    regions: Regions, parameters: SegmentationParameters, spacing_nm: SpacingNm
) -> NDArray[np.int64]:
    """Objects more of whose surface than `max_truncated_fraction` lies on the volume's border, by area of faces."""
    objects = regions.objects()
    cut = regions.border()[objects] @ face_areas_nm2(spacing_nm)
    surface = regions.surfaces_nm2(spacing_nm)[objects]
    return objects[cut > parameters.max_truncated_fraction * surface]


def inconsistent(
    regions: Regions,
    field: MaskField,
    numbers: ArrayLike,
    parameters: SegmentationParameters,
    ledger: MutableMapping[str, Any],
) -> NDArray[np.int64]:
    """Objects whose flows disagree with their shape by more than `flow_error_threshold`."""
    found = []
    for root, box in regions.boxes().items():
        key = f"flow error of {root}"
        if key not in ledger:
            ledger[key] = _error_of(root, box, regions, field, numbers, parameters)
        if ledger[key] > parameters.flow_error_threshold:
            found.append(root)
    return np.array(found, np.int64)


def _error_of(
    root: int,
    box: Region,
    regions: Regions,
    field: MaskField,
    numbers: ArrayLike,
    parameters: SegmentationParameters,
) -> float:
    """Flow error of an object at the resolution of the flows; 0 if it has no voxel there."""
    grid, target = field.grid, field.target
    region, samples = [], []
    for axis, s in enumerate(box):
        # Flow voxels whose centres lie in the box, and the mask voxel at each centre.
        centres = grid.origin_nm[axis] + grid.spacing_nm[axis] * np.arange(grid.shape[axis])
        place = np.rint((centres - target.origin_nm[axis]) / target.spacing_nm[axis]).astype(int)
        inside = np.flatnonzero((place >= s.start) & (place < s.stop))
        region.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
        samples.append(place[inside] - s.start)
    mask = (regions.roots[np.asarray(numbers[box])] == root)[np.ix_(*samples)]
    if not mask.any():
        return 0.0
    return object_error(mask, filter_vectors(np.asarray(field.flows[(slice(0, 3), *region)]), parameters))
