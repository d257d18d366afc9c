"""Evaluation: seconds and peak memory on label arrays on disk at two sizes, compared with cellpose and scikit-image.

    python benchmarks/evaluation.py [--sides 256 512] [--threads N]

The truth is a lattice of boxes of 48 x 40 x 40 voxels with background between them. In the prediction every box is shifted
by 3 voxels along x, every eighth is cut in two and every eighth pair is merged. Both are written to zarr block by
block. Each row is a process of its own; its memory is that above the imports. The baseline reads
the same arrays whole and computes only average precision (cellpose) and variation of information (scikit-image).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation.evaluation import evaluate_labels
from spherovem_core.store import StepRecorder

PITCH = (48, 40, 40)
SPACING = (50.0, 10.0, 10.0)
SHIFT = 3
SHARD = 128


def boxes(region: tuple[slice, ...], shift: int = 0) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number the boxes of the lattice in a region, and tell whether each voxel is in the far half along z."""
    z, y, x = np.meshgrid(*(np.arange(s.start, s.stop) for s in region), indexing="ij", sparse=True)
    x = np.maximum(x - shift, 0)
    index = [axis // pitch for axis, pitch in zip((z, y, x), PITCH, strict=True)]
    inside = (z % PITCH[0] >= 2) & (y % PITCH[1] >= 2) & (x % PITCH[2] >= 2)
    numbers = 1 + (index[0] * 1000 + index[1]) * 1000 + index[2]
    return np.where(inside, numbers, 0), np.broadcast_to(z % PITCH[0] >= 25, inside.shape)


def truth(region: tuple[slice, ...]) -> NDArray[np.uint32]:
    return boxes(region)[0].astype(np.uint32)


def prediction(region: tuple[slice, ...]) -> NDArray[np.uint32]:
    labels, far = boxes(region, SHIFT)
    split = (labels % 8 == 0) & far & (labels > 0)
    merged = labels % 16 == 5
    return np.where(split, labels + 500_000_000, np.where(merged, labels - 1, labels)).astype(np.uint32)


def write(folder: Path, side: int) -> None:
    for name, make in (("truth", truth), ("prediction", prediction)):
        array = zarr.create_array(
            folder / name, shape=(side,) * 3, dtype="uint32", chunks=(64,) * 3, shards=(SHARD,) * 3
        )
        for block in block_grid(array.shape, (SHARD,) * 3):
            array[block.core] = make(block.core)


def timed(function: Any, *arguments: Any) -> tuple[Any, float, float]:
    """Return the result, seconds, and the peak of resident memory above that at the start in MB."""
    before = psutil.Process().memory_info().rss
    with StepRecorder(interval_s=0.01) as recorder:
        result = function(*arguments)
    return result, recorder.seconds, (recorder.peak_memory_bytes - before) / 1e6


def ours(folder: Path, threads: int) -> dict[str, float]:
    """Measure the whole evaluation, first without boundaries and then with them."""
    arrays = [zarr.open_array(folder / name, mode="r") for name in ("truth", "prediction")]
    with ThreadPoolExecutor(threads) as executor:
        run = Execution(executor=executor)
        plain = EvaluationParameters(boundary_error=False)
        _, seconds_overlaps, mb_overlaps = timed(evaluate_labels, *arrays, SPACING, plain, run)
        evaluation, seconds, mb = timed(evaluate_labels, *arrays, SPACING, EvaluationParameters(), run)
    figures = evaluation.figures
    names = (
        "true_count",
        "f1",
        "true_split_count",
        "true_merged_count",
        "boundary_mean_nm",
        "average_precision",
    )
    return {name: figures[name] for name in names} | {
        "seconds_overlaps": seconds_overlaps,
        "mb_overlaps": mb_overlaps,
        "seconds": seconds,
        "mb": mb,
        "voi": figures["voi_split_bits"] + figures["voi_merge_bits"],
    }


def theirs(folder: Path, threads: int) -> dict[str, float]:
    """Measure cellpose and scikit-image on arrays in memory, with the renumbered labels that both need."""
    import fastremap
    from cellpose.metrics import average_precision
    from skimage.metrics import variation_of_information as reference

    def compare() -> tuple[float, float]:
        loaded = [
            fastremap.renumber(np.asarray(zarr.open_array(folder / name, mode="r")[:]), in_place=True)[0]
            for name in ("truth", "prediction")
        ]
        return float(average_precision(*loaded, threshold=[0.5])[0][0]), float(reference(*loaded).sum())

    (precision, voi), seconds, mb = timed(compare)
    return {"seconds": seconds, "mb": mb, "average_precision": precision, "voi": voi}


def measured(part: str, folder: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--threads", str(threads)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part = ours if options.part == "ours" else theirs
        print(json.dumps(part(options.folder, options.threads)))
        return
    for side in options.sides:
        with tempfile.TemporaryDirectory() as temporary:
            write(Path(temporary), side)
            own = measured("ours", Path(temporary), options.threads)
            other = measured("theirs", Path(temporary), options.threads)
        print(
            f"{side}³, {2 * 4 * side**3 / 1e6:.0f} MB of labels, {own['true_count']} objects, {options.threads} threads: "
            f"F1 {own['f1']:.3f}, split {own['true_split_count']}, merged {own['true_merged_count']}, "
            f"boundary {own['boundary_mean_nm']:.2f} nm"
        )
        print(f"  scores without boundaries  {own['seconds_overlaps']:7.2f} s  {own['mb_overlaps']:7.0f} MB")
        print(f"  all, with boundaries       {own['seconds']:7.2f} s  {own['mb']:7.0f} MB")
        print(f"  cellpose and scikit-image  {other['seconds']:7.2f} s  {other['mb']:7.0f} MB")
        print(
            f"  average precision {own['average_precision']:.6f} and {other['average_precision']:.6f}, "
            f"variation of information {own['voi']:.6f} and {other['voi']:.6f} bits",
            flush=True,
        )


if __name__ == "__main__":
    main()
