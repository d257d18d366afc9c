"""A small results folder like that of a finished run, written through the store in a second and without any stage."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.registry import PIPELINE
from spherovem_core.review.suspects import suspect_table
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Content,
    Layout,
    cube_shards,
    finish_multiscale,
    history_entry,
    slice_shards,
    write_table,
)
from spherovem_core.store.file_records import record_path
from spherovem_core.store.format import mark_format
from spherovem_core.store.layout import (
    DENOISED,
    DISTANCE,
    NANOPARTICLES,
    POSTERIOR,
    RAW,
    REGISTERED,
    SPECIMEN,
)
from spherovem_core.workflow import ArrayOutput, DocumentOutput, Output, Step, TableOutput
from spherovem_core.workflow.artifacts import write_document, write_file

SHAPE = (12, 160, 140)
SPACING = (50.0, 10.0, 10.0)


def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(90, 160, SHAPE).astype(np.uint8)


def cells() -> NDArray[np.uint32]:
    """Make two balls, labelled 1 and 70001, which 16 bits do not hold."""
    labels = np.zeros(SHAPE, np.uint32)
    z, y, x = np.indices(SHAPE)
    for label, (row, column) in ((1, (45, 45)), (70_001, (110, 90))):
        distance = (50.0 * (z - 5.5)) ** 2 + (10.0 * (y - row)) ** 2 + (10.0 * (x - column)) ** 2
        labels[distance < 270.0**2] = label
    return labels


def nuclei() -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    z, y, x = np.indices(SHAPE)
    for label, (row, column) in ((1, (45, 45)), (2, (110, 90))):
        distance = (50.0 * (z - 5.5)) ** 2 + (10.0 * (y - row)) ** 2 + (10.0 * (x - column)) ** 2
        labels[distance < 180.0**2] = label
    return labels


def nanoparticles() -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    labels[5:7, 60:63, 45:48] = 1
    return labels


def contents() -> dict[str, tuple[Content, NDArray[Any]]]:
    """Make content and values of every array, by its group."""
    field = np.zeros((4, *SHAPE), np.float16)
    return {
        RAW: ("image", image()),
        DENOISED: ("image", image()),
        REGISTERED: ("image", image()),
        "flows/cells": ("field", field),
        "flows/nuclei": ("field", field),
        "registered/labels/cells": ("label", cells()),
        "registered/labels/nuclei": ("label", nuclei()),
        SPECIMEN: ("label", np.ones(SHAPE, np.uint8)),
        NANOPARTICLES: ("label", nanoparticles()),
        POSTERIOR: ("field", field[0]),
        DISTANCE: ("field", np.where(cells() > 0, 0.5, np.nan).astype(np.float32)),
    }


def digest(name: str) -> str:
    """Return the digest of a step in this scene."""
    return f"digest of {name}"


@cache
def finished() -> Path:
    """Write a finished folder to copy from, once per process."""
    folder = Path(tempfile.mkdtemp(prefix="spherovem-scene-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    values = contents()
    for step in PIPELINE.steps:
        for output in step.outputs:
            write_output(Layout(folder), step, output, values)
    return folder


def write_results(folder: Path, *, until: str = "output") -> Layout:
    """Write the outputs of all steps up to the one of that name."""
    layout, source = Layout(folder), Layout(finished())
    layout.ensure_writable()
    mark_format(layout)
    last = PIPELINE.steps.index(PIPELINE.step(until))
    for step in PIPELINE.steps[: last + 1]:
        for output in step.outputs:
            copy_output(source, layout, output)
    return layout


def copy_output(source: Layout, target: Layout, output: Output) -> None:
    """Copy a file, or an image with its levels and the groups above it, without the labels below it."""
    if not isinstance(output, ArrayOutput):
        for place in (Layout.path, record_path):
            place(target, output.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(place(source, output.path), place(target, output.path))
        return
    group = Path(output.path).parent
    for level in source.path(str(group)).iterdir():
        if level.name.isdigit():
            shutil.copytree(level, target.path(str(group)) / level.name)
    for above in (group, *group.parents[:-1]):
        shutil.copy2(source.path(str(above)) / "zarr.json", target.path(str(above)) / "zarr.json")


def write_output(
    layout: Layout, step: Step[Any], output: Output, values: dict[str, tuple[Content, NDArray[Any]]]
) -> None:
    """Write one output of a step."""
    history = history_of(step)
    if isinstance(output, ArrayOutput):
        writer = array_writer(layout, output.group, *values[output.group], digest(step.name))
        write_blocks(writer, values[output.group][1])
        finish_multiscale(writer, Execution(), history, spacing_origin="acquisition.json")
    elif isinstance(output, TableOutput):
        write_table(layout, output.path, table(output.name), digest(step.name), history)
    elif isinstance(output, DocumentOutput):
        write_document(layout, output.path, {"history": history}, digest(step.name))
    else:
        write_file(layout, output.path, "<html></html>")


def history_of(step: Step[Any]) -> list[dict[str, Any]]:
    """Make the history entry of a step, with the digests of the steps before it."""
    inputs = [digest(producer.name) for producer in PIPELINE.producers(step)]
    return [history_entry(step.stage, step.name, step.version, {"value": 1}, {}, inputs, "cpu", 1.5, 10**8)]


def array_writer(
    layout: Layout, group: str, content: Content, values: NDArray[Any], fingerprint: str
) -> ArrayWriter:
    by_slice = content == "image" or group == POSTERIOR
    chunks, shards = slice_shards(values.shape) if by_slice else cube_shards(values.shape, 64)
    return ArrayWriter(
        layout, ArraySpec(group, content, values.shape, values.dtype, chunks, shards, SPACING), fingerprint
    )


def write_blocks(writer: ArrayWriter, values: NDArray[Any], fraction: float = 1.0) -> None:
    """Write the first fraction of the blocks, one file each."""
    blocks = block_grid(writer.spec.shape, writer.spec.shards)
    for block in blocks[: round(fraction * len(blocks))]:
        writer.write(block, values[block.core])


def table(name: str) -> pd.DataFrame:
    """Make rows like those of the stages, with a text, a flag, a missing number and units in the names."""
    if name.startswith("suspects"):
        return suspect_table([])
    if name.endswith("slices"):
        return pd.DataFrame(
            {
                "file": [f"slice_{z}.tif" for z in range(SHAPE[0])],
                "z": np.arange(SHAPE[0]),
                "outlier": np.arange(SHAPE[0]) == 3,
                "shift_y_px": np.linspace(-1, 1, SHAPE[0]),
            }
        )
    return pd.DataFrame(
        {
            "label": np.array([1, 70_001], np.uint32),
            "bbox_z0": [0, 0],
            "volume_um3": [0.0824, np.nan],
            "gaussian_curvature_mean_per_um2": [13.7, 13.9],
            "distance_to_nucleus_um": [0.25, 0.0],
            "parent_cell": np.array([1, 0], np.uint32),
            "shape_note": ["", 'thin, "flat"'],
        }
    )
