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
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them.
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

    with warnings.catch_warnings():
        # torch warns of a check of sparse tensors that cellpose leaves off.
        warnings.filterwarnings("ignore", message="Sparse invariant")
        labels = dynamics.compute_masks(
            flows,
            foreground.astype(np.float32),
            cellprob_threshold=0.5,
            do_3D=True,
            min_size=-1,
            max_size_fraction=1.0,
            device=torch_device(device),
        )
    return np.asarray(labels, np.uint32)
