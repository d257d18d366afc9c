"""Ingest: rate beside a plain loop in the same run, compression, number of files, and peak memory by number of slices.

    python benchmarks/ingest.py [--parts rate memory] [--side 4096] [--slices 60] [--rounds 3]

The plain loop reads each slice and assigns it to a zarr array (zstd level 3 with bitshuffle, chunks of 1024²), with no
check. spherovem opens the acquisition (every file's header), reads, checks each slice's pixels, writes with the ledger
and sets the completion marker. The slices are a smooth texture with noise, which zstd alone compresses by 1.25 and
bitshuffle by 1.03. Rounds alternate; the best round of each counts, by the clock and by the processor's time. Peak memory is
measured in a process of its own.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
import zarr
from _peak_memory import peak_mib
from numpy.typing import NDArray
from scipy import ndimage
from zarr.codecs import BloscCodec

from spherovem_core.execution import Execution
from spherovem_core.ingest import ingest_stack, open_stack
from spherovem_core.ingest.intensities import measure_intensities
from spherovem_core.parameters import IngestParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards

GIVEN = IngestParameters(spacing_nm=(50.0, 10.0, 10.0))
WORKERS = 2


def texture(side: int, dtype: str) -> NDArray[np.generic]:
    """Make one slice: blobs of about 12 pixels, with noise."""
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.standard_normal((side, side), dtype=np.float32), 6)
    values = 120 + 16 * blobs / blobs.std() + rng.normal(0, 12, (side, side))
    scale = 1 if dtype == "uint8" else 200
    return np.clip(values * scale, 0, 255 * scale).astype(dtype)


def write_acquisition(folder: Path, side: int, slices: int, dtype: str) -> Path:
    """Write single-page TIFFs, each the texture shifted by some columns."""
    folder.mkdir()
    values = texture(side, dtype)
    for z in range(slices):
        tifffile.imwrite(folder / f"slice_{z:05d}.tif", np.roll(values, 37 * z, axis=1), metadata=None)
    return folder


def plain_loop(source: Path, results: Path) -> None:
    files = sorted(source.iterdir())
    first = tifffile.imread(files[0])
    array = zarr.create_array(
        results / "volume.zarr",
        shape=(len(files), *first.shape),
        dtype=first.dtype,
        chunks=(1, 1024, 1024),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
    )
    for z, file in enumerate(files):
        array[z] = tifffile.imread(file)


def spherovem(source: Path, results: Path) -> None:
    stack = open_stack(source, GIVEN)
    spec = ArraySpec("raw", "image", stack.shape, stack.dtype, *slice_shards(stack.shape), stack.spacing_nm)
    writer = ArrayWriter(Layout(results), spec, "digest")
    with ThreadPoolExecutor(WORKERS) as executor:
        ingest_stack(stack, writer, Execution(executor=executor, workers=WORKERS))
    writer.commit()


def rate(side: int, slices: int, rounds: int) -> None:
    for dtype in ("uint8", "uint16"):
        with tempfile.TemporaryDirectory() as folder:
            source = write_acquisition(Path(folder) / "source", side, slices, dtype)
            measure_intensities(np.zeros((4, 4), dtype))
            ways: dict[str, Callable[[Path, Path], None]] = {"plain loop": plain_loop, "spherovem": spherovem}
            best = dict.fromkeys(ways, float("inf"))
            least = dict.fromkeys(ways, float("inf"))
            sizes = {}
            for _ in range(rounds):
                for name, way in ways.items():
                    results = Path(folder) / "results"
                    began, used = time.perf_counter(), time.process_time()
                    way(source, results)
                    best[name] = min(best[name], time.perf_counter() - began)
                    least[name] = min(least[name], time.process_time() - used)
                    files = [path for path in (results / "volume.zarr").rglob("*") if path.is_file()]
                    sizes[name] = len(files), sum(path.stat().st_size for path in files)
                    shutil.rmtree(results)
        volume = slices * side**2 * np.dtype(dtype).itemsize
        print(f"{slices} slices of {side}² {dtype}")
        for name, seconds in best.items():
            files_written, size = sizes[name]
            print(
                f"  {name:10s} {seconds:6.2f} s (CPU {least[name]:.2f} s) {volume / seconds / 1e6:6.0f} MB/s "
                f"ratio {volume / size:.3f} in {files_written} files"
            )
        faster, cheaper = (each["plain loop"] / each["spherovem"] for each in (best, least))
        print(f"  spherovem is {faster:.2f} times as fast, {cheaper:.2f} times by CPU time", flush=True)


def memory(side: int) -> None:
    """Measure the peak memory of a process that ingests 30 or 300 slices, hard links to one file."""
    for slices in (30, 300):
        with tempfile.TemporaryDirectory() as folder:
            source = write_acquisition(Path(folder) / "source", side, 1, "uint8")
            for z in range(1, slices):
                (source / f"slice_{z:05d}.tif").hardlink_to(source / "slice_00000.tif")
            command = [sys.executable, __file__, "--ingest", str(source), str(Path(folder) / "results")]
            print(f"{slices} slices of {side}²: peak memory", end=" ", flush=True)
            subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["rate", "memory"], choices=["rate", "memory"])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ingest", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ingest:
        spherovem(*chosen.ingest)
        print(f"{peak_mib():.0f} MB")
        return
    if "rate" in chosen.parts:
        rate(chosen.side, chosen.slices, chosen.rounds)
    if "memory" in chosen.parts:
        memory(chosen.side)


if __name__ == "__main__":
    main()
