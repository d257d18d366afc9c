"""The store: nothing counts before its marker, and a killed writing goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaozarrs
import zarr
from hypothesis import given
from hypothesis import strategies as st

from spherovem_core.blocks import block_grid, slab_grid
from spherovem_core.errors import IncompleteArtifactError, ShapeMismatchError, StoreNotWritableError
from spherovem_core.execution import Execution
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    Ledger,
    cube_shards,
    downsample,
    find_array,
    find_table,
    finish_multiscale,
    level_factors,
    level_shape,
    nearest_level,
    open_array,
    read_table,
    slice_shards,
    write_table,
)

SPACING = (50.0, 10.0, 10.0)


def make_spec(
    group: str = "raw", shape: tuple[int, int, int] = (6, 200, 300), **changes: object
) -> ArraySpec:
    chunks, shards = slice_shards(shape)
    values: dict[str, object] = {
        "group": group,
        "content": "image",
        "shape": shape,
        "dtype": np.dtype(np.uint8),
        "chunks": chunks,
        "shards": shards,
        "spacing_nm": SPACING,
    }
    return ArraySpec(**{**values, **changes})  # type: ignore[arg-type]


def write_all(writer: ArrayWriter, values: np.ndarray) -> None:
    for block in writer.pending(slab_grid(values.shape, 1)):
        writer.write(block, values[block.core])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (6, 200, 300), dtype=np.uint8)


def test_an_array_counts_only_after_commit(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "digest-a")
    write_all(writer, image)
    with pytest.raises(IncompleteArtifactError, match=r"unfinished.*run the acquisition again"):
        open_array(layout, "raw")
    assert find_array(layout, "raw", "digest-a") is None
    reference = writer.commit([{"stage": "ingest"}], crop=[1, 2])
    stored = open_array(layout, "raw", digest="digest-a")
    assert np.array_equal(stored[:], image)
    assert stored.history == [{"stage": "ingest"}]
    assert stored.details["crop"] == [1, 2]
    assert find_array(layout, "raw", "digest-a") == reference
    with pytest.raises(IncompleteArtifactError, match="other inputs or parameters"):
        open_array(layout, "raw", digest="digest-b")


def test_commit_refuses_an_array_with_a_hole(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    for block in slab_grid(image.shape, 1)[:-1]:
        writer.write(block, image[block.core])
    with pytest.raises(IncompleteArtifactError, match="1 of its shards"):
        writer.commit()


def test_a_lost_shard_makes_the_array_incomplete_and_is_written_again(
    layout: Layout, image: np.ndarray
) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    writer.commit()
    (layout.volume / "raw/0/c/3/0/0").unlink()
    with pytest.raises(IncompleteArtifactError, match="lost 1 of its files"):
        open_array(layout, "raw")
    again = ArrayWriter(layout, make_spec(), "d")
    assert len(again.pending(slab_grid(image.shape, 1))) == 6


def test_a_partial_array_goes_on_and_another_fingerprint_starts_anew(
    layout: Layout, image: np.ndarray
) -> None:
    blocks = slab_grid(image.shape, 1)
    first = ArrayWriter(layout, make_spec(), "d")
    for block in blocks[:4]:
        first.write(block, image[block.core])
    assert ArrayWriter(layout, make_spec(), "d").pending(blocks) == blocks[4:]
    (layout.volume / "raw/0/c/1/0/0").unlink()
    assert ArrayWriter(layout, make_spec(), "d").pending(blocks) == [blocks[1], *blocks[4:]]
    assert ArrayWriter(layout, make_spec(), "other").pending(blocks) == blocks


def test_a_new_image_discards_labels_drawn_on_the_old_one(layout: Layout, image: np.ndarray) -> None:
    write_all(ArrayWriter(layout, make_spec("registered"), "d"), image)
    chunks, shards = cube_shards(image.shape)
    label = make_spec("registered/labels/cells", content="label", chunks=chunks, shards=shards)
    ArrayWriter(layout, label, "l")
    ArrayWriter(layout, make_spec("registered"), "e")
    assert not (layout.volume / "registered/labels").exists()


def test_a_block_of_nothing_but_the_fill_value_counts_as_written(layout: Layout) -> None:
    empty = np.zeros((6, 200, 300), np.uint8)
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, empty)
    assert writer.pending(slab_grid(empty.shape, 1)) == []
    writer.commit()
    assert not open_array(layout, "raw")[:].any()


def test_a_block_that_cuts_a_shard_or_does_not_fit_is_refused(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    block = block_grid(image.shape, (1, 100, 300))[0]
    with pytest.raises(ShapeMismatchError, match="align the block grid"):
        writer.write(block, image[block.core])
    with pytest.raises(ShapeMismatchError, match="needs shape"):
        writer.write(block, image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float16", "float32"])
def test_zarr_reads_what_was_written_at_any_size(layout: Layout, dtype: str) -> None:
    """Shards cut by the array's end, and chunks that lie wholly outside of it."""
    values = np.random.default_rng(0).integers(0, 99, (70, 130, 201)).astype(dtype)
    chunks, shards = (32, 64, 64), (64, 128, 128)
    spec = make_spec(shape=values.shape, dtype=values.dtype, chunks=chunks, shards=shards)
    writer = ArrayWriter(layout, spec, "d")
    for block in block_grid(values.shape, shards):
        writer.write(block, values[block.core])
    writer.commit()
    array = zarr.open_array(layout.volume / "raw/0", mode="r")
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[3:66, 100:130, 7], values[3:66, 100:130, 7])


