"""A volume of spherovem, opened by other OME-Zarr readers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_environments import make_environment
from ome_zarr.io import parse_url
from ome_zarr.reader import Node, Reader
from store_samples import make_spec, write_all

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.store import ArrayWriter, Layout, cube_shards, finish_multiscale

SHAPE = (8, 200, 300)


def write_volume(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Write an image and labels of it, both with a pyramid."""
    image = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    writer = ArrayWriter(layout, make_spec("registered", SHAPE), "d")
    write_all(writer, image)
    finish_multiscale(writer, Execution())
    labels = np.zeros(SHAPE, np.uint32)
    labels[:, 32:96, 64:192] = 70_000
    chunks, shards = cube_shards(SHAPE)
    spec = make_spec(
        "registered/labels/cells",
        SHAPE,
        content="label",
        dtype=labels.dtype,
        chunks=chunks,
        shards=shards,
    )
    writer = ArrayWriter(layout, spec, "l")
    for block in block_grid(SHAPE, shards):
        writer.write(block, labels[block.core])
    finish_multiscale(writer, Execution())
    return image, labels


def node(found: list[Node], name: str) -> Node:
    return next(one for one in found if one.zarr.basename() == name)


def test_ome_zarr_py_shows_image_labels_and_voxel_sizes(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "acquisition")
    image, labels = write_volume(layout)
    found = list(Reader(parse_url(str(layout.volume / "registered")))())
    shown, drawn = node(found, "registered"), node(found, "cells")
    np.testing.assert_array_equal(np.asarray(shown.data[0]), image)
    np.testing.assert_array_equal(np.asarray(drawn.data[0]), labels)
    assert [level.shape for level in shown.data] == [(8, 200, 300), (8, 100, 150), (8, 50, 75)]
    for one in (shown, drawn):
        assert [(axis["name"], axis["unit"]) for axis in one.metadata["axes"]] == [
            (name, "nanometer") for name in "zyx"
        ]
    # The cuboid's edges lie on multiples of every level's factor, so that its centroid is exact at each.
    for values, (scale, translation) in zip(
        drawn.data, drawn.metadata["coordinateTransformations"], strict=True
    ):
        inside = np.argwhere(np.asarray(values) == 70_000)
        centroid = inside.mean(axis=0) * scale["scale"] + translation["translation"]
        np.testing.assert_allclose(centroid, [3.5 * 50, 63.5 * 10, 127.5 * 10])


@pytest.fixture(scope="module")
def napari_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment with napari-ome-zarr; napari and its forty packages are not in the project's own."""
    return make_environment(tmp_path_factory.mktemp("napari"), "napari-ome-zarr")


@pytest.mark.environment
def test_napari_shows_image_labels_and_voxel_sizes(tmp_path: Path, napari_python: Path) -> None:
    layout = Layout(tmp_path / "acquisition")
    image, labels = write_volume(layout)
    script = Path(__file__).with_name("napari_reading.py")
    done = subprocess.run(
        [napari_python, script, str(layout.volume / "registered")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    layers: list[dict[str, Any]] = json.loads(done.stdout)
    shown, drawn = layers
    assert (shown["kind"], drawn["kind"]) == ("image", "labels")
    assert drawn["name"].endswith("cells")
    assert (shown["dtype"], drawn["dtype"]) == ("uint8", "uint32")
    assert (shown["sum"], drawn["sum"]) == (int(image.sum()), int(labels.astype(np.int64).sum()))
    for layer in layers:
        assert layer["shapes"] == [[8, 200, 300], [8, 100, 150], [8, 50, 75]]
        assert layer["units"] == ["nanometer"] * 3
        np.testing.assert_allclose(layer["matrix"], np.diag([50.0, 10.0, 10.0, 1.0]))
