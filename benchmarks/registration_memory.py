"""Peak memory of a registration at two depths, and of single slices at two sizes, each in a separate process.

    python benchmarks/registration_memory.py [--depths N N] [--side N] [--repeats N] [--large N N]

A stack is read from a store and the warped slices are written to one; pairs run on two threads. Most of the peak comes from
the libraries of torch, which is shown too. The peak must not grow with the number of slices, except for the pair records.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from _peak_memory import peak_mib

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import (
    Rectangle,
    register_pair,
    register_stack,
    warp_slice,
    warp_stack,
)
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.pairs import PairResult
from spherovem_core.store import ArraySpec, ArrayWriter, Ledger, open_array, slice_shards
from spherovem_core.store.layout import DENOISED, REGISTERED, Layout
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene

JITTER_PX = 24
SPACING_NM = (50.0, 10.0, 10.0)
PARAMETERS = RegistrationParameters()


def write_source(folder: Path, depth: int, side: int) -> None:
    """Store a stack: one texture at whole-pixel shifts, with new noise in every slice."""
    rng = np.random.default_rng(0)
    wide = (side + JITTER_PX,) * 2
    texture = TextureScene(wide, seed=0).sample(IDENTITY, wide, Appearance(noise=0.0), seed=0)
    shape = (depth, side, side)
    writer = ArrayWriter(
        Layout(folder),
        ArraySpec(DENOISED, "image", shape, np.dtype(np.uint8), *slice_shards(shape), SPACING_NM),
        "source",
    )
    for block in slab_grid(shape, 1):
        y, x = rng.integers(0, JITTER_PX, 2)
        values = texture[y : y + side, x : x + side] + 8.0 * rng.standard_normal((side, side), np.float32)
        writer.write(block, np.clip(np.rint(values), 0, 255).astype(np.uint8)[None])
    writer.commit()


def register_stored(folder: Path) -> dict[str, float]:
    """Register the stack in `folder`; return seconds, and the peak memory before, after the pairs and after the warp."""
    import torch  # noqa: F401 - loaded first, so that the start includes its libraries

    source = open_array(Layout(folder), DENOISED)
    found = {"start_mib": peak_mib()}
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        execution = Execution(device="cpu", executor=pool, workers=2)
        alignment = register_stack(source, PARAMETERS, execution, ledger=Ledger(folder / "pairs.jsonl", ""))
        found["pairs_mib"] = peak_mib()
        shape = (source.shape[0], *alignment.crop.shape)
        spec = ArraySpec(REGISTERED, "image", shape, source.dtype, *slice_shards(shape), source.spacing_nm)
        writer = ArrayWriter(Layout(folder), spec, "registered")
        warp_stack(source, alignment, writer, PARAMETERS, execution)
        writer.commit(**alignment.details())
    return {**found, "warp_mib": peak_mib(), "seconds": time.perf_counter() - started}


def register_large(side: int) -> dict[str, float]:
    """Register and warp one slice; return seconds, and the peak memory beyond that of the input and a tiny pair."""
    texture = TextureScene((512, 512), seed=0).sample(IDENTITY, (512, 512), Appearance(noise=8.0), seed=0)
    fixed = np.tile(texture, (side // 512, side // 512))
    moving = np.roll(fixed, (5, -7), (0, 1))
    whole = Rectangle(0, side, 0, side)
    register_pair(texture, texture)
    warp_slice(texture, IDENTITY, Rectangle(0, 512, 0, 512))
    start = peak_mib()
    started = time.process_time()
    motion = register_pair(fixed, moving, PARAMETERS).matrix
    pair = peak_mib()
    registered = time.process_time()
    warp_slice(moving, motion, whole, PARAMETERS.interpolation)
    return {
        "pair_mib": pair - start,
        "warp_mib": peak_mib() - start,
        "pair_s": registered - started,
        "warp_s": time.process_time() - registered,
    }


def record_bytes() -> float:
    """Measure the bytes that the record and the result of a pair hold while a stack is aligned."""
    result = register_pair(*(np.random.default_rng(s).integers(0, 255, (64, 64)) for s in (0, 1)))
    count = 1000
    tracemalloc.start()
    kept = [json.loads(json.dumps(result.to_record())) for _ in range(count)]
    results = [PairResult.from_record(record) for record in kept]
    size = tracemalloc.get_traced_memory()[0] / len(results)
    tracemalloc.stop()
    return size


def measure_alone(*arguments: str) -> dict[str, float]:
    """Run this script with these arguments in a separate process and return its output."""
    ran = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(ran.stdout)
    return measured


def measure_stack(depth: int, side: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        write_source(Path(folder), depth, side)
        return measure_alone("--register", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", type=int, nargs=2, default=(30, 300), help="slices of the two stacks")
    parser.add_argument("--side", type=int, default=1024, help="side of a slice in pixels")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of the smaller stack, to show their spread"
    )
    parser.add_argument("--large", type=int, nargs=2, default=(2048, 8192), help="sides of the single slices")
    parser.add_argument("--register", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--register-large", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.register:
        print(json.dumps(register_stored(options.register)))
        return
    if options.register_large:
        print(json.dumps(register_large(options.register_large)))
        return
    for depth in [options.depths[0]] * options.repeats + [options.depths[1]]:
        found = measure_stack(depth, options.side)
        print(
            f"{depth:4d} slices of {options.side} x {options.side}: {found['seconds']:6.1f} s, peak "
            f"{found['start_mib']:.0f} MiB after loading torch, {found['pairs_mib']:.0f} after the pairs, "
            f"{found['warp_mib']:.0f} after the warp",
            flush=True,
        )
    print(f"record of a pair: {record_bytes() / 1024:.1f} KiB")
    for side in options.large:
        found = measure_alone("--register-large", str(side))
        print(
            f"one slice of {side} x {side} ({side * side / 2**20:.0f} MiB): pair {found['pair_s']:.2f} s CPU and "
            f"{found['pair_mib']:.0f} MiB; warp {found['warp_s']:.2f} s CPU and {found['warp_mib']:.0f} MiB, "
            "including the warped slice",
            flush=True,
        )


if __name__ == "__main__":
    main()
