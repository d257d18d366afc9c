"""Storage: cost and gain of codecs, chunks and shards on real data.

    python benchmarks/storage.py [--parts codecs shapes reading pyramids] [--side 2048] [--depth 160]

Codecs: compression ratio, and rates of compressing and expanding on one core, in chunks of 512² (images) and 64³ (labels).
Shapes: a real stack, tiled to the requested size, written as the stages write it and read back by slice, by cube of 128³ and by
xz plane, in processor time: rates of the voxels asked for, and of those in the chunks that hold them, beside the rate at which
chunks are decoded. Reading: labels and distances, read with zarr and straight from the files. Pyramids: the stack written alone,
with its coarser levels built afterwards, and with levels that grow meanwhile. All files are in the page cache.
"""

import argparse
import itertools
import operator
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from edt import edt
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import block_grid, slab_grid
from spherovem_core.execution import Execution
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    finish_multiscale,
    grow_levels,
    slice_shards,
)
from spherovem_core.store.codecs import codec_for
from spherovem_core.store.shard_reading import read_region

DATA = Path(__file__).parents[2] / "shared" / "data"
PARTS = ("codecs", "shapes", "reading", "pyramids")
SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")


def chunks_of(values: NDArray[Any], shape: tuple[int, ...]) -> list[NDArray[Any]]:
    return [np.ascontiguousarray(values[block.core]) for block in block_grid(values.shape, shape)]


