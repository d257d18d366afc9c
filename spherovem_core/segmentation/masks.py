"""Masks from flows in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation.grid import Grid
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.spacing import SpacingNm


def masks_from_flows(
    flows: NDArray[np.floating[Any]],
    parameters: SegmentationParameters,
    spacing_nm: SpacingNm,
    image: NDArray[Any] | None = None,
    workers: int = 1,
) -> NDArray[np.uint32]:
    """Make instance labels from a network's flows: `segment_masks` in one block, on the grid of the flows.

    Parameters
    ----------
    flows : (4, Z, Y, X) ndarray
        (dz, dy, dx) in voxels of this grid, times 5 as networks predict them, and the probability logit.
    parameters
        Threshold of the probability, filters in voxels of this grid, choice of the objects.
    spacing_nm
        Voxel size of this grid.
    image : (Z, Y, X) ndarray, optional
        The image on this grid, for merging and for the guided filter.
    workers
        Compiled threads; the labels do not depend on them.

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
    grid = Grid((flows.shape[1], flows.shape[2], flows.shape[3]), spacing_nm)
    labels, scratch = np.zeros(grid.shape, np.uint32), np.zeros(grid.shape, np.uint32)
    segment_masks(
        MaskInputs(flows, grid, grid, image),
        MemorySink(scratch),
        MemorySink(labels),
        parameters.model_copy(update={"block_voxels": max(grid.shape)}),
        Execution(workers=workers),
    )
    return labels
