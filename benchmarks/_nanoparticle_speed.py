"""Rates and peak memory of the nanoparticles stage on arrays as the store writes them."""

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from _peak_memory import peak_mib

from spherovem_core.blocks import slab_grid
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import find_particles, write_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Content,
    Layout,
    cube_shards,
    open_array,
    slice_shards,
)
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED, array_path

PARAMETERS = NanoparticleParameters()
SPACING_NM = (50.0, 10.0, 10.0)
_DIFFERENT_SLICES = 30
# A plain read takes the same time for every slice: the first 60 are enough.
_TIMED_SLICES = 60


def write_stack(folder: Path, slices: int, side: int, spacing_nm: SpacingNm = SPACING_NM) -> None:
    """Write noisy tissue with balls. Thirty slices are written; the others are hard links to their files, in turn."""
    # Balls are a little longer along z than they are wide, where slices are thick.
    along = 0.8 * spacing_nm[0] / spacing_nm[1] if spacing_nm[0] > spacing_nm[1] else 1.0
    random = np.random.default_rng(0)
    noise = random.normal(128, 14, (side + 64, side)).astype(np.float32)
    places = random.uniform(0, 1, (max(1, 30 * side * side // 4_000_000), 3)) * (
        _DIFFERENT_SLICES,
        side,
        side,
    )
    sink = writer(
        Layout(folder), REGISTERED, "image", "uint8", (slices, side, side), spacing_nm, by_slice=True
    )
    y, x = np.ogrid[:25, :25]
    blocks = slab_grid((slices, side, side), 1)
    for z in range(min(slices, _DIFFERENT_SLICES)):
        plane = noise[z % 64 : z % 64 + side].copy()
        for cz, cy, cx in places:
            radius = 12**2 - (along * (z - cz)) ** 2
            if radius > 0 and 12 < cy < side - 13 and 12 < cx < side - 13:
                j, i = int(cy) - 12, int(cx) - 12
                plane[j : j + 25, i : i + 25] += np.where((y - 12) ** 2 + (x - 12) ** 2 <= radius, 90, 0)
        sink.write(blocks[z], np.clip(plane, 0, 255).astype(np.uint8)[None])
    files = Layout(folder).path(array_path(REGISTERED)) / "c"
    for z in range(_DIFFERENT_SLICES, slices):
        (files / str(z) / "0").mkdir(parents=True)
        (files / str(z) / "0" / "0").hardlink_to(files / str(z % _DIFFERENT_SLICES) / "0" / "0")
    sink.commit()


def writer(
    layout: Layout,
    group: str,
    content: Content,
    dtype: str,
    shape: tuple[int, ...],
    spacing_nm: SpacingNm = SPACING_NM,
    *,
    by_slice: bool,
) -> ArrayWriter:
    """Start an array as the step does."""
    shards = slice_shards(shape) if by_slice else cube_shards(shape)
    return ArrayWriter(
        layout, ArraySpec(group, content, shape, np.dtype(dtype), *shards, spacing_nm), "benchmark"
    )


def measure(folder: Path, workers: int) -> dict[str, float]:
    """Time a plain read and the whole stage, one after the other. Call it in a separate process."""
    image = open_array(Layout(folder), REGISTERED)
    shape: Any = image.shape
    plain: Any = zarr.open_array(Layout(folder).path(array_path(REGISTERED)), mode="r")
    megabytes = float(np.prod(shape[1:])) / 1e6
    timed_slices = min(shape[0], _TIMED_SLICES)
    start = time.perf_counter()
    for z in range(timed_slices):
        plain[z]
    rates = {"plain read": timed_slices * megabytes / (time.perf_counter() - start)}
    # The first call compiles.
    find_particles(image[: min(shape[0], 4), :256, :256], SPACING_NM)
    layout = Layout(folder / "results")
    posterior = writer(layout, POSTERIOR, "field", "float16", shape, by_slice=True)
    candidates = writer(Layout(folder / "scratch"), "candidates", "label", "uint8", shape, by_slice=True)
    labels = writer(layout, NANOPARTICLES, "label", "uint32", shape, by_slice=False)
    with ThreadPoolExecutor(workers) as executor:
        execution = Execution(device="cpu", executor=executor, workers=workers)
        start = time.perf_counter()
        write_particles(image, SPACING_NM, PARAMETERS, posterior, candidates, labels, execution)
        rates["whole stage, written"] = shape[0] * megabytes / (time.perf_counter() - start)
    labels.commit()
    found = open_array(layout, NANOPARTICLES)
    rates["particles"] = max(int(found[z].max()) for z in range(0, shape[0], 4))
    return rates | {"peak, MB": peak_mib()}


def speed(script: Path, sizes: list[int], side: int, workers: int) -> None:
    """Measure stacks of these numbers of slices, each in a separate process."""
    for slices in sizes:
        with tempfile.TemporaryDirectory() as name:
            write_stack(Path(name), slices, side)
            command = [sys.executable, str(script), "--measure", name, "--workers", str(workers)]
            rates = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{slices} slices of {side} x {side}, {workers} workers")
        for what, value in rates.items():
            unit = "" if what.endswith(("MB", "seconds", "particles", "depth")) else " MB/s"
            relative = (
                f"  ({value / rates['plain read']:.0%} of a plain read)" if what.endswith("written") else ""
            )
            print(f"  {what:30} {value:9.1f}{unit}{relative}", flush=True)
