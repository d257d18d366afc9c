"""Arrays that know that they were changed: edits in place, replaced and cut files, copies, and kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zarr
from store_samples import make_spec, random_image, write_all

from spherovem_core.blocks import slab_grid
from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.execution import Execution
from spherovem_core.store import (
    ArrayWriter,
    Layout,
    cube_shards,
    find_array,
    finish_multiscale,
    open_array,
)
from spherovem_core.store.array_check import check_array
from spherovem_core.store.nodes import read_node
from spherovem_core.store.shard_record import RECORD, ShardRecord
from spherovem_core.workflow.artifacts import open_pyramid


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A folder with one finished image of two levels."""
    layout = Layout(tmp_path / "acquisition")
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, random_image())
    finish_multiscale(writer, Execution())
    return layout


def shard(layout: Layout, z: int = 3) -> Path:
    return layout.volume / f"raw/0/c/{z}/0/0"


def touch(path: Path, seconds: int = 60) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + seconds * 10**9))


def test_what_was_written_is_recorded(layout: Layout) -> None:
    record = ShardRecord.load(layout.volume / "raw/0", (6, 1, 1))
    assert record is not None
    for z in range(6):
        assert record.get((z, 0, 0)).is_that_of(shard(layout, z))
    assert (
        check_array(layout.volume / "raw/0", read_node(layout.volume / "raw/0") or {}, read_all=True).changes
        == ()
    )
    assert open_pyramid(layout, "raw").digest == "d"


def test_an_edit_in_place_is_refused_with_both_ways_on(layout: Layout) -> None:
    array = zarr.open_array(layout.volume / "raw/0", mode="r+")
    array[3, 10:20, 10:20] = 0
    with pytest.raises(
        ChangedArtifactError,
        match=r"raw was changed.*0/c/3/0/0 (has|holds).*--adopt volume.zarr/raw.*--recompute volume.zarr/raw",
    ):
        open_array(layout, "raw")
    for digest in ("d", "another"):
        with pytest.raises(ChangedArtifactError, match="Nothing was computed or replaced"):
            find_array(layout, "raw", digest)
    assert (open_array(layout, "raw", changed=True)[3, 10:20, 10:20] == 0).all()


@pytest.mark.parametrize("fault", ["cut", "longer", "same size"])
def test_another_file_is_refused(layout: Layout, fault: str) -> None:
    content = shard(layout).read_bytes()
    other = {"cut": content[:-10], "longer": content + b"x", "same size": bytes(len(content))}[fault]
    shard(layout).write_bytes(other)
    touch(shard(layout))
    with pytest.raises(ChangedArtifactError, match="0/c/3/0/0"):
        open_array(layout, "raw")


def test_a_new_array_does_not_replace_an_edited_one(layout: Layout) -> None:
    zarr.open_array(layout.volume / "raw/0", mode="r+")[3, :5] = 0
    with pytest.raises(ChangedArtifactError, match="raw was changed"):
        ArrayWriter(layout, make_spec(), "other parameters")
    assert (zarr.open_array(layout.volume / "raw/0", mode="r")[3, :5] == 0).all()


def test_a_new_image_does_not_replace_edited_labels_drawn_on_it(layout: Layout) -> None:
    image = random_image()
    chunks, shards = cube_shards(image.shape, 64)
    spec = make_spec(
        "raw/labels/cells", content="label", dtype=np.dtype(np.uint32), chunks=chunks, shards=shards
    )
    writer = ArrayWriter(layout, spec, "labels")
    writer.write(slab_grid(image.shape, 6)[0], np.ones(image.shape, np.uint32))
    writer.commit()
    zarr.open_array(layout.volume / "raw/labels/cells/0", mode="r+")[0, 0, 0] = 7
    with pytest.raises(ChangedArtifactError, match="labels/cells was changed"):
        ArrayWriter(layout, make_spec(), "other parameters")


def test_labels_whose_file_zarr_removed_are_edited_not_lost(layout: Layout) -> None:
    image = random_image()
    chunks, shards = cube_shards(image.shape, 64)
    spec = make_spec(
        "raw/labels/cells", content="label", dtype=np.dtype(np.uint32), chunks=chunks, shards=shards
    )
    writer = ArrayWriter(layout, spec, "labels")
    writer.write(slab_grid(image.shape, 6)[0], np.ones(image.shape, np.uint32))
    writer.commit()
    zarr.open_array(layout.volume / "raw/labels/cells/0", mode="r+")[:, :64, :64] = 0
    assert not (layout.volume / "raw/labels/cells/0/c/0/0/0").exists()
    with pytest.raises(ChangedArtifactError, match=r"0/c/0/0/0 is not there: .*all of its voxels became 0"):
        open_array(layout, "raw/labels/cells")
    shutil.rmtree(layout.volume / "raw/labels/cells/0/c")
    with pytest.raises(IncompleteArtifactError, match="has lost"):
        open_array(layout, "raw/labels/cells")