def samples() -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Yield real images and labels; the 16-bit image is the 8-bit one with noise in the lower bits, as in averaged frames."""
    fibsem = tifffile.imread(sorted((DATA / "fibsem_drosophila/slices").glob("*.tif"))[:40])
    sections = tifffile.imread(sorted((DATA / "sstem_vnc").glob("*.tif"))[:8])
    yield "FIB-SEM uint8", chunks_of(fibsem, (1, 250, 250))
    yield "ssTEM uint8", chunks_of(sections, (1, 512, 512))
    noise = np.random.default_rng(0).normal(0, 40, sections.shape)
    deep = np.clip(sections * 200.0 + noise, 0, 65535).astype(np.uint16)
    yield "ssTEM uint16", chunks_of(deep, (1, 512, 512))
    bodies = np.load(DATA / "fibsem_drosophila/bodies.npz")["labels"].astype(np.uint32)
    yield "bodies uint32", chunks_of(bodies[:192, :192, :192], (64, 64, 64))
    distance = edt(bodies[:192, :192, :192] == bodies[96, 96, 96], anisotropy=(10, 10, 10))
    yield "distance float32", chunks_of(np.where(distance > 0, distance, np.nan), (64, 64, 64))
    flow = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((128, 128, 128)), 6)
    yield "smooth flow float16", chunks_of((flow / flow.std()).astype(np.float16), (64, 64, 64))


def codecs(itemsize: int) -> Iterator[tuple[str, Callable[[Any], bytes], Callable[[bytes], Any]]]:
    for level in (1, 3):
        yield (
            f"zstd {level}",
            lambda chunk, level=level: imagecodecs.zstd_encode(chunk, level=level),
            imagecodecs.zstd_decode,
        )
        shuffles = SHUFFLES[1 if itemsize > 1 else 2 :]
        for shuffle, block in itertools.product(shuffles, (None, 256 * 1024)):
            yield (
                f"blosc zstd {level} {shuffle} {'own block' if block is None else '256 KiB'}",
                lambda chunk, level=level, shuffle=shuffle, block=block: imagecodecs.blosc_encode(
                    chunk,
                    level=level,
                    compressor="zstd",
                    shuffle=shuffle,
                    typesize=chunk.dtype.itemsize,
                    blocksize=block,
                    numthreads=1,
                ),
                imagecodecs.blosc_decode,
            )


def compare_codecs() -> None:
    for name, chunks in samples():
        size = sum(chunk.nbytes for chunk in chunks)
        print(f"{name}, {size / 1e6:.0f} MB in {len(chunks)} chunks")
        for codec, encode, decode in codecs(chunks[0].dtype.itemsize):
            encoded = [encode(chunk) for chunk in chunks]
            write = shortest(lambda encode=encode, chunks=chunks: [encode(chunk) for chunk in chunks])
            read = shortest(lambda decode=decode, encoded=encoded: [decode(content) for content in encoded])
            ratio = size / sum(map(len, encoded))
            print(
                f"  {codec:34s} ratio {ratio:7.3f}   compress {size / write / 1e6:6.0f} MB/s   "
                f"expand {size / read / 1e6:6.0f} MB/s",
                flush=True,
            )


def shortest(call: Callable[[], object], rounds: int = 3) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


SHAPES = [
    # name, chunk, depth of a shard
    ("slice, chunks of 512²", (1, 512, 512), 1),
    ("slice, chunks of 256²", (1, 256, 256), 1),
    ("slice, chunks of 1024²", (1, 1024, 1024), 1),
    ("slab of 16, chunks 16 x 256²", (16, 256, 256), 16),
    ("slab of 16, chunks 1 x 512²", (1, 512, 512), 16),
    ("cubes of 128, chunks of 64³", (64, 64, 64), 0),
]


def stack(side: int, depth: int) -> NDArray[np.uint8]:
    """Tile a real section, with noise that differs from slice to slice."""
    section = tifffile.imread(sorted((DATA / "sstem_vnc").glob("*.tif"))[0])
    plane = np.tile(section, (-(-side // 1024), -(-side // 1024)))[:side, :side]
    noise = np.random.default_rng(0).integers(-6, 7, plane.shape, np.int16)
    return np.stack(
        [np.clip(plane + np.roll(noise, 37 * z, axis=1), 0, 255).astype(np.uint8) for z in range(depth)]
    )


def compare_shapes(side: int, depth: int) -> None:
    volume = stack(side, depth)
    print(f"{depth} slices of {side}² uint8: rates in MB/s of voxels asked for (of voxels in their chunks)")
    for name, chunks, slab in SHAPES:
        shards = (slab, side, side) if slab else (128, 128, 128)
        spec = ArraySpec("raw", "image", volume.shape, volume.dtype, chunks, shards, (10.0, 10.0, 10.0))
        with tempfile.TemporaryDirectory() as folder:
            writer = ArrayWriter(Layout(Path(folder)), spec, "digest")
            began = time.perf_counter()
            for block in block_grid(volume.shape, shards):
                writer.write(block, volume[block.core])
            writing = volume.nbytes / (time.perf_counter() - began) / 1e6
            files = [path for path in Path(folder).rglob("c/**/*") if path.is_file()]
            ratio = volume.nbytes / sum(path.stat().st_size for path in files)
            rates = [read_rate(writer.stored, regions) for regions in accesses(volume.shape).values()]
            decoding = decode_rate(volume, chunks)
        print(
            f"  {name:30s} {len(files):5d} files, ratio {ratio:.3f}, write {writing:5.0f}, decode {decoding:5.0f}, "
            + ", ".join(
                f"{way} {rate:6.1f} ({touched:5.0f})"
                for way, (rate, touched) in zip(accesses(volume.shape), rates, strict=True)
            ),
            flush=True,
        )


def accesses(shape: tuple[int, ...]) -> dict[str, list[tuple[Any, ...]]]:
    depth, side, _ = shape
    corners = itertools.product((3, side // 2), repeat=2)
    return {
        "by slice": [(slice(z, z + 1),) for z in range(0, depth, max(1, depth // 12))],
        "by cube": [(slice(0, 128), slice(y, y + 128), slice(x, x + 128)) for y, x in corners],
        "by xz plane": [(slice(None), y) for y in (17, side // 2)],
    }


def read_rate(stored: Any, regions: list[tuple[Any, ...]]) -> tuple[float, float]:
    """Return the rates of voxels asked for, and of voxels in the chunks that hold them, in MB/s of processor time."""
    began = time.process_time()
    size = sum(stored[region].nbytes for region in regions)
    seconds = time.process_time() - began
    touched = sum(touched_bytes(stored, region) for region in regions)
    return size / seconds / 1e6, touched / seconds / 1e6


def touched_bytes(stored: Any, region: tuple[Any, ...]) -> int:
    places = [*region, *[slice(None)] * (len(stored.shape) - len(region))]
    size = stored.dtype.itemsize
    for place, extent, chunk in zip(places, stored.shape, stored.array.chunks, strict=True):
        start, stop, _ = place.indices(extent) if isinstance(place, slice) else (place, place + 1, 1)
        size *= (-(-stop // chunk) - start // chunk) * chunk
    return int(size)


def decode_rate(volume: NDArray[Any], chunks: tuple[int, ...]) -> float:
    """Return the rate of expanding a chunk again and again: no reader is faster on one thread."""
    chunk = np.ascontiguousarray(volume[tuple(slice(0, n) for n in chunks)])
    encoded, out = codec_for("image", chunk.dtype).encode(chunk), np.empty(chunk.nbytes, np.uint8)
    count = max(1, 100_000_000 // chunk.nbytes)
    began = time.process_time()
    for _ in range(count):
        imagecodecs.zstd_decode(encoded, out=out)
    return count * chunk.nbytes / (time.process_time() - began) / 1e6


def compare_pyramids(side: int, depth: int) -> None:
    volume = stack(side, depth)
    print(f"{depth} slices of {side}² uint8, {volume.nbytes / 1e6:.0f} MB: processor time of writing")
    for spacing in ((50.0, 10.0, 10.0), (10.0, 10.0, 10.0)):
        seconds = {way: min(written(volume, spacing, way) for _ in range(3)) for way in WAYS}
        alone = seconds["without pyramid"]
        for way, spent in seconds.items():
            rate = volume.nbytes / spent / 1e6
            print(
                f"  {spacing} nm {way:24s} {spent:5.2f} s, {rate:5.0f} MB/s, {alone / spent:.2f} of the rate without"
            )


WAYS = ("without pyramid", "pyramid afterwards", "pyramid grows meanwhile")


def written(volume: NDArray[Any], spacing: tuple[float, float, float], way: str) -> float:
    """Write a volume and return the seconds of the processor."""
    spec = ArraySpec("raw", "image", volume.shape, volume.dtype, *slice_shards(volume.shape), spacing)
    with tempfile.TemporaryDirectory() as folder:
        writer = ArrayWriter(Layout(Path(folder)), spec, "digest")
        began = time.process_time()
        if way == WAYS[2]:
            grow_levels(writer)
        for block in slab_grid(volume.shape, 1):
            writer.write(block, volume[block.core])
        if way == WAYS[0]:
            writer.commit()
        else:
            finish_multiscale(writer, Execution())
        return time.process_time() - began


def compare_reading() -> None:
    bodies = np.load(DATA / "fibsem_drosophila/bodies.npz")["labels"].astype(np.uint32)
    labels = np.tile(bodies, [-(-256 // n) for n in bodies.shape])[:256, :256, :256]
    inside = np.asarray(edt(labels, anisotropy=(10, 10, 10)), np.float32)
    print("cubes of 256 in shards of 128 and chunks of 64: rates in MB/s of voxels asked for")
    for name, values in (("labels uint32", labels), ("distances float32", inside)):
        sides = ((64, 64, 64), (128, 128, 128), (10.0, 10.0, 10.0))
        spec = ArraySpec("labels", "field", values.shape, values.dtype, *sides)
        with tempfile.TemporaryDirectory() as folder:
            writer = ArrayWriter(Layout(Path(folder)), spec, "digest")
            for block in block_grid(values.shape, spec.shards):
                writer.write(block, values[block.core])
            ways = (partial(operator.getitem, writer.array), partial(read_region, writer.array))
            rates = [values.nbytes / shortest(partial(way, slice(None))) / 1e6 for way in ways]
        print(f"  {name:20s} zarr {rates[0]:6.0f}, straight from the files {rates[1]:6.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--depth", type=int, default=160)
    chosen = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: this benchmark compares codecs on real data")
    if "codecs" in chosen.parts:
        compare_codecs()
    if "shapes" in chosen.parts:
        compare_shapes(chosen.side, chosen.depth)
    if "reading" in chosen.parts:
        compare_reading()
    if "pyramids" in chosen.parts:
        compare_pyramids(chosen.side, chosen.depth)


if __name__ == "__main__":
    main()
