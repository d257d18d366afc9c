"""Segmentation: seconds per megavoxel of flows, masks, stitching and merging at several sizes, and peak memory.

    python benchmarks/segmentation.py [--parts flows sam masks stitching merging memory overlap contrast]
                                      [--sides 128 256 384] [--threads N]

Masks are made of ideal flows of a lattice of cells (pitch 48 voxels), which are computed when they are read, so that
volumes can be larger than memory. Cellpose makes its masks of the same flows in the same process. Some parts take
minutes and run only on request: cellpose beyond 128³ (--cellpose-side), memory (a volume of 768³), overlap and
contrast (by which two defaults were chosen). The compact network is measured up to 256³ unless --sides says otherwise.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _lattice import SPACING, LatticeFlows, LatticeImage, ZarrSink, cells_of
from _peak_memory import peak_mib

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import (
    Grid,
    MaskInputs,
    flow_grid,
    load_network,
    masks_from_flows,
    match_labels,
    predict_flows,
    segment_masks,
)

PARAMETERS = ObjectParameters(min_diameter_um=0.5, flow_smoothing=0.0, merge_boundary_strength=0.0)
MERGING = {"merge_boundary_strength": 0.2, "merge_contact_fraction": 0.1}
MEMORY_SIDE = 768
DEFAULT_PARTS = ("flows", "sam", "masks", "stitching", "merging")


def timed(function: Any, *arguments: Any, **keywords: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return time.perf_counter() - start, result


def row(*cells: Any) -> None:
    print(
        "  ".join(f"{cell:>12}" if isinstance(cell, str) else f"{cell:12.3g}" for cell in cells), flush=True
    )


def bench_flows(sides: list[int], threads: int) -> None:
    print(f"flows of phantom-compact, {threads} threads, blocks of 256")
    row("side", "s", "s/megavoxel")
    network = load_network("phantom-compact", "cells", "cpu")
    # The first one is not shown, since it imports cellpose.
    for side in (32, *sides):
        image = np.random.default_rng(0).integers(0, 255, (side,) * 3).astype(np.uint8)
        parameters = ObjectParameters(flow_spacing_nm=50.0)
        grid = flow_grid(image.shape, SPACING, parameters)
        sink = MemorySink(np.zeros((4, *grid.shape), np.float16))
        seconds, _ = timed(
            predict_flows, image, SPACING, grid, network, sink, parameters, Execution(workers=threads)
        )
        if side > 32:
            row(side, seconds, seconds / side**3 * 1e6)


def bench_sam(threads: int) -> None:
    """Measure one tile of 256 x 256; a megavoxel takes 3e6 / 256² tiles without overlap."""
    import torch
    from cellpose.vit import CPSAM

    from spherovem_core.segmentation.attention import use_fast_attention

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = CPSAM().eval()
    # A network that was once bfloat16 has lost digits of its weights.
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    tile = torch.rand((1, 3, 256, 256))
    print(f"Cellpose-SAM with random weights, one tile, {threads} threads")
    row("attention", "type", "s/tile", "s/megavoxel", "error")
    expected = None
    with torch.no_grad():
        for attention in ("SAM", "fused"):
            if attention == "fused":
                use_fast_attention(network)
            for dtype in (torch.float32, torch.bfloat16):
                network.dtype = torch.float32
                network.load_state_dict(weights)
                network.dtype = dtype
                network(tile.to(dtype))
                seconds, found = timed(lambda dtype=dtype: network(tile.to(dtype))[0].float())
                expected = found if expected is None else expected
                error = float((found - expected).square().mean().sqrt() / expected.std())
                row(attention, str(dtype)[6:], seconds, seconds * 3e6 / 256**2, error)


def bench_masks(sides: list[int], threads: int, cellpose_side: int) -> None:
    import numba
    import torch
    from cellpose import dynamics

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    masks_from_flows(LatticeFlows(64).whole(), PARAMETERS, SPACING, workers=threads)
    print(f"masks in one block, {threads} threads, compared with cellpose; agreement is F1 at IoU 0.9")
    row("side", "s", "s/megavoxel", "cellpose s", "ratio", "agreement")
    for side in sides:
        flows = LatticeFlows(side).whole().astype(np.float32)
        ours, labels = timed(masks_from_flows, flows, PARAMETERS, SPACING, workers=threads)
        if side > cellpose_side:
            row(side, ours, ours / side**3 * 1e6, "", "", "")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, reference = timed(
                dynamics.compute_masks, flows[:3], flows[3], do_3D=True, max_size_fraction=1.0, min_size=15
            )
        agreement = match_labels(reference, labels, iou=0.9, min_voxels=1000).f1
        row(side, ours, ours / side**3 * 1e6, theirs, theirs / ours, agreement)


def stitch(side: int, block: int, threads: int, split: bool, merge: bool) -> dict[str, float]:
    """Make the masks of a lattice in blocks, in this process."""
    grid = Grid((side,) * 3, SPACING)
    parameters = PARAMETERS.model_copy(update=MERGING if merge else {})
    execution = Execution(workers=threads, block_voxels=block, block_halo_voxels=block // 4)
    masks_from_flows(
        LatticeFlows(64).whole(), parameters, SPACING, LatticeImage(64)[(slice(0, 64),) * 3], threads
    )
    with tempfile.TemporaryDirectory() as folder:
        seconds, count = timed(
            segment_masks,
            MaskInputs(LatticeFlows(side, split), grid, grid, LatticeImage(side)),
            ZarrSink(Path(folder, "provisional"), side),
            ZarrSink(Path(folder, "labels"), side),
            parameters,
            execution,
        )
    peak = peak_mib() * 1024**2 / 1e9
    return {"seconds": seconds, "objects": count, "peak_gb": peak}


def stitch_apart(side: int, block: int, threads: int, **options: bool) -> dict[str, float]:
    """Run `stitch` in a process of its own, whose memory is only that of the stitching."""
    command = [sys.executable, __file__, "--stitch", json.dumps([side, block, threads, options])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def bench_stitching(sides: list[int], threads: int, block: int = 128, merge: bool = False) -> None:
    print(
        f"masks in stitched blocks of {block} with halo {block // 4}, {threads} threads, to disk"
        f"{', with merging of neighbours' if merge else ''}"
    )
    row("side", "s", "s/megavoxel", "objects", "expected", "peak GB")
    for side in sides:
        found = stitch_apart(side, block, threads, split=False, merge=merge)
        per_megavoxel = found["seconds"] / side**3 * 1e6
        row(side, found["seconds"], per_megavoxel, found["objects"], cells_of(side), found["peak_gb"])


def bench_merging(sides: list[int], threads: int, block: int = 128) -> None:
    print(f"the same with cells cut in two and merged; ratio to the run without merging, {threads} threads")
    row("side", "s", "s/megavoxel", "ratio", "objects", "unmerged", "expected")
    for side in sides:
        plain, merged = (stitch_apart(side, block, threads, split=True, merge=on) for on in (False, True))
        seconds = merged["seconds"]
        row(
            side,
            seconds,
            seconds / side**3 * 1e6,
            seconds / plain["seconds"],
            merged["objects"],
            plain["objects"],
            cells_of(side),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = (*DEFAULT_PARTS, "memory", "overlap", "contrast")
    parser.add_argument("--parts", nargs="+", choices=parts, default=DEFAULT_PARTS)
    parser.add_argument("--sides", nargs="+", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cellpose-side", type=int, default=128, help="largest side at which cellpose makes masks too"
    )
    parser.add_argument("--stitch", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stitch:
        side, block, threads, switches = options.stitch
        print(json.dumps(stitch(side, block, threads, **switches)))
        return
    sides = options.sides or [128, 256, 384]
    if "flows" in options.parts:
        bench_flows(options.sides or [64, 128, 256], options.threads)
    if "sam" in options.parts:
        bench_sam(options.threads)
    if "masks" in options.parts:
        bench_masks(sides, options.threads, options.cellpose_side)
    if "stitching" in options.parts:
        bench_stitching(sides, options.threads)
    if "merging" in options.parts:
        bench_merging(sides, options.threads)
    if "memory" in options.parts:
        bench_stitching([MEMORY_SIDE], options.threads, block=256, merge=True)
    if "overlap" in options.parts:
        from _tile_defaults import bench_overlap

        bench_overlap(options.threads)
    if "contrast" in options.parts:
        from _tile_defaults import bench_contrast

        bench_contrast()


if __name__ == "__main__":
    main()
