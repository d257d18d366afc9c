"""Segmentation: seconds for flows, masks and stitching as the volume grows, beside cellpose, and peak memory.

    python benchmarks/segmentation.py [--parts masks flows stitching phantom sam] [--sides 128 256] [--threads N]

Masks run on ideal flows of a lattice of cells (pitch 48 voxels), which are generated where they are read, so that
volumes larger than memory can be measured. Cellpose's masks are computed on the same flows in the same process.
The part sam writes a randomly initialised Cellpose-SAM of 1.2 GB to a temporary folder; leave it out to save time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import SegmentationParameters
from spherovem_core.segmentation import (
    Grid,
    flow_grid,
    load_network,
    masks_from_flows,
    match_labels,
    predict_flows,
    segment_masks,
)

PITCH = 48
SPACING = (50.0, 50.0, 50.0)
PARAMETERS = SegmentationParameters(min_diameter_um=0.5, flow_smoothing=0.0)
# Seeds that neither training nor the choice of a parameter has seen.
PHANTOM_SEEDS = (811, 812, 813)


class LatticeFlows:
    """Ideal flows of cubic cells on a lattice with background between them, computed when a region is read."""

    dtype = np.dtype(np.float16)

    def __init__(self, side: int) -> None:
        self.shape = (4, side, side, side)

    def __getitem__(self, region: Any) -> NDArray[np.float16]:
        axes = [np.arange(*s.indices(n)) for s, n in zip(region[1:], self.shape[1:], strict=True)]
        away = [(PITCH - 1) / 2 - a.astype(np.float32) % PITCH for a in axes]
        dz, dy, dx = np.meshgrid(*away, indexing="ij")
        length = np.maximum(np.sqrt(dz**2 + dy**2 + dx**2), 1) / 5
        logit = PITCH / 2 - 1.5 - np.maximum(np.maximum(abs(dz), abs(dy)), abs(dx))
        return np.stack([dz / length, dy / length, dx / length, logit]).astype(np.float16)[region[0]]

    def whole(self) -> NDArray[np.float16]:
        """All of it in memory."""
        return self[tuple(slice(0, n) for n in self.shape)]


class ZarrSink:
    """A block sink on a zarr array in a temporary folder."""

    def __init__(self, folder: Path, side: int) -> None:
        self.array = zarr.create_array(
            folder, shape=(side,) * 3, dtype="uint32", chunks=(64,) * 3, shards=(128,) * 3
        )

    def pending(self, blocks: list[Block]) -> list[Block]:
        """All blocks: the folder is new."""
        return blocks

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Write the block's core."""
        self.array[block.core] = values


