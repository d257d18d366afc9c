"""Benchmark of the shape stage: seconds, errors and peak memory, beside the plain method on the same labels.

    python benchmarks/shape.py [--workers 2] [--sizes 256 512] [--plain-labels 300]

Labels are ellipsoids with semi-axes of 24 to 34 voxels in random orientations, one per cell of a jittered lattice: 38 in 256³,
300 in 512³. The plain method (`benchmarks/_plain_shape.py`) runs in one thread over `--plain-labels` of them, and its
seconds are scaled to all labels where that is fewer. A first call in this process measures the compilation.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _peak_memory import peak_mib
from _plain_shape import measure_plainly
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import elliprg

from spherovem_core.shape import measure_labels

SPACING = (10.0, 10.0, 10.0)
PITCH = 73


def make_labels(size: int, seed: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Make ellipsoids in a cube of `size` voxels; return labels and the semi-axes of each in voxels."""
    rng = np.random.default_rng(seed)
    side = size // PITCH
    count = round(300 * (size / 512) ** 3) if side**3 >= 300 * (size / 512) ** 3 else side**3
    labels = np.zeros((size,) * 3, np.uint32)
    semi_axes = rng.uniform(24, 34, (count, 3))
    for label, place in enumerate(rng.permutation(side**3)[:count], 1):
        centre = (np.array(np.unravel_index(place, (side,) * 3)) + 0.5) * PITCH + rng.uniform(-1, 1, 3)
        low = np.floor(centre - 35).astype(int)
        offset = [np.arange(lo, lo + 71) - c for lo, c in zip(low, centre, strict=True)]
        points = np.stack(np.meshgrid(*offset, indexing="ij"), axis=-1).astype(np.float32)
        points = points @ Rotation.random(random_state=label).as_matrix().astype(np.float32)
        inside = ((points / semi_axes[label - 1]) ** 2).sum(axis=-1) <= 1
        labels[tuple(slice(lo, lo + 71) for lo in low)][inside] = label
    return labels, semi_axes


def worst_errors(volume, area, dimension, semi_axes) -> str:
    """Describe the largest relative errors in percent, and the largest error of the dimension."""
    true_volume = 4 / 3 * np.pi * semi_axes.prod(axis=1)
    # The symmetric elliptic integral of the second kind gives the area of an ellipsoid in closed form.
    a, b, c = semi_axes.T
    true_area = 4 * np.pi * a * b * c * elliprg(1 / a**2, 1 / b**2, 1 / c**2)
    return (
        f"largest errors: volume {np.abs(volume / true_volume - 1).max():.2%}, "
        f"area {np.abs(area / true_area - 1).max():.2%}, dimension {np.abs(dimension - 2).max():.3f}"
    )


def clock(function, *arguments, **options):
    """Call a function; return its result, the wall time and the processor time of all threads in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*arguments, **options)
    return result, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--plain-labels", type=int, default=300)
    settings = parser.parse_args()
    small = np.zeros((40, 40, 40), np.uint32)
    small[10:30, 10:30, 10:30] = 1
    _, wall, _ = clock(measure_labels, small, SPACING)
    print(f"first call: {wall:.1f} s (compiling, or loading from the cache)")
    for size in settings.sizes:
        run(size, settings.workers, settings.plain_labels)


def run(size: int, workers: int, plain_labels: int) -> None:
    """Measure one size, this project before the baseline, so that its peak memory is its own."""
    labels, semi_axes = make_labels(size)
    before = peak_mib() / 1024
    with ThreadPoolExecutor(workers) as executor:
        table, wall, processor = clock(measure_labels, labels, SPACING, executor=executor)
    voxels = np.prod([table[f"bbox_{axis}1"] - table[f"bbox_{axis}0"] for axis in "zyx"], axis=0)
    print(
        f"{size}³, {len(table)} labels, {voxels.sum() / 1e6:.0f} million voxels in boxes, {workers} threads: "
        f"{wall:.2f} s wall, {processor:.2f} s processor, {processor / voxels.sum() * 1e9:.0f} ns per voxel"
    )
    print(
        f"  peak memory {peak_mib() / 1024:.2f} GiB, {before:.2f} before, labels {labels.nbytes / (1 << 30):.2f}"
    )
    scale = np.array(SPACING[0]) / 1000
    found = table.volume_um3 / scale**3, table.surface_area_um2 / scale**2, table.fractal_dimension
    print("  " + worst_errors(*(np.array(column) for column in found), semi_axes))
    some = np.where(labels <= plain_labels, labels, 0)
    rows, plain_wall, plain_processor = clock(measure_plainly, some, SPACING)
    scaling = len(table) / len(rows)
    print(
        f"  plain method, {len(rows)} labels in one thread: {plain_wall:.1f} s wall, {plain_processor:.1f} s processor; "
        f"all: {plain_wall * scaling:.0f} s, {plain_wall * scaling / wall:.1f} times as long, "
        f"{plain_processor * scaling / processor:.1f} times the processor time"
    )
    plain = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    plain_found = plain["volume"] / 1000, plain["area"] / 100, plain["dimension"]
    print("  plain " + worst_errors(*plain_found, semi_axes[: len(rows)]))


if __name__ == "__main__":
    main()
