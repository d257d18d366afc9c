"""Process that makes masks slowly and can be killed."""

import json
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from segmentation_scenes import ideal, packed_cells, segment

from spherovem_core.blocks import Block
from spherovem_core.execution import Execution
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation import MaskInputs, segment_masks
from spherovem_core.segmentation.grid import Grid
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, cube_shards

GRID = Grid((40, 80, 96), (20.0, 20.0, 20.0))
PARAMETERS = ObjectParameters(
    min_diameter_um=0.1,
    flow_error_threshold=1.0,
    merge_boundary_strength=0.05,
    expansion_um=0.04,
)
SMALL_BLOCKS = Execution(block_voxels=32, block_halo_voxels=16)

# Loads the compiled kernels, so that a killed process has spent its time on blocks.
segment(
    ideal(packed_cells((24, 24, 40), 3)),
    Grid((24, 24, 40), (20.0, 20.0, 20.0)),
    Grid((24, 24, 40), (20.0, 20.0, 20.0)),
    PARAMETERS,
    execution=SMALL_BLOCKS,
)


class SlowWriter(ArrayWriter):
    """Writer that waits after each block, so that a kill finds a half-finished array, and records each block."""

    def write(self, block: Block, values: NDArray[Any]) -> None:
        with (self.layout.folder / "written.txt").open("a") as file:
            file.write(block.key + "\n")
        super().write(block, values)
        time.sleep(0.01)


class SlowLedger(Ledger):
    """Ledger that waits between a block and its statistics."""

    def __setitem__(self, key: str, value: Any) -> None:
        time.sleep(0.01)
        super().__setitem__(key, value)


def writer(folder: Path, name: str) -> SlowWriter:
    """Open a new or unfinished array of labels in blocks of 32."""
    chunks, shards = cube_shards(GRID.shape, 32)
    spec = ArraySpec(name, "label", GRID.shape, np.dtype("uint32"), chunks, shards, GRID.spacing_nm)
    return SlowWriter(Layout(folder / name), spec, "digest")


def make_masks(flows: Path, results: Path, begun: Event | None = None) -> None:
    """Make masks, or continue them, and write the number of objects."""
    inputs = MaskInputs(np.load(flows, mmap_mode="r"), GRID, GRID)
    provisional, labels = writer(results, "provisional"), writer(results, "labels")
    if begun is not None:
        begun.set()
    ledger = SlowLedger(results / "statistics.jsonl", "digest")
    count = segment_masks(inputs, provisional, labels, PARAMETERS, SMALL_BLOCKS, ledger)
    (results / "count.json").write_text(json.dumps(count))