def timed(function: Any, *arguments: Any, **keywords: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return time.perf_counter() - start, result


def bench_masks(sides: list[int], threads: int) -> None:
    import numba
    import torch
    from cellpose import dynamics

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    masks_from_flows(LatticeFlows(32).whole(), PARAMETERS, SPACING)
    print(f"masks, {threads} threads:   side    compiled s   cellpose s   times   agreement F1 at IoU 0.9")
    for side in sides:
        flows = LatticeFlows(side).whole().astype(np.float32)
        ours, labels = timed(masks_from_flows, flows, PARAMETERS, SPACING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, reference = timed(
                dynamics.compute_masks, flows[:3], flows[3], do_3D=True, max_size_fraction=1.0, min_size=15
            )
        agreement = match_labels(reference, labels, iou=0.9, min_voxels=1000).f1
        print(f"{side:25d} {ours:13.2f} {theirs:12.2f} {theirs / ours:7.1f} {agreement:12.3f}")


def bench_flows(sides: list[int], threads: int) -> None:
    print(f"flows of the compact network, {threads} threads:   side   s   s per megavoxel")
    for side in sides:
        image = np.random.default_rng(0).integers(0, 255, (side,) * 3).astype(np.uint8)
        parameters = SegmentationParameters(flow_spacing_nm=50.0)
        grid = flow_grid(image.shape, SPACING, parameters)
        out = np.zeros((4, *grid.shape), np.float16)
        network = load_network("phantom-compact", "cells", "cpu")
        seconds, _ = timed(
            predict_flows,
            image,
            SPACING,
            grid,
            network,
            MemorySink(out),
            parameters,
            Execution(workers=threads),
        )
        print(f"{side:54d} {seconds:6.1f} {seconds / side**3 * 1e6:12.2f}")


def stitch(side: int, threads: int) -> dict[str, float]:
    """Masks of a lattice in blocks of 256, in this process."""
    grid = Grid((side,) * 3, SPACING)
    with tempfile.TemporaryDirectory() as folder:
        seconds, count = timed(
            segment_masks,
            LatticeFlows(side),
            grid,
            grid.shape,
            SPACING,
            ZarrSink(Path(folder, "provisional"), side),
            ZarrSink(Path(folder, "labels"), side),
            PARAMETERS,
            Execution(workers=threads),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "objects": count, "peak_gb": peak}


def bench_stitching(sides: list[int], threads: int) -> None:
    print(
        f"masks in stitched blocks of 256, {threads} threads:   side   s   objects (expected)   peak memory GB"
    )
    for side in sides:
        command = [sys.executable, __file__, "--stitch", str(side), "--threads", str(threads)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(output.splitlines()[-1])
        expected = (-(-side // PITCH)) ** 3
        print(
            f"{side:52d} {found['seconds']:6.1f} {found['objects']:8d} ({expected}) {found['peak_gb']:14.2f}",
            flush=True,
        )


def bench_phantoms(threads: int) -> None:
    from spherovem_core.phantom import make_phantom

    print(f"default phantoms, as acquired but in place, {threads} threads:")
    with ThreadPoolExecutor(threads) as executor:
        for seed in PHANTOM_SEEDS:
            phantom = make_phantom(
                seed=seed,
                executor=executor,
                jitter_shift_px=0,
                drift_shift_px=0,
                jitter_rotation_deg=0,
                jitter_scale=0,
            )
            for kind, least in (("cells", 2.0), ("nuclei", 1.0)):
                bench_phantom(phantom, kind, least, threads)


def bench_phantom(phantom: Any, kind: Any, least_um: float, threads: int) -> None:
    parameters = SegmentationParameters(flow_spacing_nm=120.0, min_diameter_um=least_um)
    execution = Execution(workers=threads)
    network = load_network("phantom-compact", kind, "cpu")
    grid = flow_grid(phantom.image.shape, phantom.spacing_nm, parameters)
    flows = np.zeros((4, *grid.shape), np.float16)
    first, _ = timed(
        predict_flows,
        phantom.image,
        phantom.spacing_nm,
        grid,
        network,
        MemorySink(flows),
        parameters,
        execution,
    )
    labels, scratch = (np.zeros(phantom.image.shape, np.uint32) for _ in range(2))
    second, _ = timed(
        segment_masks,
        flows,
        grid,
        labels.shape,
        phantom.spacing_nm,
        MemorySink(scratch),
        MemorySink(labels),
        parameters,
        execution,
    )
    voxel_um3 = float(np.prod(phantom.spacing_nm)) / 1e9
    match = match_labels(getattr(phantom, kind), labels, min_voxels=int(np.pi / 6 * least_um**3 / voxel_um3))
    print(
        f"  seed {phantom.parameters.seed} {kind:6}  F1 {match.f1:.3f}  precision {match.precision:.3f}  recall "
        f"{match.recall:.3f}  median volume error {match.median_volume_error:.3f}  flows {first:.1f} s  "
        f"masks {second:.1f} s",
        flush=True,
    )


def bench_sam(threads: int) -> None:
    import torch
    from cellpose.vit import CPSAM

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    original = CPSAM().eval()
    tile = torch.rand((1, 3, 256, 256))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder, "random.pt")
        original.save_model(path)
        network = load_network(str(path), "cells", "cpu")
        original(tile), network(tile.to(network.dtype))
        before, expected = timed(lambda: original(tile)[0])
        after, found = timed(lambda: network(tile.to(network.dtype))[0].float())
    error = float((found - expected).square().mean().sqrt() / expected.std())
    print(
        f"Cellpose-SAM, one tile, {threads} threads: cellpose float32 {before:.2f} s, here {network.dtype} "
        f"{after:.2f} s, difference {100 * error:.1f} % of the output's spread"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("masks", "flows", "stitching", "phantom", "sam")
    parser.add_argument(
        "--parts", nargs="+", choices=parts, default=["masks", "flows", "stitching", "phantom"]
    )
    parser.add_argument("--sides", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stitch", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stitch:
        print(json.dumps(stitch(options.stitch, options.threads)))
        return
    if "masks" in options.parts:
        bench_masks(options.sides, options.threads)
    if "flows" in options.parts:
        bench_flows(options.sides, options.threads)
    if "stitching" in options.parts:
        bench_stitching([2 * side for side in options.sides], options.threads)
    if "phantom" in options.parts:
        bench_phantoms(options.threads)
    if "sam" in options.parts:
        bench_sam(options.threads)


if __name__ == "__main__":
    main()
