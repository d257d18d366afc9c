"""How far predicted flows disagree with the objects made from them, in 3D."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.segmentation.dynamics import FLOW_LENGTH
from spherovem_core.segmentation.heat_diffusion import diffuse_in_volume, unit_gradient

LONGEST = 48
"""Voxels along the longest side at which an object's error is measured."""


def flow_errors(
    labels: NDArray[np.uint32], flows: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Mean squared difference between each object's predicted and its ideal flow directions.

    Cellpose drops objects by this measure in 2D only (``remove_bad_flow_masks``). Here both are taken as unit
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
        Labels that occur, in rising order, and their errors.
    """
    numbers, errors = [], []
    for label, box in enumerate(ndimage.find_objects(labels.astype(np.int32, copy=False)), 1):
        if box is not None:
            numbers.append(label)
            errors.append(object_error(labels[box] == label, flows[(slice(None), *box)]))
    return np.array(numbers, np.int64), np.array(errors, np.float64)


def object_error(mask: NDArray[np.bool_], flows: NDArray[np.float32]) -> float:
    """`flow_errors` of one object, given as a mask (Z, Y, X) with the flows (3, Z, Y, X) around it.

    Every second, third … voxel of an object with more than `LONGEST` along a side is taken: directions do not
    depend on the scale, and the time that heat takes to spread grows with the fourth power of the side.
    """
    step = -(-max(mask.shape) // LONGEST)
    thinned = mask[::step, ::step, ::step]
    if thinned.any():
        mask, flows = thinned, flows[:, ::step, ::step, ::step]
    predicted = flows[:, mask].astype(np.float64)
    predicted /= 1e-12 + np.linalg.norm(predicted, axis=0)
    return float(((predicted - object_flows(mask)[:, mask]) ** 2).sum(axis=0).mean())


def volume_flows(labels: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Ideal flows of labelled objects in 3D, as long as a network predicts them.

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
    """Unit vectors along which heat fed in at an object's centre rises, (3, Z, Y, X) for a mask (Z, Y, X).

    As ``cellpose.dynamics.masks_to_flows_gpu_3d``, with as many steps as this object's own extent asks for.
    """
    padded = np.pad(mask, 1)
    points = np.argwhere(padded)
    nearest = ((points - np.rint(points.mean(axis=0))) ** 2).sum(axis=1).argmin()
    heat = diffuse_in_volume(points, padded.shape, nearest, 3 * sum(mask.shape))
    return np.where(mask, unit_gradient(heat), 0).astype(np.float32)
