"""Integrity: cost of knowing that results were changed, while opening an array and while writing one.

    python benchmarks/integrity.py [--parts open write verify] [--shards 2000 20000] [--side 2048] [--depth 48]

Opening: an array of many small files, opened as it is now (a stat of each file, compared with the record) and as before (the
files counted by listing their folders, nothing compared), with all metadata in the page cache; then once after a copy without
times, when every file is read, and once more. Peak memory is that of opening.
Writing: slices of a texture, written by one thread with checksums and with the checksum left out, in turns; the ratio of the
least processor times, which other programs on the machine disturb less than the clock.
Verify: the rate at which checksums of the written files are compared, by the clock.
"""

import argparse
import os
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, open_array, slice_shards
from spherovem_core.store import shards as shards_module
from spherovem_core.store.array_check import check_array
from spherovem_core.store.nodes import read_node
from spherovem_core.store.shard_record import RECORD

ROUNDS = 5


def write(
    folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...], values: Callable[[Any], NDArray[Any]]
) -> Layout:
    layout = Layout(folder)
    spec = ArraySpec("raw", "image", shape, np.dtype(np.uint8), chunks, chunks, (50.0, 10.0, 10.0))
    writer = ArrayWriter(layout, spec, "digest")
    for block in block_grid(shape, chunks):
        writer.write(block, values(block))
    writer.commit()
    return layout


def open_as_before(layout: Layout) -> None:
    """Open an array as spherovem did before it kept records: three times by zarr, and the files counted."""
    folder = layout.volume / "raw/0"
    for _ in range(3):
        array = zarr.open_array(folder, mode="r", zarr_format=3)
    found = sum(1 for path in (folder / "c").rglob("*") if path.is_file() and path.suffix != ".partial")
    assert found == np.prod(
        [-(-n // s) for n, s in zip(array.shape, array.shards or array.chunks, strict=True)]
    )


def shortest(
    call: Callable[[], object], rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> float:
    seconds = []
    for _ in range(rounds):
        began = clock()
        call()
        seconds.append(clock() - began)
    return min(seconds)


def compare_opening(count: int) -> None:
    block_values = np.zeros((1, 16, 16), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        layout = write(Path(folder) / "a", (count, 16, 16), (1, 16, 16), lambda block: block_values)
        now, before = shortest(lambda: open_array(layout, "raw")), shortest(lambda: open_as_before(layout))
        tracemalloc.start()
        open_array(layout, "raw")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        record = (layout.volume / "raw/0" / RECORD).stat().st_size
        copy = Layout(Path(folder) / "copy")
        shutil.copytree(layout.folder, copy.folder, copy_function=shutil.copyfile)
        first = shortest(lambda: open_array(copy, "raw"), 1)
        second = shortest(lambda: open_array(copy, "raw"), 1)
    print(
        f"{count} files: opened in {1e3 * now:.0f} ms, before {1e3 * before:.0f} ms (ratio {now / before:.2f}); peak memory "
        f"{peak / 1e6:.1f} MB, record {record / 1e3:.0f} kB; a copy without times {1e3 * first:.0f} ms, then "
        f"{1e3 * second:.0f} ms",
        flush=True,
    )


class NoChecksum:
    """Stands in for a checksum, to measure what it costs."""

    def update(self, content: bytes) -> None:
        """Take no part of a file into account."""

    @property
    def text(self) -> str:
        """A checksum of the usual length."""
        return f"xxh3:{'0' * 32}"


def compare_writing(side: int, depth: int) -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side))
    plane = 128 + 60 * np.sin(y / 31) * np.cos(x / 47)
    volume = np.clip(plane + rng.normal(0, 8, (depth, side, side)), 0, 255).astype(np.uint8)
    chunks, shards = slice_shards(volume.shape)
    spec = ArraySpec("raw", "image", volume.shape, volume.dtype, chunks, shards, (50.0, 10.0, 10.0))

    def write_slices() -> None:
        with tempfile.TemporaryDirectory() as folder:
            writer = ArrayWriter(Layout(Path(folder)), spec, "digest")
            for block in block_grid(volume.shape, shards):
                writer.write(block, volume[block.core])

    kept, left_out = [], []
    for _ in range(ROUNDS):
        kept.append(shortest(write_slices, 1, time.process_time))
        with mock.patch.object(shards_module, "FileChecksum", NoChecksum):
            left_out.append(shortest(write_slices, 1, time.process_time))
    size = volume.nbytes / 1e6
    print(
        f"{depth} slices of {side}²: written at {size / min(kept):.0f} MB/s, without checksums {size / min(left_out):.0f} MB/s "
        f"of processor time (ratio {min(kept) / min(left_out):.3f})",
        flush=True,
    )


def measure_verifying(side: int, depth: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 255, (1, side, side), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        layout = write(Path(folder), (depth, side, side), (1, side, side), lambda block: values)
        place = layout.volume / "raw/0"
        node = read_node(place) or {}
        seconds = shortest(lambda: check_array(place, node, read_all=True), 3)
        size = sum(path.stat().st_size for path in place.rglob("c/**/*") if path.is_file())
    print(f"verify: {size / seconds / 1e6:.0f} MB/s of files in the page cache, on {os.cpu_count()} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["open", "write", "verify"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--shards", nargs="+", type=int, default=[2_000, 20_000])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--depth", type=int, default=48)
    chosen = parser.parse_args()
    if "open" in chosen.parts:
        for count in chosen.shards:
            compare_opening(count)
    if "write" in chosen.parts:
        compare_writing(chosen.side, chosen.depth)
    if "verify" in chosen.parts:
        measure_verifying(chosen.side, chosen.depth)


if __name__ == "__main__":
    main()