def test_a_touched_file_is_read_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(shard(layout))
    assert open_array(layout, "raw").digest == "d"
    from spherovem_core.store import array_check

    monkeypatch.setattr(
        array_check, "_states", lambda *given: pytest.fail("read again") if list(given[1]) else []
    )
    assert open_array(layout, "raw").digest == "d"


def test_a_copied_folder_is_the_same(layout: Layout, tmp_path: Path) -> None:
    copy = Layout(tmp_path / "copy")
    shutil.copytree(layout.folder, copy.folder, copy_function=shutil.copyfile)
    for path in copy.volume.rglob("c/**/*"):
        if path.is_file():
            touch(path)
    assert open_pyramid(copy, "raw").digest == "d"


def test_results_that_cannot_be_written_are_read(layout: Layout) -> None:
    touch(shard(layout))
    folder = layout.volume / "raw/0"
    folder.chmod(0o555)
    try:
        assert open_array(layout, "raw").digest == "d"
    finally:
        folder.chmod(0o755)


def test_a_coarser_level_is_checked_as_well(layout: Layout) -> None:
    zarr.open_array(layout.volume / "raw/1", mode="r+")[0, 0, :9] = 0
    assert open_array(layout, "raw").digest == "d"
    with pytest.raises(ChangedArtifactError, match="1/c/0/0/0"):
        open_pyramid(layout, "raw")


