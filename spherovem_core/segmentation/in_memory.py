"""Segmentation of arrays in memory, for notebooks and tests. Blocks on disk give the same result."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters, SegmentationParameters
from spherovem_core.segmentation.grid import Grid, PlacedVolume, check_spacing, flow_grid
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.scratch import MemoryScratch
from spherovem_core.segmentation.segmenters import segmenter_named
from spherovem_core.segmentation.stitching import segment_masks
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.layout import ObjectKind


def segment_volume(
    volume: NDArray[Any],
    spacing_nm: SpacingNm,
    kind: ObjectKind,
    parameters: ObjectParameters | SegmentationParameters | None = None,
    *,
    execution: Execution | None = None,
) -> NDArray[np.uint32]:
    """Segment the cells or the nuclei of a volume.

    The segmenter sees the volume at `flow_spacing_nm`; labels lie on the voxels of the volume. `mask_spacing_nm`, by which the
    pipeline chooses a level of its image pyramid, has no effect here: average the volume first for coarser labels.

    Parameters
    ----------
    volume : (Z, Y, X) ndarray
        Registered image.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    kind
        ``cells`` or ``nuclei``.
    parameters
        Parameters of this kind, or of the stage, of which those of the kind are taken; by default those of the pipeline.
    execution
        Device, workers, blocks and progress; by default one worker, on a GPU if there is one.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Instance labels from 1 in the order of their first voxels; 0 is background.

    Raises
    ------
    ShapeMismatchError
        If the array does not have three axes.
    ParameterError
        If the spacing is not positive, or the segmenter is unknown.
    NetworkError
        If the network cannot be loaded.

    Examples
    --------
    >>> from spherovem_core.parameters import CellParameters
    >>> from spherovem_core.segmentation import segment_volume
    >>> from spherovem_core.synthetic.phantom import make_phantom
    >>> phantom = make_phantom(shape=(20, 96, 96), spacing_nm=(120.0, 80.0, 80.0), seed=1)
    >>> parameters = CellParameters(network="phantom-compact", flow_spacing_nm=120.0)
    >>> labels = segment_volume(phantom.clean, phantom.spacing_nm, "cells", parameters)
    >>> labels.shape, labels.dtype
    ((20, 96, 96), dtype('uint32'))
    """
    if volume.ndim != 3:
        raise ShapeMismatchError(f"the volume has shape {volume.shape}; expected (Z, Y, X)")
    check_spacing(spacing_nm)
    if parameters is None or isinstance(parameters, SegmentationParameters):
        parameters = (parameters or SegmentationParameters()).of(kind)
    segmenter, execution = segmenter_named(parameters.segmenter), execution or Execution()
    image = PlacedVolume(volume, spacing_nm)
    grid = flow_grid(volume.shape, spacing_nm, parameters)
    field = np.zeros((len(segmenter.channels), *grid.shape), np.float16)
    segmenter.predict(kind, image, grid, MemorySink(field), parameters, execution, MemoryScratch())
    labels, provisional = (np.zeros(volume.shape, np.uint32) for _ in range(2))
    placed = PlacedVolume(field, grid.spacing_nm, grid.origin_nm)
    segmenter.label(placed, image, MemorySink(provisional), MemorySink(labels), parameters, execution)
    return labels


def masks_from_flows(
    flows: NDArray[np.floating[Any]],
    parameters: ObjectParameters,
    spacing_nm: SpacingNm,
    image: NDArray[Any] | None = None,
    workers: int = 1,
) -> NDArray[np.uint32]:
    """Make instance labels from the flows of a network, in one block on the grid of the flows.

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
        Compiled threads; the labels do not depend on their number.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        Labels from 1 in the order of their first voxels; 0 is background.

    Raises
    ------
    ShapeMismatchError
        If the flows do not have four maps of a volume.

    Examples
    --------
    A ball of 4 voxels, with flows to its centre:

    >>> import numpy as np
    >>> from spherovem_core.parameters import ObjectParameters
    >>> from spherovem_core.segmentation import masks_from_flows
    >>> away = np.indices((13, 13, 13)) - 6.0
    >>> radius = np.linalg.norm(away, axis=0)
    >>> flows = np.stack([*(-5 * away / np.maximum(radius, 1)), 4.5 - radius])
    >>> labels = masks_from_flows(flows, ObjectParameters(min_diameter_um=0.1), (20.0, 20.0, 20.0))
    >>> np.unique(labels).tolist(), bool(labels[6, 6, 6] == 1)
    ([0, 1], True)
    """
    if flows.ndim != 4 or len(flows) != 4:
        raise ShapeMismatchError(f"flows have shape {flows.shape}; expected (4, Z, Y, X): dz, dy, dx, logit")
    grid = Grid((flows.shape[1], flows.shape[2], flows.shape[3]), spacing_nm)
    labels, provisional = (np.zeros(grid.shape, np.uint32) for _ in range(2))
    segment_masks(
        MaskInputs(flows, grid, grid, image),
        MemorySink(provisional),
        MemorySink(labels),
        parameters,
        Execution(workers=workers, block_voxels=max(grid.shape)),
    )
    return labels
