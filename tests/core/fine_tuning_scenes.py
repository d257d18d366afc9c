"""Labelled slices of a phantom with a contrast that the shipped network was not trained on."""

from pathlib import Path

import numpy as np
import tifffile

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import SliceCuttingParameters
from spherovem_core.segmentation import Grid
from spherovem_core.segmentation.boosted_trees import BoostedTrees
from spherovem_core.segmentation.fine_tuning import SliceOrigin, cut_slices, write_slice
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, finish_multiscale, slice_shards
from spherovem_core.synthetic.phantom import make_phantom

STRAIGHT = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}


def write_labelled_slices(folder: Path, per_plane: int = 7, seed: int = 31, side_px: int = 128) -> None:
    """Cut slices of 100 nm pixels from an inverted phantom and write its cells beside them."""
    phantom = make_phantom(shape=(40, 260, 260), spacing_nm=(120.0, 50.0, 50.0), seed=seed, **STRAIGHT)
    grid = Grid(phantom.image.shape, phantom.spacing_nm)
    parameters = SliceCuttingParameters(slices_per_plane=per_plane, side_px=side_px)
    for image, origin in cut_slices(255 - phantom.image, grid, "inverted", parameters):
        path = write_slice(folder, image, origin)
        write_labels(path, labels_at(phantom.cells, grid, origin, image.shape))


def write_labels(image: Path, labels: np.ndarray, kind: str = "cells") -> Path:
    path = image.parent / "labels" / f"{image.stem}-{kind}.tif"
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, labels)
    return path


def labels_at(labels: np.ndarray, grid: Grid, origin: SliceOrigin, shape: tuple[int, int]) -> np.ndarray:
    """Sample labels at the pixel centres of a slice."""
    axis = next(n for n, name in enumerate("zyx") if name not in origin.plane)
    rows, columns = (n for n in range(3) if n != axis)
    first, extent = [origin.position_nm] * 3, [1, 1, 1]
    first[rows], first[columns] = origin.corner_nm
    extent[rows], extent[columns] = shape
    index = [
        np.clip(np.rint((np.arange(n) * origin.pixel_nm + start) / side).astype(int), 0, limit - 1)
        for n, start, side, limit in zip(extent, first, grid.spacing_nm, labels.shape, strict=True)
    ]
    return labels[np.ix_(*index)].squeeze(axis).astype(np.uint16)


ROD_SHAPE, ROD_NM = (48, 80, 96), 20.0


def rod_parts(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels of rods of 16 x 16 voxels along z, plates with a hole across each every 12 slices, and their membranes."""
    z, y, x = np.indices(shape)
    labels = 1 + (y // 16) * 100 + x // 16
    crossed = (z + 5 * (y // 16) + 3 * (x // 16)) % 12 < 2
    in_hole = (abs(y % 16 - 8) <= 1) & (abs(x % 16 - 8) <= 1)
    membranes = (y % 16 == 0) | (y % 16 == 15) | (x % 16 == 0) | (x % 16 == 15)
    return labels, crossed & ~in_hole, membranes


def rods() -> tuple[np.ndarray, np.ndarray]:
    """Return labels and image of rods, see `rod_parts`."""
    labels, plates, membranes = rod_parts(ROD_SHAPE)
    image = np.full(ROD_SHAPE, 180.0)
    image[plates] = 70
    image[membranes] = 60
    image += np.random.default_rng(0).normal(0, 6, ROD_SHAPE)
    return labels.astype(np.uint16), np.clip(image, 0, 255).astype(np.uint8)


def write_volume(folder: Path, image: np.ndarray, side_nm: float = ROD_NM) -> Path:
    """Write a results folder with nothing but a registered image."""
    chunks, shards = slice_shards(image.shape)
    spec = ArraySpec("registered", "image", image.shape, np.dtype("uint8"), chunks, shards, (side_nm,) * 3)
    writer = ArrayWriter(Layout(folder), spec, "digest")
    for block in slab_grid(image.shape, 1):
        writer.write(block, image[block.core])
    finish_multiscale(writer, Execution(), [])
    return folder


def write_rods(folder: Path) -> tuple[Path, Path]:
    """Write `rods` as a results folder, and labelled slices of them in three planes; return both folders."""
    labels, image = rods()
    for axis, plane in enumerate(("xy", "xz", "yz")):
        for index in range(5, ROD_SHAPE[axis], ROD_SHAPE[axis] // 5):
            origin = SliceOrigin("rods", plane, index * ROD_NM, (0.0, 0.0), ROD_NM, 55.0, 190.0)
            path = write_slice(folder / "slices", image.take(index, axis), origin)
            write_labels(path, labels.take(index, axis))
    return write_volume(folder / "rods", image), folder / "slices"


def dark_is_boundary(threshold: float) -> BoostedTrees:
    """Return trees for which membranes and plates are boundaries alike: contacts alone tell which of them separate objects."""
    return BoostedTrees(
        np.array([0, 0, 0], np.int32),
        np.array([threshold, 0.0, 0.0]),
        np.array([1, -1, -1], np.int32),
        np.array([2, -1, -1], np.int32),
        np.array([0.0, 3.0, -3.0]),
        np.array([0], np.int32),
        np.zeros(1),
    )
