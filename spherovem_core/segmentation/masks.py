"""Masks from flows, on arrays that fit in memory."""

from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.dynamics import instances
from spherovem_core.segmentation.flow_error import flow_errors
from spherovem_core.spacing import SpacingNm, voxel_volume_um3


def masks_from_flows(
    flows: NDArray[np.floating[Any]], parameters: SegmentationParameters, spacing_nm: SpacingNm
) -> NDArray[np.uint32]:
    """Make instance labels from a network's flows.

    Parameters
    ----------
    flows : (4, Z, Y, X) ndarray
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them, and the probability logit.
    parameters
        Threshold of the probability, smoothing in voxels of this grid, filters of the objects.
    spacing_nm
        Voxel size of this grid.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Contiguous from 1 in the order in which objects first appear in the array; 0 is background.

    Raises
    ------
    ShapeMismatchError
        If the flows do not have four maps of a volume.
    """
    if flows.ndim != 4 or len(flows) != 4:
        raise ShapeMismatchError(f"flows have shape {flows.shape}; expected (4, Z, Y, X): dz, dy, dx, logit")
    values = smooth_flows(flows, parameters)
    labels = raw_masks(values, parameters)
    if parameters.flow_error_threshold:
        numbers, errors = flow_errors(labels, values[:3])
        drop = numbers[errors > parameters.flow_error_threshold]
        labels = fastremap.mask(labels, drop.astype(labels.dtype).tolist())
    numbers, counts = fastremap.unique(labels, return_counts=True)
    small = numbers[counts < min_voxels(parameters, spacing_nm)]
    labels = fastremap.mask(labels, small.tolist())
    labels, _ = fastremap.renumber(labels, preserve_zero=True, in_place=True)
    return np.asarray(labels, dtype=np.uint32)


def smooth_flows(flows: NDArray[np.floating[Any]], parameters: SegmentationParameters) -> NDArray[np.float32]:
    """Smooth the vectors, not the logit, by a Gaussian of `flow_smoothing` voxels."""
    values = np.array(flows, dtype=np.float32)
    if parameters.flow_smoothing:
        for component in values[:3]:
            ndimage.gaussian_filter(component, parameters.flow_smoothing, output=component, truncate=3.0)
    return values


def raw_masks(flows: NDArray[np.float32], parameters: SegmentationParameters) -> NDArray[np.uint32]:
    """Instances with their holes filled, of any size, numbered from 1 without gaps."""
    labels = instances(flows[:3], flows[3] > parameters.probability_threshold)
    labels, _ = fastremap.renumber(labels, preserve_zero=True, in_place=True)
    labels = labels.astype(np.uint32)
    return fill_holes(labels)


def fill_holes(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Give background that one object encloses to that object, in place."""
    import fill_voids  # type: ignore[import-not-found, import-untyped, unused-ignore]

    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False)), 1):
        if box is None or min(s.stop - s.start for s in box) < 3:
            continue
        part = labels[box]
        filled = fill_voids.fill(np.ascontiguousarray(part == label))
        part[filled & (part == 0)] = label
    return labels


def min_voxels(parameters: SegmentationParameters, spacing_nm: SpacingNm) -> float:
    """Voxels in a ball of the smallest diameter."""
    return np.pi / 6 * parameters.min_diameter_um**3 / voxel_volume_um3(spacing_nm)
