"""Labelled slices of a phantom with a contrast that the shipped network was not trained on."""

from pathlib import Path

import numpy as np
import tifffile

from spherovem_core.parameters import SliceCuttingParameters
from spherovem_core.segmentation import Grid
from spherovem_core.segmentation.fine_tuning import SliceOrigin, cut_slices, write_slice
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