def test_a_full_disk_leaves_no_torn_shard(
    layout: Layout, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    blocks = slab_grid(image.shape, 1)
    writer.write(blocks[0], image[:1])

    def refuse(chunk: object) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("spherovem_core.store.shards.encode_chunk", refuse)
        for block in blocks[:2]:
            with pytest.raises(OSError, match="No space"):
                writer.write(block, np.zeros_like(image[:1]))
    files = [
        path.relative_to(layout.volume / "raw/0/c")
        for path in layout.volume.rglob("c/**/*")
        if path.is_file()
    ]
    assert files == [Path("0/0/0")]
    np.testing.assert_array_equal(writer.stored[0], image[0])
    assert writer.pending(blocks) == blocks[1:]


KILLED_WRITER = """
import os, signal, sys
import numpy as np
from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArrayWriter, Layout
sys.path.insert(0, {tests!r})
from test_store import make_spec
from pathlib import Path
writer = ArrayWriter(Layout(Path({folder!r})), make_spec(), "d")
image = np.random.default_rng(0).integers(0, 255, (6, 200, 300), dtype=np.uint8)
for block in writer.pending(slab_grid(image.shape, 1)):
    writer.write(block, image[block.core])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_after_each_block_ends_with_the_same_array(layout: Layout, image: np.ndarray) -> None:
    script = KILLED_WRITER.format(tests=str(Path(__file__).parent), folder=str(layout.folder))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for done in (1, 2):
        run = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
        assert run.returncode == -signal.SIGKILL
        assert find_array(layout, "raw", "d") is None
        assert len(ArrayWriter(layout, make_spec(), "d").pending(slab_grid(image.shape, 1))) == 6 - done
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    writer.commit()
    assert np.array_equal(open_array(layout, "raw")[:], image)


def test_ledger_drops_a_torn_line_and_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, "d")
    ledger["a"] = 1
    ledger["b"] = [1, 2]
    with path.open("a") as file:
        file.write('{"c": 3')
    again = Ledger(path, "d")
    assert dict(again) == {"a": 1, "b": [1, 2]}
    again["c"] = 4
    assert dict(Ledger(path, "d")) == {"a": 1, "b": [1, 2], "c": 4}
    assert dict(Ledger(path, "e")) == {}


def test_pyramid_metadata_passes_the_validator_and_keeps_the_origin(
    layout: Layout, image: np.ndarray
) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    finish_multiscale(writer, Execution())
    yaozarrs.validate_zarr_store(str(layout.volume / "raw"))
    ome = zarr.open_group(layout.volume / "raw", mode="r").attrs["ome"]
    scale = ome["multiscales"][0]
    assert [axis["unit"] for axis in scale["axes"]] == ["nanometer"] * 3
    assert len(scale["datasets"]) == 3
    for level, dataset in enumerate(scale["datasets"]):
        stored = open_array(layout, "raw", level, digest="d")
        assert dataset["coordinateTransformations"][0]["scale"] == list(stored.spacing_nm)
        assert dataset["coordinateTransformations"][1]["translation"] == list(stored.origin_nm)


def test_a_centroid_in_nm_is_the_same_at_every_level(layout: Layout) -> None:
    shape = (8, 256, 512)
    image = np.zeros(shape, np.uint8)
    image[:, 64:128, 320:448] = 200  # edges on multiples of every level's factor: exact at each
    writer = ArrayWriter(layout, make_spec(shape=shape), "d")
    write_all(writer, image)
    finish_multiscale(writer, Execution())
    centroids = []
    for level in range(3):
        stored = open_array(layout, "raw", level)
        weight = stored[:].astype(float)
        index = [np.average(axis, weights=weight) for axis in np.indices(stored.shape)]
        centroids.append(np.array(index) * stored.spacing_nm + stored.origin_nm)
    expected = np.array([3.5 * 50, 95.5 * 10, 383.5 * 10])
    assert np.abs(np.array(centroids) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((50.0, 10.0, 10.0), [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 16, 16), (8, 32, 32)]),
        ((10.0, 10.0, 10.0), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16), (32, 32, 32)]),
    ],
)
def test_levels_become_isotropic(
    spacing: tuple[float, float, float], expected: list[tuple[int, int, int]]
) -> None:
    assert level_factors((1000, 4096, 4096), spacing) == expected


def test_nearest_level_is_by_ratio() -> None:
    factors = level_factors((1000, 4096, 4096), SPACING)
    assert [nearest_level(factors, SPACING, target) for target in (5, 10, 50, 60, 100, 1e6)] == [
        0,
        0,
        2,
        3,
        3,
        5,
    ]


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from(["image", "label"]),
)
def test_downsampling_a_constant_keeps_it(
    shape: tuple[int, int, int], step: tuple[int, int, int], content: str
) -> None:
    values = np.full(shape, 7, np.uint16)
    reduced = downsample(values, step, content)  # type: ignore[arg-type]
    assert reduced.shape == level_shape(shape, step)
    assert (reduced == 7).all()


def test_downsampling_by_content() -> None:
    values = np.array([[[1, 1], [5, 9]]], np.uint8)
    assert downsample(values, (1, 2, 2), "image").item() == 4
    assert downsample(values, (1, 2, 2), "label").item() == 1
    assert downsample(np.array([[[5, 2], [2, 5]]], np.uint8), (1, 2, 2), "label").item() == 2
    field = np.array([[[1, np.nan], [3, np.nan]]], np.float32)
    assert downsample(field, (1, 2, 2), "field").item() == 2
    assert np.isnan(downsample(field[..., 1:], (1, 2, 1), "field")).all()


def test_table_round_trip_with_units(layout: Layout) -> None:
    frame = pd.DataFrame(
        {"label": [1], "volume_um3": [2.5], "bbox_z0": [0], "mean_curvature_mean_per_um": [0.1]}
    )
    reference = write_table(layout, "tables/cells.parquet", frame, "d")
    pd.testing.assert_frame_equal(read_table(layout, "tables/cells.parquet", digest="d"), frame)
    assert find_table(layout, "tables/cells.parquet", "d") == reference
    assert find_table(layout, "tables/cells.parquet", "e") is None
    schema = pq.read_schema(layout.tables / "cells.parquet")
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units == {
        "label": "",
        "volume_um3": "µm³",
        "bbox_z0": "voxel",
        "mean_curvature_mean_per_um": "1/µm",
    }
    with pytest.raises(IncompleteArtifactError, match="other inputs"):
        read_table(layout, "tables/cells.parquet", digest="e")
    assert [path.name for path in layout.tables.iterdir()] == ["cells.parquet"]


def test_a_damaged_table_does_not_count(layout: Layout) -> None:
    layout.tables.mkdir(parents=True)
    (layout.tables / "cells.parquet").write_bytes(b"PAR1 torn")
    assert find_table(layout, "tables/cells.parquet", "d") is None


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreNotWritableError, match=r"cannot be written.*choose another results root"):
        Layout(tmp_path / "file" / "acquisition").ensure_writable()


def test_metadata_is_plain_json(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    writer.commit()
    text = json.loads((layout.volume / "raw/0/zarr.json").read_text())
    assert text["attributes"]["spherovem"]["complete"] is True
    assert text["dimension_names"] == ["z", "y", "x"]
