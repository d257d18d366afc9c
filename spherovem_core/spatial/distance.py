"""Distance from every voxel of a cell to the nearest nucleus of the same cell."""

from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.spacing import SpacingNm, spacing_um
from spherovem_core.spatial.boxes import find_boxes
from spherovem_core.spatial.grids import check_same_grid


def distance_to_nucleus(
    nuclei: NDArray[np.uint32], cells: NDArray[np.uint32], spacing_nm: SpacingNm
) -> NDArray[np.float32]:
    """Measure how far each voxel of a cell lies from the nearest nucleus of that cell.

    A nucleus voxel counts for the cell that it lies in, so that of a nucleus that two cells share each takes its own
    part; a nucleus outside every cell counts for none. Within the bounding box of a cell lie all nucleus voxels that
    count for it: the exact Euclidean distance transform of that box [1]_ is the answer, and the rest of the volume
    need not be looked at. Runs on the CPU.

    Parameters
    ----------
    nuclei, cells : (Z, Y, X) ndarray of uint32
        Instance labels, 0 is background.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Distance in µm from voxel centre to voxel centre; 0 inside a nucleus, NaN outside cells
        and in cells with no nucleus.

    Raises
    ------
    ShapeMismatchError
        If the two label volumes differ in shape.

    References
    ----------
    .. [1] P. F. Felzenszwalb, D. P. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8,
       415-428 (2012), as implemented by the package edt.
    """
    check_same_grid(nuclei=nuclei, cells=cells)
    distance = np.full(cells.shape, np.nan, np.float32)
    boxes = find_boxes(cells)
    for row in range(len(boxes)):
        region = boxes.region(row)
        own = distance_in_cell((int(boxes.labels[row]), region), nuclei, cells, spacing_nm)
        if own is not None:
            np.fmax(distance[region], own, out=distance[region])
    return distance


def distance_in_cell(
    cell: tuple[int, Region], nuclei: ArrayLike, cells: ArrayLike, spacing_nm: SpacingNm
) -> NDArray[np.float32] | None:
    """Distance to the nucleus in the bounding box of one cell.

    Parameters
    ----------
    cell
        Its label and its bounding box.
    nuclei, cells : (Z, Y, X) array-like
        Labels of the whole volume; only the box is read.

    Returns
    -------
    ndarray of float32, shape of the box, or None
        In µm, NaN outside the cell; None where the cell has no nucleus.
    """
    label, region = cell
    outside = np.asarray(cells[region]) != label
    no_nucleus = outside | (np.asarray(nuclei[region]) == 0)
    if no_nucleus.all():
        return None
    distance: NDArray[Any] = edt.edt(no_nucleus, anisotropy=spacing_um(spacing_nm), black_border=False)
    distance[outside] = np.nan
    return distance
