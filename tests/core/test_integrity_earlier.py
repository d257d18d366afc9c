"""Results of earlier versions, whose files have BLAKE2b checksums, are compared under these and stay as they are."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from store_samples import make_spec, random_image, write_all

from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArrayWriter, Layout
from spherovem_core.store.array_check import check_array
from spherovem_core.store.arrays import complete_array
from spherovem_core.store.checksums import FileState
from spherovem_core.store.file_records import FileRecord, find_change, read_record, save_record
from spherovem_core.store.nodes import essentials, read_node, shard_grid
from spherovem_core.store.reading import ARRAY_LEDGER
from spherovem_core.store.shard_record import RECORD, ShardRecord, shard_path


def earlier_state(path: Path) -> FileState:
    """The state of a file as earlier versions noted it."""
    found = path.stat()
    checksum = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    return FileState(found.st_size, found.st_mtime_ns, checksum)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An array with the record of an earlier version."""
    layout = Layout(tmp_path / "acquisition")
    writer = ArrayWriter(layout, make_spec(), "d")
    write_all(writer, random_image())
    writer.commit()
    folder = layout.volume / "raw/0"
    node = dict(read_node(folder) or {})
    record = ShardRecord.empty(shard_grid(node), earlier=True)
    for index in np.ndindex(*shard_grid(node)):
        record.set(index, earlier_state(shard_path(folder, index)))
    record.save(folder)
    marker = node["attributes"]["spherovem"]
    marker.pop("checksum")
    complete_array(folder, marker | {"content": record.content(essentials(node))})
    return folder


def changes(folder: Path) -> tuple[str, ...]:
    return tuple(
        change.file for change in check_array(folder, read_node(folder) or {}, read_all=True).changes
    )


@pytest.mark.parametrize("lost", [False, True])
def test_an_array_of_an_earlier_version_is_verified(folder: Path, lost: bool) -> None:
    if lost:
        (folder / RECORD).unlink()
    assert changes(folder) == ()
    before = (folder / RECORD).read_bytes()
    path = shard_path(folder, (3, 0, 0))
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    assert changes(folder) == ("c/3/0/0",)
    assert (folder / RECORD).read_bytes() == before


def test_a_touched_array_of_an_earlier_version_is_the_same(folder: Path) -> None:
    shard_path(folder, (2, 0, 0)).touch()
    assert changes(folder) == ()
    record = ShardRecord.load(folder, (6, 1, 1))
    assert record is not None
    assert record.get((2, 0, 0)) == earlier_state(shard_path(folder, (2, 0, 0)))


@pytest.mark.parametrize("changed", [False, True])
def test_an_array_that_an_earlier_version_began_is_continued(tmp_path: Path, changed: bool) -> None:
    layout, image = Layout(tmp_path / "acquisition"), random_image()
    writer = ArrayWriter(layout, make_spec(), "d")
    for block in slab_grid(image.shape, 1)[:4]:
        writer.write(block, image[block.core])
    folder = layout.volume / "raw/0"
    ledger = folder / ARRAY_LEDGER
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    text = ledger.read_text()
    for z in range(4):
        path = shard_path(folder, (z, 0, 0))
        text = text.replace(FileState.of(path).text, earlier_state(path).text)
    assert len(lines) >= 4
    assert "xxh3" not in text
    ledger.write_text(text)
    if changed:
        shard_path(folder, (1, 0, 0)).write_bytes(b"0" * shard_path(folder, (1, 0, 0)).stat().st_size)
    writer = ArrayWriter(layout, make_spec(), "d")
    assert len(writer.pending(slab_grid(image.shape, 1))) == (3 if changed else 2)
    write_all(writer, image)
    writer.commit()
    record = ShardRecord.load(folder, (6, 1, 1))
    assert record is not None
    assert record.get((0, 0, 0)).checksum.startswith("xxh3:")
    assert changes(folder) == ()


def test_a_file_of_an_earlier_version_is_the_same_until_it_changes(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "acquisition")
    path = layout.path("tables/cells.parquet")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    save_record(layout, "tables/cells.parquet", FileRecord(earlier_state(path)))
    assert find_change(layout, "tables/cells.parquet", read=True) is None
    record = read_record(layout, "tables/cells.parquet")
    assert record is not None
    assert record.state == FileState.of(path)
    save_record(layout, "tables/cells.parquet", FileRecord(earlier_state(path)))
    path.write_bytes(b"contend")
    assert find_change(layout, "tables/cells.parquet", read=True) is not None
