"""Arrays that are set aside while a step replaces them, and files that are taken over from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_samples import make_spec, random_image, write_all

from spherovem_core.blocks import block_grid, slab_grid
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    StoredArray,
    discard_replaced,
    open_array,
    set_aside,
)
from spherovem_core.store.codecs import Codec
from spherovem_core.store.layout import array_path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


def commit(layout: Layout, image: np.ndarray, digest: str) -> StoredArray:
    writer = ArrayWriter(layout, make_spec(), digest)
    write_all(writer, image)
    writer.commit()
    return open_array(layout, "raw")


def test_the_replaced_array_outlives_its_successor_until_it_is_discarded(layout: Layout) -> None:
    image = random_image()
    assert set_aside(layout, "raw", "new") is None
    commit(layout, image, "old")
    aside = set_aside(layout, "raw", "new")
    assert aside is not None
    commit(layout, image + 1, "new")
    np.testing.assert_array_equal(aside[:], image)
    discard_replaced(layout)
    assert set_aside(layout, "raw", "new") is None
    np.testing.assert_array_equal(open_array(layout, "raw")[:], image + 1)


def test_after_a_kill_the_array_that_was_set_aside_is_found_again(layout: Layout) -> None:
    image = random_image()
    commit(layout, image, "old")
    set_aside(layout, "raw", "new")
    ArrayWriter(layout, make_spec(), "new").write(slab_grid(image.shape, 1)[0], image[:1])
    for digest in ("new", "newer"):
        aside = set_aside(layout, "raw", digest)
        assert aside is not None
        assert aside.digest == "old"
        np.testing.assert_array_equal(aside[:], image)


def test_the_newest_complete_array_is_the_one_that_is_set_aside(layout: Layout) -> None:
    image = random_image()
    for number in range(3):
        aside = set_aside(layout, "raw", str(number))
        assert (None if aside is None else aside.digest) == (str(number - 1) if number else None)
        commit(layout, image, str(number))


@pytest.mark.parametrize("links", [True, False])
def test_blocks_are_taken_over_as_files(links: bool, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("this file system knows no links")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    image = random_image()
    commit(layout, image, "old")
    aside = set_aside(layout, "raw", "new")
    assert aside is not None
    writer = ArrayWriter(layout, make_spec(), "new")
    first, *others = slab_grid(image.shape, 1)
    assert writer.take_over(first, aside.folder, link=True)
    assert writer.pending([first, *others]) == others
    for block in others:
        writer.write(block, image[block.core] + 1)
    writer.commit()
    discard_replaced(layout)
    expected = image + 1
    expected[0] = image[0]
    np.testing.assert_array_equal(open_array(layout, "raw")[:], expected)


def test_blocks_of_an_array_of_another_form_or_without_a_file_are_not_taken_over(layout: Layout) -> None:
    image = random_image()
    old = commit(layout, image, "old")
    aside = set_aside(layout, "raw", "new")
    assert aside is not None
    block = slab_grid(image.shape, 1)[0]
    other = replace(make_spec(), spacing_nm=(1.0, 2.0, 3.0))
    assert not ArrayWriter(layout, other, "new").take_over(block, aside.folder)
    index = next(iter(aside.shards_of(block.core)))
    (aside.folder / "c" / "/".join(map(str, index))).unlink()
    writer = ArrayWriter(layout, make_spec(), "new")
    assert not writer.take_over(block, aside.folder)
    assert writer.pending([block]) == [block]
    assert aside.shard_digest(index) == ""
    assert old.digest == "old"


@pytest.mark.parametrize("damage", [None, "truncated", "overwritten", "lost", "other form"])
def test_chunks_of_the_same_values_are_not_compressed_again(
    damage: str | None, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values decide, bit for bit; where the other file is no whole shard, or of another form, all chunks are compressed."""
    shape = (6, 10, 12)
    before = np.full(shape, np.nan, np.float32)
    before[:4] = np.random.default_rng(0).random((4, 10, 12))
    spec = make_spec(
        "map", shape, content="field", dtype=np.dtype("float32"), chunks=(3, 4, 4), shards=(6, 8, 8)
    )
    other = replace(spec, spacing_nm=(1.0, 1.0, 1.0)) if damage == "other form" else spec
    blocks = block_grid(shape, spec.shards)

    def write(digest: str, values: np.ndarray, kind: ArraySpec, like: Path | None) -> str:
        writer = ArrayWriter(Layout(layout.folder / digest), kind, digest)
        for block in blocks:
            writer.write(block, values[block.core], None if like is None else (before[block.core], like))
        writer.commit()
        stored = open_array(writer.layout, "map")
        np.testing.assert_array_equal(stored[:].view(np.uint32), values.view(np.uint32))
        return writer.content

    write("old", before, other, None)
    folder = Layout(layout.folder / "old").path(array_path("map", 0))
    values = before.copy()
    values[0, 0, 0] = -1
    # Equal as numbers, but not as bits.
    before[5, 9, 11], values[5, 9, 11] = 0.0, -0.0
    content = write("full", values, spec, None)
    for file in [file for file in (folder / "c").rglob("*") if file.is_file()] if damage else ():
        if damage == "truncated":
            file.write_bytes(file.read_bytes()[:-3])
        elif damage == "overwritten":
            file.write_bytes(bytes(file.stat().st_size))
        elif damage == "lost":
            file.unlink()
    encoded = 0

    plain = Codec.encode

    def encode(codec: Codec, chunk: np.ndarray) -> bytes:
        nonlocal encoded
        encoded += 1
        return plain(codec, chunk)

    monkeypatch.setattr(Codec, "encode", encode)
    assert write("new", values, spec, folder) == content
    assert encoded == (2 if damage is None else 2 * 3 * 3)
