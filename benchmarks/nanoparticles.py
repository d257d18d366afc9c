"""Nanoparticles: accuracy on phantoms and on a painted real stack beside simple thresholds; rates and peak memory.

    python benchmarks/nanoparticles.py [--parts accuracy painted speed] [--slices 30 90] [--side 4096]

Accuracy is measured without registration (phantoms without jitter), with one setting, the default, throughout.
Rates are of a zarr array as the store writes it, beside a plain read of the same array in the same process; the
peak memory is of a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import tifffile
import zarr
from _painted import global_mixture, otsu, paint, percentile
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec

from spherovem_core.blocks import MemorySink, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import (
    Mixture,
    collect_statistics,
    fit_statistics,
    segment_particles,
)
from spherovem_core.nanoparticles.lookup import look_up, slice_table
from spherovem_core.nanoparticles.segmentation import slab_depth
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.phantom import make_phantom
from spherovem_core.spacing import SpacingNm

PARAMETERS = NanoparticleParameters()
STILL = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}
REAL = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"
# Seeds that played no part in the development of the method.
PHANTOMS: list[tuple[float, int, dict[str, Any]]] = [
    (0.0, 9001, {}),
    (0.0002, 9002, {}),
    (0.0005, 9003, {}),
    (0.002, 9004, {}),
    (0.002, 9005, {"gain_drift": 0.1}),
    (0.01, 9006, {}),
    (0.03, 9007, {}),
    (0.05, 9008, {}),
]


def segment(
    image: NDArray[np.uint8], spacing_nm: SpacingNm
) -> tuple[Mixture, NDArray[np.float16], NDArray[np.uint32]]:
    mixture = fit_statistics(collect_statistics(image, spacing_nm, PARAMETERS), PARAMETERS)
    sinks = [MemorySink(np.zeros(image.shape, kind)) for kind in (np.float16, np.uint32, np.uint32)]
    segment_particles(image, spacing_nm, mixture, *sinks, PARAMETERS)
    return mixture, sinks[0].array, sinks[2].array


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(found.sum() + truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def calibration(chance: NDArray[np.float16], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Largest distance of the reliability diagram from the diagonal, and what chance alone would give there.

    Over deciles that hold 300 voxels or more; the second is two standard errors of the same decile.
    """
    decile = np.digitize(chance, np.arange(0.1, 1, 0.1))
    found = []
    for k in range(10):
        inside = decile == k
        count = int(inside.sum())
        if count >= 300:
            share = float(truth[inside].mean())
            gap = abs(share - float(chance[inside].astype(np.float64).mean()))
            found.append((gap, 2 * (max(share * (1 - share), 1e-9) / count) ** 0.5))
    return max(found, default=(0.0, 0.0))


def accuracy() -> None:
    print(
        f"{'fraction':>9} {'options':22} {'Dice':>6} {'raw':>6} {'count':>11} {'weight':>8} {'calibration':>12}"
    )
    for fraction, seed, options in PHANTOMS:
        phantom = make_phantom(
            shape=(64, 512, 512), seed=seed, nanoparticle_volume_fraction=fraction, **STILL, **options
        )
        truth = phantom.nanoparticles > 0
        mixture, chance, labels = segment(phantom.image, phantom.spacing_nm)
        gap, error = calibration(chance, truth)
        print(
            f"{100 * fraction:8.3f}% {options!s:22} {dice(labels > 0, truth):6.3f} {dice(chance > 0.5, truth):6.3f} "
            f"{labels.max():5d}/{phantom.nanoparticles.max():<5d} {100 * mixture.weight:7.3f}% {gap:5.3f} +-{error:.3f}"
        )


def painted() -> None:
    if not REAL.is_dir():
        print(f"painted: left out, no real data at {REAL}")
        return
    stack = np.stack([tifffile.imread(path) for path in sorted(REAL.glob("*.tif*"))])
    spacing = (10.0, 10.0, 10.0)
    print(f"real stack as it is: {segment(stack, spacing)[2].max()} labels")
    print(f"{'fraction':>9} {'method':16} {'precision':>9} {'recall':>7} {'Dice':>6} {'objects':>11}")
    for fraction in (0.0005, 0.002, 0.02):
        image, truth = paint(stack, spacing, fraction, seed=7)
        masks = {
            "this": segment(image, spacing)[2] > 0,
            "Otsu": otsu(image),
            "percentile 99.8": percentile(image),
            "global mixture": global_mixture(image),
        }
        for name, mask in masks.items():
            hit = int((mask & truth).sum())
            objects = [int(cc3d.connected_components(part).max()) for part in (mask, truth)]
            print(
                f"{100 * fraction:8.3f}% {name:16} {hit / max(1, int(mask.sum())):9.3f} {hit / int(truth.sum()):7.3f} "
                f"{dice(mask, truth):6.3f} {objects[0]:5d}/{objects[1]:<5d}"
            )


