"""Arrays of the store: they count once they are committed, and zarr reads the written values."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from store_samples import make_spec, random_image, write_all

from spherovem_core.blocks import block_grid, slab_grid
from spherovem_core.errors import IncompleteArtifactError, ShapeMismatchError, StoreNotWritableError
from spherovem_core.known_blocks import RegionDigests
from spherovem_core.store import ArrayWriter, Layout, cube_shards, find_array, open_array
from spherovem_core.store.checksums import FileState


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


@pytest.fixture
def image() -> np.ndarray:
    return random_image()


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


def test_commit_refuses_an_array_with_an_unwritten_shard(layout: Layout, image: np.ndarray) -> None:
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


def test_a_new_image_discards_the_labels_of_the_old_one(layout: Layout, image: np.ndarray) -> None:
    write_all(ArrayWriter(layout, make_spec("registered"), "d"), image)
    chunks, shards = cube_shards(image.shape)
    label = make_spec("registered/labels/cells", content="label", chunks=chunks, shards=shards)
    ArrayWriter(layout, label, "l")
    ArrayWriter(layout, make_spec("registered"), "e")
    assert not (layout.volume / "registered/labels").exists()


def test_a_block_of_the_fill_value_counts_as_written(layout: Layout) -> None:
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
def test_zarr_reads_the_written_values_at_any_size(layout: Layout, dtype: str) -> None:
    """The end of the array cuts shards and leaves chunks wholly outside."""
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


def test_an_unwritable_results_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreNotWritableError, match=r"cannot be written.*choose another results root"):
        Layout(tmp_path / "file" / "acquisition").ensure_writable()


def test_the_attributes_are_plain_json(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, image)
    writer.commit()
    text = json.loads((layout.volume / "raw/0/zarr.json").read_text())
    assert text["attributes"]["spherovem"]["complete"] is True
    assert text["dimension_names"] == ["z", "y", "x"]


def test_files_of_an_unfinished_array_are_digested_without_a_read(
    layout: Layout, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted as they were written is enough, also for an array that was pickled; a file that changed since is read."""
    writer = ArrayWriter(layout, make_spec(), "new")
    write_all(writer, image)
    stored = pickle.loads(pickle.dumps(writer.stored))
    read: list[Path] = []
    whole = FileState.of
    monkeypatch.setattr(FileState, "of", lambda path, like: read.append(path) or whole(path, like))
    digests = RegionDigests(stored).of(tuple(slice(0, n) for n in image.shape))
    assert not read
    changed = next(path for path in (stored.folder / "c").rglob("*") if path.is_file())
    os.utime(changed, ns=(1, 1))
    assert RegionDigests(stored).of(tuple(slice(0, n) for n in image.shape)) == digests
    assert read == [changed]
    changed.write_bytes(changed.read_bytes()[:-1])
    assert RegionDigests(stored).of(tuple(slice(0, n) for n in image.shape)) != digests
