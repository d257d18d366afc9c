"""Distance from every voxel of a cell to the nearest nucleus of the same cell."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.rounding import power_of_two_below
from spherovem_core.spacing import SpacingNm, spacing_um
from spherovem_core.spatial.cell_distance import write_cell_distance
from spherovem_core.spatial.grids import check_same_grid
from spherovem_core.utils.accelerator import Accelerator, accelerator, select_accelerator

logger = logging.getLogger(__name__)


def distance_to_nucleus(
    nuclei: NDArray[np.uint32],
    cells: NDArray[np.uint32],
    spacing_nm: SpacingNm,
    *,
    workers: int = 1,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Measure how far each voxel of a cell lies from the nearest nucleus of that cell.

    A nucleus voxel counts for the cell that it lies in: of a nucleus in two cells, each cell takes its own part, and a nucleus
    outside every cell counts for none. The bounding box of a cell contains all nucleus voxels that count for it, so that the
    exact distance transform of the box is sufficient. On the CPU the first call on a machine compiles for some seconds; a
    GPU holds the boxes of as many cells at a time as there are workers, and a cell whose box does not fit is measured on the CPU.

    Parameters
    ----------
    nuclei, cells : (Z, Y, X) ndarray of uint32
        Instance labels, 0 is background.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    workers
        Number of threads.
    device
        ``cpu``, ``cuda``, ``cuda:n``, or ``auto``, which takes a usable GPU if there is one.

    Returns
    -------
    (Z, Y, X) ndarray of float32
        Distance in µm from voxel centre to voxel centre; 0 inside a nucleus, NaN outside cells
        and in cells with no nucleus.

    Raises
    ------
    ShapeMismatchError
        If the two label volumes differ in shape.
    """
    check_same_grid(nuclei=nuclei, cells=cells)
    nuclei, cells = _contiguous(nuclei), _contiguous(cells)
    distance = np.full(cells.shape, np.nan, np.float32)
    step = np.array(spacing_um(spacing_nm))

    def measure(row: int) -> None:
        if not gpu.on_gpu:
            write_cell_distance(
                nuclei, cells, boxes.labels[row], boxes.low[row], boxes.high[row], step, distance
            )
            return
        cell = int(boxes.labels[row]), boxes.region(row)
        found = distance_in_cell(cell, nuclei, cells, spacing_nm, gpu.device)
        if found is not None:
            np.fmax(distance[cell[1]], found, out=distance[cell[1]])

    with accelerator(device) as gpu, ThreadPoolExecutor(workers) as pool:
        boxes = collect_label_statistics(cells, pool)
        # Cells have no voxel in common, so that threads write to one array without a lock.
        list(pool.map(measure, range(len(boxes))))
    return distance


def distance_step_um(spacing_nm: SpacingNm) -> float:
    """Return the step to which the map of distances is rounded, in µm: the largest power of two within a quarter of a voxel side.

    An eighth of a voxel is the largest error of a distance by rounding, and the mean error is none; surfaces of labels are
    known to half a voxel. A distance of 0 stays the mark of a nucleus: between voxel centres none is rounded to it. Rounded maps
    take less than half of the bytes (`benchmarks/stored_bytes.py`).
    """
    return power_of_two_below(min(spacing_um(spacing_nm)) / 4)


def distance_in_cell(
    cell: tuple[int, Region], nuclei: ArrayLike, cells: ArrayLike, spacing_nm: SpacingNm, device: str = "cpu"
) -> NDArray[np.float32] | None:
    """Measure the distance to the nucleus in the bounding box of one cell.

    CuPy pads the box to a cube for its distance transform, with two integers per voxel: the box of a large or flat cell may not
    fit a GPU. Such a cell is measured on the CPU, whose distances differ in the last digits of float32.

    Parameters
    ----------
    cell
        Label and bounding box.
    nuclei, cells : (Z, Y, X) array-like
        Labels of the whole volume; only the box is read.
    device
        ``cpu`` or ``cuda:n``.

    Returns
    -------
    ndarray of float32, shape of the box, or None
        In µm, NaN outside the cell; None where the cell has no nucleus.
    """
    label, region = cell
    gpu = select_accelerator(device)
    if gpu.on_gpu:
        try:
            with gpu.active():
                return distance_on(gpu, nuclei[region], cells[region], label, spacing_nm)
        except MemoryError as error:
            gpu.free_memory()
            logger.info("cell %d does not fit %s and is measured on the CPU (%s)", label, gpu.device, error)
    own_cells, own_nuclei = _contiguous(cells[region]), _contiguous(nuclei[region])
    distance = np.full(own_cells.shape, np.nan, np.float32)
    low, high = np.zeros(3, np.int64), np.array(own_cells.shape, np.int64)
    step = np.array(spacing_um(spacing_nm))
    found = write_cell_distance(own_nuclei, own_cells, np.uint32(label), low, high, step, distance)
    return distance if found else None


def distance_on(
    gpu: Accelerator,
    nuclei: NDArray[np.unsignedinteger],
    cells: NDArray[np.unsignedinteger],
    label: int,
    spacing_nm: SpacingNm,
) -> NDArray[np.float32] | None:
    """Measure the distance to the nucleus in the box of one cell by the distance transform of the device's library.

    Parameters
    ----------
    nuclei, cells : (Z, Y, X) ndarray of unsigned integers
        Labels in the bounding box of the cell.

    Returns
    -------
    ndarray of float32 on the host, or None
        As `distance_in_cell`.
    """
    own = gpu.to_device(np.asarray(cells)) == label
    nucleus = own & (gpu.to_device(np.asarray(nuclei)) != 0)
    if not bool(nucleus.any()):
        return None
    distance = gpu.ndi.distance_transform_edt(~nucleus, sampling=spacing_um(spacing_nm))
    return gpu.to_host(gpu.xp.where(own, distance, np.nan).astype(np.float32))


def _contiguous(labels: NDArray[np.unsignedinteger]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(labels, np.uint32)
