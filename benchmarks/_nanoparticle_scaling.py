"""Processor seconds per gigavoxel and peak memory of the nanoparticles stage by the size of a slice."""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from _nanoparticle_speed import PARAMETERS, write_stack, writer
from _peak_memory import peak_mib

from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import find_particles, particles
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED

SPACING_NM = (10.0, 10.0, 10.0)
PARTS = {
    "collect_statistics": "statistics",
    "find_candidates": "candidates",
    "find_objects": "objects",
    "classify": "classes",
    "_paint": "painting",
}
WITH_VOXELS = ("statistics", "candidates", "objects", "painting")


@contextmanager
def _timed(seconds: dict[str, float]) -> Iterator[None]:
    """Count the processor seconds of each part of the stage."""

    def timer(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds[name] = time.process_time() - start

        return call

    with ExitStack() as stack:
        for function, name in PARTS.items():
            stack.enter_context(
                mock.patch.object(particles, function, timer(name, getattr(particles, function)))
            )
        yield


def measure_parts(folder: Path, workers: int) -> dict[str, float]:
    """Run the stage, and return the processor seconds of its parts. Call it in a separate process."""
    image = open_array(Layout(folder), REGISTERED)
    shape: Any = image.shape
    # The first call compiles.
    find_particles(image[:40, :256, :256], SPACING_NM)
    before, seconds = peak_mib(), dict.fromkeys(PARTS.values(), 0.0)
    layout = Layout(folder / "results")
    posterior = writer(layout, POSTERIOR, "field", "float16", shape, SPACING_NM, by_slice=True)
    candidates = writer(
        Layout(folder / "scratch"), "candidates", "label", "uint8", shape, SPACING_NM, by_slice=True
    )
    labels = writer(layout, NANOPARTICLES, "label", "uint32", shape, SPACING_NM, by_slice=False)
    with ThreadPoolExecutor(workers) as executor, _timed(seconds):
        execution = Execution(device="cpu", executor=executor, workers=workers)
        start = time.perf_counter()
        found = particles.write_particles(
            image, SPACING_NM, PARAMETERS, posterior, candidates, labels, execution
        )
        wall = time.perf_counter() - start
    rest = {"seconds": wall, "peak": peak_mib(), "before": before, "particles": len(found.particles)}
    return seconds | rest


def scaling(script: Path, sides: list[int], slices: int, workers: int) -> None:
    """Measure stacks of so many slices of these sides, each in a separate process.

    What grows with the voxels is stated per gigavoxel. Most of the classification is the same for any volume with particles
    (balls of all sizes are rendered, and at most 60 objects show the blur), and is stated in seconds.
    """
    print(f"{slices} slices of 10 nm isotropic voxels, {workers} workers; processor seconds per gigavoxel")
    print(
        f"{'slices of':>10} {'with voxels':>11} "
        + " ".join(f"{name:>10}" for name in WITH_VOXELS)
        + f" {'classes, s':>10} {'particles':>9} {'peak beyond imports, MB':>24}"
    )
    costs = []
    for side in sides:
        with tempfile.TemporaryDirectory() as name:
            write_stack(Path(name), slices, side, SPACING_NM)
            command = [sys.executable, str(script), "--measure-parts", name, "--workers", str(workers)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        voxels = slices * side * side / 1e9
        costs.append(sum(found[part] for part in WITH_VOXELS) / voxels)
        print(
            f"{side:>9}² {costs[-1]:11.1f} "
            + " ".join(f"{found[part] / voxels:10.1f}" for part in WITH_VOXELS)
            + f" {found['classes']:10.1f} {found['particles']:9.0f} {found['peak'] - found['before']:24.0f}",
            flush=True,
        )
    if len(sides) > 1:
        growth = 1 + math.log(costs[-1] / costs[0]) / math.log((sides[-1] / sides[0]) ** 2)
        print(
            f"highest over lowest: {max(costs) / min(costs):.2f}; growth with the voxels of a slice: exponent {growth:.2f}"
        )
