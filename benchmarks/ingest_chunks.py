"""Ingest of a zarr volume whose chunks span many slices: seconds and peak memory, beside one decode per slice.

    python benchmarks/ingest_chunks.py [--side 2048] [--depth 64] [--slices 64 192]

Each volume is ingested in a process of its own from chunks of DEPTH x 256 x 256 voxels, and read once more slice by slice with
zarr alone, which decodes every chunk once per slice (the first 16 slices, extrapolated). With ``--slab-mib 0`` the slabs go to a
file in the folder for temporary files, as those of more than 256 MiB do.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from _peak_memory import peak_mib

from spherovem_core.execution import Execution
from spherovem_core.ingest import ingest_stack, open_stack, slabs
from spherovem_core.parameters import IngestParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards

GIVEN = IngestParameters(spacing_nm=(50.0, 10.0, 10.0))
COMPARED = 16


def write_volume(path: Path, slices: int, side: int, depth: int) -> None:
    """Write noise around blobs, one layer of chunks at a time."""
    rng = np.random.default_rng(0)
    array = zarr.create_array(path, shape=(slices, side, side), dtype="uint8", chunks=(depth, 256, 256))
    layer = rng.integers(90, 160, (depth, side, side), dtype=np.uint8)
    for z in range(0, slices, depth):
        array[z : z + depth] = layer[: slices - z]


def ingest(source: Path, results: Path, slab_mib: int) -> None:
    slabs.SLAB_BYTES = slab_mib * 2**20
    began = time.perf_counter()
    stack = open_stack(source, GIVEN)
    spec = ArraySpec("raw", "image", stack.shape, stack.dtype, *slice_shards(stack.shape), stack.spacing_nm)
    writer = ArrayWriter(Layout(results), spec, "digest")
    with ThreadPoolExecutor(2) as executor:
        ingest_stack(stack, writer, Execution(executor=executor, workers=2))
    writer.commit()
    print(f"{time.perf_counter() - began:.1f} s, peak memory {peak_mib():.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--slices", type=int, nargs="+", default=[64, 192])
    parser.add_argument("--slab-mib", type=int, default=256)
    parser.add_argument("--ingest", nargs=2, type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.ingest:
        ingest(*chosen.ingest, chosen.slab_mib)
        return
    for slices in chosen.slices:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "volume.zarr"
            write_volume(source, slices, chosen.side, chosen.depth)
            print(
                f"{slices} slices of {chosen.side}², chunks of {chosen.depth} slices: ingest",
                end=" ",
                flush=True,
            )
            own = [
                sys.executable,
                __file__,
                "--slab-mib",
                str(chosen.slab_mib),
                "--ingest",
                str(source),
                f"{folder}/results",
            ]
            subprocess.run(own, check=True)
            array = zarr.open_array(source, mode="r")
            began = time.perf_counter()
            for z in range(COMPARED):
                np.asarray(array[z])
            seconds = (time.perf_counter() - began) * slices / COMPARED
            print(f"  reading alone, one decode per slice: {seconds:.1f} s")


if __name__ == "__main__":
    main()
