"""A small results folder to edit: five objects with known errors, and a list of suspects."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from results_scenes import SPACING, array_writer, contents, digest, write_blocks, write_results

from spherovem_core.execution import Execution
from spherovem_core.label_statistics import BOX_COLUMNS, collect_label_statistics
from spherovem_core.registry import PIPELINE
from spherovem_core.store import Layout, finish_multiscale, write_table
from spherovem_core.store.layout import stage_table_path, table_path

SHAPE = (12, 160, 140)
CELLS = "registered/labels/cells"
# Objects, in voxels z, y, x: 1 and 2 touch at y = 45 and are one cell; 3 is two cells with a neck at y = 110; 4 is debris.
ONE, TWO, THREE_UPPER, THREE_LOWER, DEBRIS = (5, 30, 40), (5, 60, 40), (5, 92, 95), (5, 128, 95), (5, 20, 120)


def ball(centre: tuple[int, int, int], radius_nm: float) -> NDArray[np.bool_]:
    axes = np.indices(SHAPE)
    squares = sum(((axis - c) * s) ** 2 for axis, c, s in zip(axes, centre, SPACING, strict=True))
    return np.asarray(squares < radius_nm**2)


def cells() -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    whole = ball((5, 45, 40), 260)
    y = np.indices(SHAPE)[1]
    labels[whole & (y < 45)] = 1
    labels[whole & (y >= 45)] = 70_001
    labels[ball(THREE_UPPER, 200) | ball(THREE_LOWER, 200)] = 3
    labels[ball(DEBRIS, 90)] = 4
    return labels


def image() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)
    return np.clip(np.where(cells() > 0, 150, 95) + noise, 0, 255).astype(np.uint8)


def um(index: tuple[float, float, float]) -> tuple[float, float, float]:
    """Position of a voxel; the scene's origin is 0."""
    z, y, x = (i * s / 1000 for i, s in zip(index, SPACING, strict=True))
    return z, y, x


def suspects() -> pd.DataFrame:
    rows = [
        (1, 1, 70_001, "no boundary to a neighbour", "merge", um((5, 45, 40)), um(ONE), um(TWO)),
        (2, 3, 0, "hourglass shape", "split", um((5, 110, 95)), um(THREE_UPPER), um(THREE_LOWER)),
        (3, 4, 0, "odd volume", "delete", um(DEBRIS), None, None),
    ]
    table = []
    for rank, label, other, reason, operation, place, first, second in rows:
        seeds = [*(first or [np.nan] * 3), *(second or [np.nan] * 3)]
        names = [f"seed_{number}_{axis}_um" for number in (1, 2) for axis in "zyx"]
        centroid = dict(zip(("centroid_z_um", "centroid_y_um", "centroid_x_um"), place, strict=True))
        table.append(
            {
                "rank": rank,
                "label": label,
                "other_label": other,
                "reason": reason,
                "explanation": f"{reason}, in long",
                "operation": operation,
                "score": 3.0 - rank,
                **centroid,
                **dict(zip(names, seeds, strict=True)),
            }
        )
    return pd.DataFrame(table)


def write_scene(folder: Path, *, with_table: bool = True, with_suspects: bool = True) -> Layout:
    """Write a finished acquisition whose cells have errors."""
    layout = Layout(folder)
    shutil.copytree(finished_scene(), folder)
    if not with_table:
        layout.path(stage_table_path("shape-cells")).unlink()
    if not with_suspects:
        layout.path(table_path("suspects_cells")).unlink()
    return layout


@cache
def finished_scene() -> Path:
    """Write a folder to copy from, once per process."""
    folder = Path(tempfile.mkdtemp(prefix="spherovem-editing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    layout = write_results(folder)
    step = PIPELINE.step("masks_cells")
    # A new image discards the labels below it.
    below = {
        name: contents()[name] for name in ("registered/labels/nuclei", "registered/labels/nanoparticles")
    }
    written = {"registered": ("image", image()), CELLS: ("label", cells()), **below}
    for group, (content, values) in written.items():
        fingerprint = digest("masks_cells" if group == CELLS else group)
        writer = array_writer(layout, group, content, values, f"{fingerprint} to edit")
        write_blocks(writer, values)
        finish_multiscale(writer, Execution(), [{"stage": step.stage, "step": step.name, "external": {}}])
    found = collect_label_statistics(cells())
    columns = dict(zip(BOX_COLUMNS, np.hstack([found.low, found.high]).T, strict=True))
    frame = pd.DataFrame({"label": found.labels, **columns, "voxel_count": found.voxel_count})
    history = [{"step": "shape_cells", "inputs": [f"{digest('masks_cells')} to edit"]}]
    write_table(layout, stage_table_path("shape-cells"), frame, "of the scene", history)
    write_table(layout, table_path("suspects_cells"), suspects(), "of the scene")
    return folder
