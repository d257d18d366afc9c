"""Distance to the nucleus: seconds and peak memory, compared with the plain method on the same tissue.

    python benchmarks/spatial.py [--sizes 256 512] [--threads N] [--plain-cells N]

The tissue is a volume packed with cells (Voronoi regions of jittered seeds, two voxels apart), each with a round nucleus; 512³
voxels hold 400 cells. The plain method compares the whole volume with the label of every cell, finds the box of the result, and
takes scipy's distance transform in it. It is timed on some evenly chosen cells and extrapolated to all. "Comparison alone" times
only `cells == label`.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numba
import numpy as np
import pandas as pd
from _peak_memory import peak_mib
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import MemorySink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spacing import SpacingNm, spacing_um
from spherovem_core.spatial import (
    distance_to_nucleus,
    measure_particles,
    radial_distribution,
    ripley,
    write_distance_map,
)

SPACING: SpacingNm = (50.0, 10.0, 10.0)
CELLS_IN_512 = 400
Labels = NDArray[np.uint32]


@numba.njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def _paint(size: int, seeds: Any, names: Any, side: float, gap: float, cells: Any, nuclei: Any) -> None:
    """Paint the name of the nearest seed at each voxel; `seeds` has one seed per cube of a grid of cubes of `side`."""
    count = len(seeds)
    for z in numba.prange(size):
        for y in range(size):
            for x in range(size):
                nearest, second, name = 1e30, 1e30, 0
                for a in range(max(0, int(z / side) - 1), min(count, int(z / side) + 2)):
                    for b in range(max(0, int(y / side) - 1), min(count, int(y / side) + 2)):
                        for c in range(max(0, int(x / side) - 1), min(count, int(x / side) + 2)):
                            at = seeds[a, b, c]
                            squared = (at[0] - z) ** 2 + (at[1] - y) ** 2 + (at[2] - x) ** 2
                            if squared < nearest:
                                nearest, second, name = squared, nearest, names[a, b, c]
                            elif squared < second:
                                second = squared
                if np.sqrt(second) - np.sqrt(nearest) > gap:
                    cells[z, y, x] = name
                if nearest < (0.28 * side) ** 2:
                    nuclei[z, y, x] = name


def packed_tissue(size: int, seed: int = 0) -> tuple[Labels, Labels]:
    """Make cells and nuclei in a cube of `size` voxels per side, with a density of 400 cells in 512³ voxels."""
    wanted = round(CELLS_IN_512 * (size / 512) ** 3)
    count = int(np.ceil(wanted ** (1 / 3) - 1e-9))
    side = size / count
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), axis=-1)
    seeds = (corners + rng.uniform(0.15, 0.85, corners.shape)) * side
    names = np.zeros(count**3, np.uint32)
    names[rng.permutation(count**3)[:wanted]] = np.arange(1, wanted + 1)
    cells, nuclei = np.zeros((size,) * 3, np.uint32), np.zeros((size,) * 3, np.uint32)
    _paint(size, seeds, names.reshape((count,) * 3), side, 2.0, cells, nuclei)
    return cells, nuclei


def plain_distance(nuclei: Labels, cells: Labels, label: int, out: NDArray[np.float32]) -> None:
    """Measure the distance in one cell by the plain method."""
    mask = cells == label
    own = mask & (nuclei > 0)
    if not own.any():
        return
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    distance = ndimage.distance_transform_edt(~own[box], sampling=spacing_um(SPACING))
    out[box][mask[box]] = distance[mask[box]]


class Cost(NamedTuple):
    """Wall-clock seconds, and processor seconds of all threads. On a busy machine only the second is comparable."""

    wall: float
    cpu: float

    def __mul__(self, factor: float) -> "Cost":
        return Cost(self.wall * factor, self.cpu * factor)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s cpu)"


def cost(action: Callable[[], Any], repeats: int = 1) -> Cost:
    found = []
    for _ in range(repeats):
        started, started_cpu = time.perf_counter(), time.process_time()
        action()
        found.append(Cost(time.perf_counter() - started, time.process_time() - started_cpu))
    return min(found)


def compare_distances(cells: Labels, nuclei: Labels, threads: int, plain_cells: int) -> None:
    """Time both methods on one tissue and check that they agree."""
    count = int(cells.max())
    before = peak_mib() / 1024
    found = distance_to_nucleus(nuclei, cells, SPACING, workers=threads)
    added = peak_mib() / 1024 - before
    ours = cost(lambda: distance_to_nucleus(nuclei, cells, SPACING, workers=threads), 3)
    chosen = np.unique(np.linspace(1, count, plain_cells).astype(int))
    expected = np.full(cells.shape, np.nan, np.float32)
    plain = cost(lambda: [plain_distance(nuclei, cells, label, expected) for label in chosen])
    compared = cost(lambda: [int((cells == label)[0, 0, 0]) for label in chosen])
    known = np.isfinite(expected)
    error = float(np.abs(found[known] - expected[known]).max())
    plain, compared = (value * (count / len(chosen)) for value in (plain, compared))
    print(
        f"{len(cells)}³, {count} cells: ours {ours}, {added:.2f} GiB above the labels; plain method {plain}; "
        f"comparison alone {compared}; largest difference {error:.1e} µm\n"
        f"  plain / ours: {plain.wall / ours.wall:.0f} on the clock, {threads * plain.cpu / ours.cpu:.0f} were {threads} cores "
        f"free for ours; comparison alone / ours: {threads * compared.cpu / ours.cpu:.0f}",
        flush=True,
    )


def time_map_and_tables(cells: Labels, nuclei: Labels, threads: int) -> None:
    """Time the map in blocks and the measurements that use it."""
    size = len(cells)
    sink = MemorySink(np.empty(cells.shape, np.float32))
    blocks = block_grid(cells.shape, (128,) * 3)
    rng = np.random.default_rng(1)
    particles = np.zeros(cells.shape, np.uint32)
    corners = rng.integers(0, size - 6, (size**3 // 20000, 3))
    for label, (z, y, x) in enumerate(corners, 1):
        particles[z : z + 5, y : y + 5, x : x + 5] = label
    table = pd.DataFrame({"label": np.unique(particles)[1:], "volume_um3": 1.0})
    parameters = SpatialParameters()
    with ThreadPoolExecutor(threads) as pool:
        execution = Execution(executor=pool, workers=threads)
        written = cost(lambda: write_distance_map(nuclei, cells, SPACING, sink, blocks, execution))
        maps = (cells, nuclei, sink.array)
        placed = cost(lambda: measure_particles(particles, table, *maps, parameters, execution))
        radial = cost(
            lambda: radial_distribution(particles, cells, sink.array, SPACING, parameters, execution)
        )
    points = corners * np.array(spacing_um(SPACING))
    high = np.array(cells.shape) * np.array(spacing_um(SPACING))
    clustering = cost(lambda: ripley(points, np.zeros(3), high, np.linspace(0, high.min() / 4, 41)[1:]))
    print(
        f"{size}³: map in blocks {written}; {len(table)} particles placed {placed}; radial distribution "
        f"{radial}; Ripley's K of {len(points)} points at 40 radii {clustering}; "
        f"peak memory {peak_mib() / 1024:.2f} GiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="voxels per side")
    parser.add_argument("--threads", type=int, default=2, help="threads of ours; the plain method takes one")
    parser.add_argument(
        "--plain-cells", type=int, default=12, help="cells on which the plain method is timed"
    )
    options = parser.parse_args()
    small = packed_tissue(64)
    compiling = cost(lambda: distance_to_nucleus(small[1], small[0], SPACING))
    print(f"first call, with compiling or loading from numba's cache: {compiling}")
    for size in options.sizes:
        cells, nuclei = packed_tissue(size)
        compare_distances(cells, nuclei, options.threads, options.plain_cells)
        time_map_and_tables(cells, nuclei, options.threads)


if __name__ == "__main__":
    main()