def write_stack(folder: Path, slices: int, side: int) -> None:
    """Noisy tissue with balls, as the store lays an image out: a file a slice, in chunks of 512 by 512."""
    random = np.random.default_rng(0)
    noise = random.normal(128, 14, (side + 64, side)).astype(np.float32)
    places = random.uniform(0, 1, (max(1, slices * side * side // 4_000_000), 3)) * (slices, side, side)
    chunk = min(512, side)
    array = create(folder / "image", (slices, side, side), "uint8", (1, chunk, chunk), (1, side, side))
    y, x = np.ogrid[:25, :25]
    for z in range(slices):
        plane = noise[z % 64 : z % 64 + side].copy()
        for cz, cy, cx in places:
            radius = 12**2 - 16 * (z - cz) ** 2
            if radius > 0 and 12 < cy < side - 13 and 12 < cx < side - 13:
                j, i = int(cy) - 12, int(cx) - 12
                ball = (y - 12) ** 2 + (x - 12) ** 2 <= radius
                plane[j : j + 25, i : i + 25] += np.where(ball, 90, 0)
        array[z] = np.clip(plane, 0, 255).astype(np.uint8)


def create(
    path: Path, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...], shards: tuple[int, ...]
) -> Any:
    codec = ZstdCodec(level=1) if dtype == "uint8" else BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    return zarr.create_array(path, shape=shape, dtype=dtype, chunks=chunks, shards=shards, compressors=codec)


def _posterior_of(z: int, image: Any, mixture: Mixture) -> None:
    look_up(image[z], slice_table(mixture, z).posterior.astype(np.float16))


def measure(folder: Path, workers: int) -> dict[str, float]:
    """Time one pass after the other; to be run in a process of its own."""
    image: Any = zarr.open_array(folder / "image", mode="r")
    spacing, shape = (50.0, 10.0, 10.0), image.shape
    megabytes = float(np.prod(shape)) / 1e6
    collect_statistics(image[:2], spacing, PARAMETERS)
    rates = {}
    start = time.perf_counter()
    for z in range(shape[0]):
        image[z]
    rates["plain read"] = megabytes / (time.perf_counter() - start)
    with ThreadPoolExecutor(workers) as executor:
        execution = Execution(executor=executor, workers=workers)
        start = time.perf_counter()
        statistics = collect_statistics(image, spacing, PARAMETERS, execution)
        rates["histogram pass"] = megabytes / (time.perf_counter() - start)
        start = time.perf_counter()
        mixture = fit_statistics(statistics, PARAMETERS)
        rates["fit, seconds"] = time.perf_counter() - start
        table = slice_table(mixture, 0).posterior.astype(np.float16)
        look_up(np.zeros((4, 4), np.uint8), table)
        start = time.perf_counter()
        for _ in map_blocks(_posterior_of, range(shape[0]), image, mixture, executor=executor, ahead=workers):
            pass
        rates["posterior pass"] = megabytes / (time.perf_counter() - start)
        rates["peak before labels, MB"] = peak_mb()
        sinks = _sinks(folder, shape)
        start = time.perf_counter()
        found = segment_particles(image, spacing, mixture, *sinks, PARAMETERS, execution)
        rates["posterior and labels, written"] = megabytes / (time.perf_counter() - start)
    rates["particles"] = len(found)
    rates["slab depth"] = slab_depth(shape)
    rates["peak, MB"] = peak_mb()
    return rates


def _sinks(folder: Path, shape: tuple[int, ...]) -> list[MemorySink]:
    chunk = min(512, shape[1])
    flat = (1, chunk, chunk), (1, *shape[1:])
    small = tuple(min(64, n) for n in shape)
    cube = small, tuple(min(128, -(-n // c) * c) // c * c for n, c in zip(shape, small, strict=True))
    kinds = [("posterior", "float16", flat), ("provisional", "uint32", flat), ("labels", "uint32", cube)]
    return [MemorySink(create(folder / name, shape, dtype, *layout)) for name, dtype, layout in kinds]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(sizes: list[int], side: int, workers: int) -> None:
    for slices in sizes:
        with tempfile.TemporaryDirectory() as name:
            write_stack(Path(name), slices, side)
            command = [sys.executable, __file__, "--measure", name, "--workers", str(workers)]
            rates = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{slices} slices of {side} x {side}, {workers} workers")
        for what, value in rates.items():
            unit = "" if what.endswith(("MB", "seconds", "particles", "depth")) else " MB/s"
            share = f"  ({value / rates['plain read']:.0%} of a plain read)" if what.endswith("pass") else ""
            print(f"  {what:30} {value:9.1f}{unit}{share}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["accuracy", "painted", "speed"])
    parser.add_argument("--slices", nargs="+", type=int, default=[30, 90])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.workers)))
        return
    if "accuracy" in arguments.parts:
        accuracy()
    if "painted" in arguments.parts:
        painted()
    if "speed" in arguments.parts:
        speed(arguments.slices, arguments.side, arguments.workers)


if __name__ == "__main__":
    main()
