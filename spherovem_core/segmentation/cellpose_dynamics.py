"""Masks of a block by cellpose's own dynamics, which run on a GPU."""

import warnings

import numpy as np
from numpy.typing import NDArray

from spherovem_core.utils.torch_device import torch_device


def cellpose_instances(
    flows: NDArray[np.float32], foreground: NDArray[np.bool_], device: str
) -> NDArray[np.uint32]:
    """Give every foreground voxel the number of the place its flow converges to, as `dynamics.instances` does.

    Parameters
    ----------
    flows : (3, Z, Y, X) ndarray of float32
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them.
    foreground : (Z, Y, X) ndarray of bool
        Voxels that belong to objects.
    device
        ``cpu`` or ``cuda[:n]``. A CPU takes tens of times as long as the compiled dynamics.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Numbers of places; 0 where a voxel is background or converges where few others do.
    """
    from cellpose import dynamics

    with warnings.catch_warnings():
        # torch tells of a check of sparse tensors that cellpose leaves off.
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
