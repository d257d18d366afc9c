"""Disagreement between predicted flows and the objects made from them, in 3D."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.segmentation.dynamics import FLOW_LENGTH
from spherovem_core.segmentation.heat_diffusion import diffuse_in_volume, rising_directions

MAX_SIDE = 48
"""Voxels along the longest side of an object up to which every voxel counts."""


def flow_errors(
    labels: NDArray[np.uint32], flows: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Measure the mean squared difference between the predicted and the ideal flow directions of each object.

    Cellpose drops objects by this measure in 2D only (``remove_bad_flow_masks``). Here both are unit
    vectors, since `run_3D` adds up the flows of two planes and their length has no fixed scale: 0 is
    agreement, 2 the mean for random directions, 4 opposition.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of uint32
        Objects, 0 is background.
    flows : (3, Z, Y, X) ndarray of float32
        Predicted (dz, dy, dx) in voxels of this grid.

    Returns
    -------
    (N,) ndarray of int64, (N,) ndarray of float64
        Existing labels in rising order, and their errors.
    """
    numbers, errors = [], []
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False)), 1):
        if box is not None:
            numbers.append(label)
            errors.append(object_error(labels[box] == label, flows[(slice(None), *box)]))
    return np.array(numbers, np.int64), np.array(errors, np.float64)


def object_error(mask: NDArray[np.bool_], flows: NDArray[np.float32]) -> float:
    """Measure `flow_errors` of one object, given as a mask (Z, Y, X) and the flows (3, Z, Y, X) of its bounding box.

    Of an object with more than `MAX_SIDE` voxels along a side every second, third … voxel counts: directions do not
    depend on the scale, and the time of the diffusion grows with the fourth power of the side.
    """
    step = -(-max(mask.shape) // MAX_SIDE)
    thinned = mask[::step, ::step, ::step]
    if thinned.any():
        mask, flows = thinned, flows[:, ::step, ::step, ::step]
    predicted = flows[:, mask].astype(np.float64)
    predicted /= 1e-12 + np.linalg.norm(predicted, axis=0)
    return float(((predicted - object_flows(mask)[:, mask]) ** 2).sum(axis=0).mean())


def volume_flows(labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Compute the ideal flows of labelled objects in 3D, with the length that a network predicts.

    Parameters
    ----------
    labels : (Z, Y, X) ndarray of int
        Instance labels, 0 is background.

    Returns
    -------
    (3, Z, Y, X) ndarray of float32
        Vectors (dz, dy, dx) of length 5, zero outside objects.
    """
    flows = np.zeros((3, *labels.shape), np.float32)
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False)), 1):
        if box is not None:
            mask = labels[box] == label
            flows[(slice(None), *box)][:, mask] = FLOW_LENGTH * object_flows(mask)[:, mask]
    return flows


def object_flows(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute unit vectors (3, Z, Y, X) along which heat fed in at the centre of a mask (Z, Y, X) rises.

    As ``cellpose.dynamics.masks_to_flows_gpu_3d``, with a number of steps that follows from the extent of this object.
    """
    padded = np.pad(mask, 1)
    points = np.argwhere(padded)
    nearest = ((points - np.rint(points.mean(axis=0))) ** 2).sum(axis=1).argmin()
    heat = diffuse_in_volume(points, padded.shape, nearest, 3 * sum(mask.shape))
    return np.where(mask, rising_directions(heat), 0).astype(np.float32)
