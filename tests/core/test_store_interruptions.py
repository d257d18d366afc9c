"""The store after kills and a full disk: nothing half-written counts, and the writing continues."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_samples import make_spec, random_image, write_all

from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArrayWriter, Layout, Ledger, find_array, open_array


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "acquisition")


@pytest.fixture
def image() -> np.ndarray:
    return random_image()


def test_a_partial_array_is_continued_only_under_its_digest(layout: Layout, image: np.ndarray) -> None:
    blocks = slab_grid(image.shape, 1)
    first = ArrayWriter(layout, make_spec(), "d")
    for block in blocks[:4]:
        first.write(block, image[block.core])
    assert ArrayWriter(layout, make_spec(), "d").pending(blocks) == blocks[4:]
    (layout.volume / "raw/0/c/1/0/0").unlink()
    assert ArrayWriter(layout, make_spec(), "d").pending(blocks) == [blocks[1], *blocks[4:]]
    assert ArrayWriter(layout, make_spec(), "other").pending(blocks) == blocks


def test_a_full_disk_leaves_no_torn_shard(layout: Layout, image: np.ndarray) -> None:
    writer = ArrayWriter(layout, make_spec(), "d")
    blocks = slab_grid(image.shape, 1)
    writer.write(blocks[0], image[:1])

    # A shard of random bytes has 60 kB; the system lets a file have 1 kB, as a disk does that becomes full.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for block in blocks[:2]:
            with pytest.raises(OSError, match="File too large"):
                writer.write(block, image[5:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
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
from spherovem_core.blocks import slab_grid
from spherovem_core.store import ArrayWriter, Layout
sys.path.insert(0, {tests!r})
from store_samples import make_spec, random_image
from pathlib import Path
writer = ArrayWriter(Layout(Path({folder!r})), make_spec(), "d")
image = random_image()
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


def test_a_ledger_drops_a_torn_line_and_another_digest(tmp_path: Path) -> None:
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


def test_a_ledger_drops_the_oldest_entries_that_nobody_needs(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path, "d")
    for number, key in enumerate("abcdef"):
        ledger[key] = number
    ledger.drop_oldest({"a", "e", "x"}, 2)
    ledger["g"] = 6
    assert dict(ledger) == dict(Ledger(path, "d")) == {"a": 0, "d": 3, "e": 4, "f": 5, "g": 6}
