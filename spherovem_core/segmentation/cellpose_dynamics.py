"""Cellpose's own dynamics, which run on a GPU."""

import warnings

import numpy as np
from numpy.typing import NDArray

from spherovem_core.utils.torch_device import torch_device


def follow_flows_with_cellpose(
    flows: NDArray[np.float32], foreground: NDArray[np.bool_], device: str
) -> NDArray[np.uint32]:
    """Follow the flow of every foreground voxel, as `dynamics.follow_flows`, by cellpose's own code.

    Parameters
    ----------
    flows : (3, Z, Y, X) ndarray of float32
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them. Along an axis of length 1, such as z in a section
        by itself, they do not count.
    foreground : (Z, Y, X) ndarray of bool
        Voxels that belong to objects.
    device
        ``cpu`` or ``cuda[:n]``. A CPU takes tens of times as long as with the compiled dynamics.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Number of each voxel's place; 0 in the background and where too few voxels converge.
    """
    from cellpose import dynamics

    flat = next((axis for axis, extent in enumerate(foreground.shape) if extent == 1), None)
    if flat is not None:
        # Cellpose divides by the length of each axis less one: a section by itself is an image.
        flows, foreground = np.delete(flows, flat, axis=0).squeeze(flat + 1), foreground.squeeze(flat)
    with warnings.catch_warnings():
        # torch warns of a check of sparse tensors that cellpose leaves off.
        warnings.filterwarnings("ignore", message="Sparse invariant")
        labels = dynamics.compute_masks(
            flows,
            foreground.astype(np.float32),
            cellprob_threshold=0.5,
            # For an image, cellpose checks flows itself unless it is told not to.
            flow_threshold=0.0,
            do_3D=flat is None,
            min_size=-1,
            max_size_fraction=1.0,
            device=torch_device(device),
        )
    found = np.asarray(labels, np.uint32)
    return found if flat is None else np.expand_dims(found, flat)
