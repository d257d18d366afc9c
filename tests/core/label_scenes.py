"""A results folder that holds labels of cells alone, and files of them as other programs write them."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mrcfile
import nibabel
import numpy as np
import tifffile
import zarr
from hand_edits import random_cells
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.corrections import Journal, correct_labels
from spherovem_core.execution import Execution
from spherovem_core.export.labels import write_label_tiff
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, cube_shards, finish_multiscale
from spherovem_core.store.format import mark_format

SPACING = (20.0, 10.0, 10.0)
SHAPE = (9, 300, 290)
"""Three levels: 9 × 150 × 145 and 5 × 75 × 73 beside it."""

Writer = Callable[[NDArray[Any], SpacingNm, Path], Path]


@cache
def _cells() -> NDArray[np.uint32]:
    rng = np.random.default_rng(5)
    labels = random_cells(rng, (9, 100, 97), 50)
    return np.repeat(np.repeat(labels, 3, 1), 3, 2)[:, : SHAPE[1], : SHAPE[2]]


def cells() -> NDArray[np.uint32]:
    """Make some fifty cells that touch each other."""
    return _cells().copy()


def write_labels(
    folder: Path, labels: NDArray[np.uint32], name: str = "cells", history: Sequence[Mapping[str, Any]] = ()
) -> Layout:
    """Write labels of cells with their pyramid, as complete."""
    layout = Layout(folder)
    layout.ensure_writable()
    mark_format(layout)
    chunks, shards = cube_shards(labels.shape, 64)
    group = f"registered/labels/{name}"
    spec = ArraySpec(group, "label", labels.shape, np.dtype(np.uint32), chunks, shards, SPACING)
    writer = ArrayWriter(layout, spec, f"labels {len(history)}")
    for block in block_grid(labels.shape, shards):
        writer.write(block, labels[block.core])
    finish_multiscale(writer, Execution(), history)
    return layout


def apply_corrections(layout: Layout, automatic: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Write labels of cells as the journal leaves them, and keep the automatic ones, as the masks step does."""
    journal = Journal(layout.journal("cells"))
    corrected, _ = correct_labels(automatic, SPACING, journal.effective())
    write_labels(layout.folder, automatic, "cells_automatic")
    write_labels(layout.folder, corrected, history=[{"external": {"journal": journal.label_digest}}])
    return corrected


def as_ome_tiff(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    path = folder / "cells.ome.tif"
    write_label_tiff(labels, (4, 64, 64), spacing, path)
    return path


def as_plain_tiff(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    tifffile.imwrite(folder / "cells.tif", labels.astype(np.uint16), compression="zlib")
    return folder / "cells.tif"


def as_npy(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    np.save(folder / "cells.npy", labels.astype(np.int64))
    return folder / "cells.npy"


def as_npz(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    np.savez_compressed(folder / "cells.npz", labels=labels, spacing_nm=np.array(spacing))
    return folder / "cells.npz"


def as_mrc(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    with mrcfile.new(folder / "cells.mrc") as file:
        file.set_data(labels.astype(np.uint16))
        file.voxel_size = tuple(10 * side for side in spacing[::-1])
    return folder / "cells.mrc"


def as_itk_snap(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    """ITK-SNAP: x and y negative in NIfTI's frame, and the numbers are taken for mm."""
    image = nibabel.Nifti1Image(
        labels.astype(np.uint16).T, np.diag([-spacing[2], -spacing[1], spacing[0], 1])
    )
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / "cells.nii.gz")
    return folder / "cells.nii.gz"


def as_slicer(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    """NIfTI in true mm."""
    sides = [side / 1e6 for side in spacing[::-1]]
    image = nibabel.Nifti1Image(labels.astype(np.int32).T, np.diag([*sides, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, folder / "cells.nii")
    return folder / "cells.nii"


def as_ome_zarr(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    group = zarr.create_group(folder / "cells.zarr", zarr_format=2)
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": list(spacing)}]
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ]
    group.create_array("0", data=labels, chunks=(8, 64, 64))
    return folder / "cells.zarr"


def as_webknossos(labels: NDArray[Any], spacing: SpacingNm, folder: Path) -> Path:
    """webKnossos: zarr 3 of axes c, x, y, z in whole files, its magnification in the name of the array."""
    times = [round(side / own) for side, own in zip(spacing[::-1], SPACING[::-1], strict=True)]
    name = "-".join(map(str, times))
    layer = folder / "dataset" / "segmentation"
    layer.mkdir(parents=True)
    padded = np.zeros((1, *(-(-n // 32) * 32 for n in labels.shape[::-1])), np.uint32)
    padded[0, : labels.shape[2], : labels.shape[1], : labels.shape[0]] = labels.T
    zarr.create_array(layer / name, data=padded, chunks=(1, 32, 32, 32))
    box = {"topLeft": [0, 0, 0], "width": SHAPE[2], "height": SHAPE[1], "depth": SHAPE[0]}
    layers = [
        {
            "name": "segmentation",
            "category": "segmentation",
            "boundingBox": box,
            "dataFormat": "zarr3",
            "mags": [{"mag": times, "path": f"./segmentation/{name}"}],
        }
    ]
    description = {"scale": {"factor": list(SPACING[::-1]), "unit": "nanometer"}, "dataLayers": layers}
    (folder / "dataset" / "datasource-properties.json").write_text(json.dumps(description))
    return layer / name


WRITERS: tuple[Writer, ...] = (
    as_ome_tiff,
    as_plain_tiff,
    as_npy,
    as_npz,
    as_mrc,
    as_itk_snap,
    as_slicer,
    as_ome_zarr,
    as_webknossos,
)
