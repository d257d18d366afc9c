"""Flows by whole planes: tiles of the network against plain Cellpose on the whole volume, seconds, and peak memory.

    python benchmarks/flow_planes.py [--parts tiles seconds memory] [--side N] [--threads N] [--turns N]

Tiles are counted without running a network, beside those of blocks of 256 with a halo of 64, in which flows were computed
before version 0.2. Seconds are those of phantom-compact on a volume of noise, by turns with Cellpose on the whole volume in
memory and with those blocks, in one process. Memory is the peak of a process of its own, with a network that does nothing, on
arrays that are made where they are read, for two numbers of slices and two lengths of rows.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _peak_memory import peak_mib

from spherovem_core.blocks import Block, MemorySink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import Grid, load_network, predict_flows
from spherovem_core.segmentation.flows import slab_bytes, tile_size
from spherovem_core.segmentation.tile_counts import TILE, count_tiles

OVERLAP = 0.1
BLOCK, HALO = 256, 64
SPACING = (100.0, 100.0, 100.0)
SIZES = ((512, 512, 512), (1000, 700, 700), (2000, 2333, 2333), (461, 461, 461), (1537, 1537, 1537))
"""The last two are a cube of 98 GB in voxels of 10 nm, averaged to 100 and to 30 nm."""
PARAMETERS = ObjectParameters(flow_spacing_nm=SPACING[0], min_tile_contrast=0.0, tile_overlap=OVERLAP)


def tiles_in_blocks(shape: tuple[int, int, int]) -> int:
    """Count the tiles of blocks with halos, each with planes of its own."""
    blocks = block_grid(shape, (BLOCK,) * 3, HALO)
    return sum(count_tiles([s.stop - s.start for s in block.outer], TILE, OVERLAP) for block in blocks)


def bench_tiles() -> None:
    print("tiles of 256 x 256 of the network, and their number against plain Cellpose on the whole volume")
    print(f"{'voxels':>20} {'Cellpose':>10} {'planes':>10} {'ratio':>6} {'blocks':>10} {'ratio':>6}")
    for shape in SIZES:
        # As cellpose.core.run_net counts them, for each of the three directions.
        plain = sum(
            shape[axis] * _cellpose_tiles([n for a, n in enumerate(shape) if a != axis]) for axis in range(3)
        )
        own, before = count_tiles(shape, TILE, OVERLAP), tiles_in_blocks(shape)
        name = " x ".join(map(str, shape))
        print(f"{name:>20} {plain:10d} {own:10d} {own / plain:6.2f} {before:10d} {before / plain:6.2f}")


def _cellpose_tiles(plane: list[int]) -> int:
    from cellpose.transforms import get_pad_yx, make_tiles

    top, bottom, left, right = get_pad_yx(*plane, min_size=(TILE, TILE))
    padded = np.zeros((1, plane[0] + top + bottom, plane[1] + left + right), np.float32)
    return len(make_tiles(padded, TILE, tile_overlap=OVERLAP)[1])


def by_planes(image: np.ndarray, network: Any, threads: int) -> np.ndarray:
    grid, found = Grid(image.shape, SPACING), np.zeros((4, *image.shape), np.float16)
    predict_flows(
        image,
        SPACING,
        grid,
        network,
        MemorySink(found),
        PARAMETERS,
        Execution("cpu", workers=threads),
        intensities=(0, 255),
    )
    return found


def of_cellpose(image: np.ndarray, network: Any, threads: int, side: int = 0) -> np.ndarray:
    """Run Cellpose on a volume in memory."""
    import torch
    from cellpose.core import run_3D

    torch.set_num_threads(threads)
    channels = np.zeros((*image.shape, 3), np.float32)
    channels[..., 0] = image / np.float32(255)
    flows, _ = run_3D(
        network, channels, batch_size=8, bsize=side or tile_size(network, image.shape), tile_overlap=OVERLAP
    )
    return np.moveaxis(flows, -1, 0).astype(np.float16)


def by_blocks(image: np.ndarray, network: Any, threads: int) -> np.ndarray:
    """Run Cellpose on blocks with halos, which are cropped away."""
    found = np.zeros((4, *image.shape), np.float16)
    for block in block_grid((4, *image.shape), (4, *(BLOCK,) * 3), (0, *(HALO,) * 3)):
        part = image[block.outer[1:]]
        side = min(TILE, -(-max(part.shape) // 16) * 16)
        found[block.core] = of_cellpose(part, network, threads, side)[block.inner]
    return found


def bench_seconds(side: int, threads: int, turns: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (side,) * 3).astype(np.uint8)
    network = load_network("phantom-compact", "cells", "cpu")
    ways: dict[str, Callable[..., np.ndarray]] = {
        "planes": by_planes,
        "cellpose": of_cellpose,
        "blocks": by_blocks,
    }
    print(f"flows of phantom-compact, {side}³, {threads} threads: processor seconds per gigavoxel, by turns")
    for way in ways.values():
        way(image[:24, :24, :24], network, threads)
    found: dict[str, np.ndarray] = {}
    for turn in range(turns):
        for name, way in ways.items():
            start, wall = time.process_time(), time.perf_counter()
            found[name] = way(image, network, threads)
            used, wall = time.process_time() - start, time.perf_counter() - wall
            print(
                f"  turn {turn + 1}  {name:>9} {used / side**3 * 1e9:10.0f} (wall {wall:.1f} s)", flush=True
            )
    reference = found["cellpose"].astype(np.float32)
    for name in ("planes", "blocks"):
        difference = np.abs(found[name].astype(np.float32) - reference)
        print(
            f"  {name} against Cellpose: largest difference {difference.max():.4f}, mean {difference.mean():.5f}"
        )


@dataclass
class _Made:
    """An array that is made where it is read, and forgotten where it is written.

    Attributes
    ----------
    slabs
        Axis of its slabs, of which only the first one is wanted: the others take as much memory. None if all is there.
    """

    shape: tuple[int, ...]
    dtype: Any = np.float32
    slabs: int | None = None

    @property
    def array(self) -> "_Made":
        return self

    def __getitem__(self, region: Any) -> np.ndarray:
        return np.ones([s.stop - s.start for s in region], self.dtype)

    def pending(self, blocks: Any) -> list[Block]:
        return [] if self.slabs is None else [block for block in blocks if block.index[self.slabs + 1] == 0]

    def write(self, block: Block, values: np.ndarray) -> None:
        pass

    def open(self, name: str, shape: Any, dtype: Any, files: Any) -> "_Made":
        return _Made(tuple(shape), dtype, {"xz": 1, "yz": 2}.get(name))

    def discard(self, name: str) -> None:
        pass


class _Nothing:
    """A network that finds nothing."""

    def __init__(self) -> None:
        import torch

        self.device, self.dtype = torch.device("cpu"), torch.float32

    def eval(self) -> None:
        pass

    def __call__(self, tiles: Any) -> tuple[Any, None]:
        return tiles * 0, None


def measure_memory(shape: tuple[int, int, int]) -> dict[str, float]:
    def run(shape: tuple[int, int, int]) -> None:
        sink = _Made((4, *shape), np.float16, 0)
        predict_flows(
            _Made(shape),
            SPACING,
            Grid(shape, SPACING),
            _Nothing(),
            sink,
            PARAMETERS,
            Execution("cpu"),
            intensities=(0.0, 1.0),
            scratch=sink,
        )

    run((16, 16, 16))
    before = peak_mib()
    run(shape)
    return {"mib": peak_mib() - before}


def bench_memory() -> None:
    print("peak memory beyond imports, MiB, beside the formula of slab_bytes and the flows themselves")
    for shape in ((250, 600, 600), (1000, 600, 600), (250, 600, 2400)):
        command = [sys.executable, __file__, "--measure", json.dumps(shape)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        mib = json.loads(output.splitlines()[-1])["mib"]
        name = " x ".join(map(str, shape))
        print(f"{name:>20} {mib:8.0f} {slab_bytes(shape) / 2**20:8.0f} {8 * math.prod(shape) / 2**20:8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("tiles", "seconds", "memory")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--side", type=int, default=288)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_memory(tuple(options.measure))))
        return
    if "tiles" in options.parts:
        bench_tiles()
    if "memory" in options.parts:
        bench_memory()
    if "seconds" in options.parts:
        bench_seconds(options.side, options.threads, options.turns)


if __name__ == "__main__":
    main()
