"""Nanoparticles: accuracy on phantoms and on a painted real stack beside simple thresholds; rates and peak memory.

    python benchmarks/nanoparticles.py [--parts accuracy painted speed] [--phantoms 3] [--slices 30 300] [--side 4096]

Accuracy is measured without registration (phantoms without jitter), with one setting, the default, throughout. Counts of
sparse particles tell little before there are some hundred of them: `--phantoms 9` takes every phantom that is set aside, in
several minutes more. The reliability diagram is that of each voxel's own posterior, as it is stored, before any smoothing.
Rates are of a zarr array as the store writes it, beside a plain read of the same array in the same process; the peak memory
is of a process of its own.
"""

import argparse
import json
from pathlib import Path

import cc3d
import numpy as np
import tifffile
from _nanoparticle_phantoms import accuracy, segment
from _nanoparticle_speed import measure, speed
from _painted import global_mixture, otsu, paint, percentile
from numpy.typing import NDArray

REAL = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(found.sum() + truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["accuracy", "painted", "speed"])
    parser.add_argument("--phantoms", type=int, default=3, help="at most, of each kind")
    parser.add_argument("--slices", nargs="+", type=int, default=[30, 300])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.workers)))
        return
    if "accuracy" in arguments.parts:
        accuracy(arguments.workers, arguments.phantoms)
    if "painted" in arguments.parts:
        painted()
    if "speed" in arguments.parts:
        speed(Path(__file__), arguments.slices, arguments.side, arguments.workers)


if __name__ == "__main__":
    main()