def test_a_coarser_level_of_another_array_is_refused(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")
    writer = ArrayWriter(other, make_spec(), "d")
    write_all(writer, random_image() // 2)
    finish_multiscale(writer, Execution())
    shutil.rmtree(layout.volume / "raw/1")
    shutil.copytree(other.volume / "raw/1", layout.volume / "raw/1")
    with pytest.raises(ChangedArtifactError, match="another level than the one that was computed"):
        open_pyramid(layout, "raw")


@pytest.mark.parametrize(
    ("field", "value"), [("shape", [6, 200, 299]), ("data_type", "int8"), ("fill_value", 1)]
)
def test_edited_metadata_are_a_change(layout: Layout, field: str, value: object) -> None:
    path = layout.volume / "raw/0/zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ChangedArtifactError, match=r"0/zarr.json holds another shape, type, codec or marker"):
        open_array(layout, "raw")


def test_an_edited_marker_is_a_change(layout: Layout) -> None:
    path = layout.volume / "raw/0/zarr.json"
    node = json.loads(path.read_text())
    node["attributes"]["spherovem"]["spacing_nm"][0] = 40.0
    path.write_text(json.dumps(node))
    with pytest.raises(ChangedArtifactError, match=r"zarr\.json"):
        open_array(layout, "raw")


def test_attributes_of_other_programs_are_no_change(layout: Layout) -> None:
    array = zarr.open_array(layout.volume / "raw/0", mode="r+")
    array.attrs["omero"] = {"channels": []}
    zarr.open_group(layout.volume / "raw", mode="r+").attrs["omero"] = {"channels": []}
    # JavaScript writes 1.0 as 1.
    path = layout.volume / "raw/0/zarr.json"
    path.write_text(path.read_text().replace("50.0", "50"))
    assert open_array(layout, "raw").digest == "d"


def test_an_array_of_another_program_in_its_place_is_refused(layout: Layout) -> None:
    zarr.create_array(layout.volume / "raw/0", data=random_image(), overwrite=True)
    with pytest.raises(ChangedArtifactError, match="written by another program"):
        open_array(layout, "raw")
    with pytest.raises(ChangedArtifactError, match="written by another program"):
        ArrayWriter(layout, make_spec(), "d")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("place", ["raw/0", "raw"])
def test_an_array_of_any_program_over_a_level_or_the_group_is_refused(
    layout: Layout, version: int, place: str
) -> None:
    shutil.rmtree(layout.volume / place)
    zarr.create_array(layout.volume / place, data=random_image(), zarr_format=version)  # type: ignore[arg-type]
    for attempt in (lambda: open_array(layout, "raw"), lambda: ArrayWriter(layout, make_spec(), "d")):
        with pytest.raises(ChangedArtifactError, match=r"written by another program.*--recompute"):
            attempt()
    assert np.array_equal(zarr.open_array(layout.volume / place, mode="r")[:], random_image())


@pytest.mark.parametrize("fault", ["lost", "damaged"])
def test_a_lost_record_is_made_again_from_the_same_files(layout: Layout, fault: str) -> None:
    record = layout.volume / "raw/0" / RECORD
    record.unlink() if fault == "lost" else record.write_bytes(b"damaged")
    assert open_array(layout, "raw").digest == "d"
    assert ShardRecord.load(layout.volume / "raw/0", (6, 1, 1)) is not None
    record.unlink()
    zarr.open_array(layout.volume / "raw/0", mode="r+")[3, :5] = 0
    with pytest.raises(ChangedArtifactError, match="missing or damaged, and the files are not those"):
        open_array(layout, "raw")


def test_results_of_an_older_version_are_used_as_before(layout: Layout) -> None:
    path = layout.volume / "raw/0/zarr.json"
    node = json.loads(path.read_text())
    for name in ("content", "checksum", "levels"):
        del node["attributes"]["spherovem"][name]
    path.write_text(json.dumps(node))
    (layout.volume / "raw/0" / RECORD).unlink()
    touch(shard(layout))
    assert open_array(layout, "raw").digest == "d"


def test_a_partial_array_of_an_older_version_is_continued(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path / "acquisition"), random_image()
    blocks = slab_grid(image.shape, 1)
    first = ArrayWriter(layout, make_spec(), "d")
    for block in blocks[:4]:
        first.write(block, image[block.core])
    ledger = layout.volume / "raw/0/.ledger"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines = [lines[0], *(dict.fromkeys(line) for line in lines[1:])]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = ArrayWriter(layout, make_spec(), "d")
    assert again.pending(blocks) == blocks[4:]
    write_all(again, image)
    again.commit()
    assert np.array_equal(open_array(layout, "raw")[:], image)
    zarr.open_array(layout.volume / "raw/0", mode="r+")[0, :5] = 0
    with pytest.raises(ChangedArtifactError, match="0/c/0/0/0"):
        open_array(layout, "raw")


def test_a_block_that_was_changed_after_a_kill_is_written_again(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path / "acquisition"), random_image()
    blocks = slab_grid(image.shape, 1)
    first = ArrayWriter(layout, make_spec(), "d")
    for block in blocks[:4]:
        first.write(block, image[block.core])
    shard(layout, 1).write_bytes(b"torn")
    touch(shard(layout, 2))
    assert ArrayWriter(layout, make_spec(), "d").pending(blocks) == [blocks[1], *blocks[4:]]


def test_a_reader_beside_a_writer_sees_no_change(tmp_path: Path) -> None:
    """The array is replaced again and again, under other digests, while it is opened."""
    layout, image = Layout(tmp_path / "acquisition"), random_image()
    ended, wrong, opened = threading.Event(), [], Counter[str]()

    def look() -> None:
        while not ended.is_set():
            try:
                opened[open_array(layout, "raw").digest] += 1
            except IncompleteArtifactError:
                continue
            except Exception as error:
                wrong.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(20):
            writer = ArrayWriter(layout, make_spec(), f"d{number}")
            write_all(writer, np.roll(image, number))
            writer.commit()
    finally:
        ended.set()
        thread.join()
    assert wrong == []
    assert open_array(layout, "raw").digest == "d19"


KILLED = """
import os, signal, sys
from pathlib import Path
from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArrayWriter, Layout
sys.path.insert(0, {tests!r})
from store_samples import make_spec, random_image
writer, image = ArrayWriter(Layout(Path({folder!r})), make_spec(), "d"), random_image()
for block in writer.pending(slab_grid(image.shape, 1))[:3]:
    writer.write(block, image[block.core])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_written_before_a_kill_is_recorded_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, image = Layout(tmp_path / "acquisition"), random_image()
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(layout.folder))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert (
        subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode
        == -signal.SIGKILL
    )
    writer = ArrayWriter(layout, make_spec(), "d")
    assert len(writer.pending(slab_grid(image.shape, 1))) == 3
    write_all(writer, image)
    from spherovem_core.store.checksums import FileState

    monkeypatch.setattr(FileState, "of", lambda path, *_: pytest.fail(f"{path} was read"))
    writer.commit()
    monkeypatch.undo()
    folder = layout.volume / "raw/0"
    assert check_array(folder, read_node(folder) or {}, read_all=True).changes == ()
