"""Nanoparticles: accuracy on phantoms, on unkind independent images and on a painted real stack, compared with simple thresholds;
rates and peak memory.

    python benchmarks/nanoparticles.py [--parts accuracy unkind painted speed] [--phantoms 3] [--slices 30 300] [--side 4096]
    python benchmarks/nanoparticles.py --parts unkind [--cases 'resin*' droplets] [--seeds 1 2 3]
    python benchmarks/nanoparticles.py --parts scaling [--sides 512 1024 2048 4096] [--slices 64]

Accuracy is measured without registration (phantoms without jitter) and with the default parameters. Counts of sparse particles
say little below some hundred particles: `--phantoms 9` takes all phantoms reserved for this test, which needs several minutes
more. The reliability diagram is that of the stored posterior of each voxel, before smoothing. Rates are for a zarr array as the
store writes it, compared with a plain read of the same array in the same process. The peak memory is that of a separate process.

`unkind` runs images of a generator that shares no code with the phantom (`_independent_images.py`): resin, droplets, charging,
two kinds, clumps, thick slices. Each line shows the worst seed of each figure.

`scaling` prints processor seconds per gigavoxel, peak memory and growth by the size of a slice, for 10 nm isotropic voxels: the
voxels of a candidate are then sought in 61 slices. `--slices` takes its first number.
"""

import argparse
import json
from pathlib import Path

import cc3d
import numpy as np
import tifffile
from _nanoparticle_phantoms import accuracy
from _nanoparticle_scaling import measure_parts, scaling
from _nanoparticle_speed import measure, speed
from _painted import global_mixture, otsu, paint, percentile
from _unkind import unkind
from numpy.typing import NDArray

from spherovem_core.nanoparticles import find_particles

REAL = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(found.sum() + truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def painted() -> None:
    if not REAL.is_dir():
        print(f"painted: skipped, no real data at {REAL}")
        return
    stack = np.stack([tifffile.imread(path) for path in sorted(REAL.glob("*.tif*"))])
    spacing = (10.0, 10.0, 10.0)
    print(f"real stack, unpainted: {find_particles(stack, spacing).labels.max()} labels")
    print(f"{'fraction':>9} {'method':16} {'precision':>9} {'recall':>7} {'Dice':>6} {'objects':>11}")
    for fraction in (0.0005, 0.002, 0.02):
        image, truth = paint(stack, spacing, fraction, seed=7)
        masks = {
            "this": find_particles(image, spacing).labels > 0,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["accuracy", "unkind", "painted", "speed"])
    parser.add_argument("--phantoms", type=int, default=3, help="most phantoms per condition")
    parser.add_argument("--cases", nargs="+", default=["*"], help="names or patterns of unkind cases")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="seeds of each unkind case")
    parser.add_argument("--slices", nargs="+", type=int, default=[30, 300])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sides", nargs="+", type=int, default=[512, 1024, 2048, 4096], help="of scaling")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure-parts", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.workers)))
        return
    if arguments.measure_parts:
        print(json.dumps(measure_parts(arguments.measure_parts, arguments.workers)))
        return
    if "accuracy" in arguments.parts:
        accuracy(arguments.workers, arguments.phantoms)
    if "unkind" in arguments.parts:
        unkind(arguments.cases, arguments.seeds, arguments.workers)
    if "painted" in arguments.parts:
        painted()
    if "speed" in arguments.parts:
        speed(Path(__file__), arguments.slices, arguments.side, arguments.workers)
    if "scaling" in arguments.parts:
        scaling(Path(__file__), arguments.sides, arguments.slices[0], arguments.workers)


if __name__ == "__main__":
    main()
