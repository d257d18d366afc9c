"""Process that ingests an acquisition slowly and can be killed; a fork server imports it once."""

import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.blocks import Block
from spherovem_core.execution import Execution
from spherovem_core.ingest import ingest_stack, open_stack
from spherovem_core.ingest.intensities import measure_intensities
from spherovem_core.parameters import IngestParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards

# Load the compiled kernel here, so that a killed child has spent its time on writing.
measure_intensities(np.zeros((4, 4), np.uint16))


class SlowWriter(ArrayWriter):
    """Writer that waits after each slice, so that a kill comes in the middle of the work."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.03)


def ingest(source: Path, results: Path, begun: Event) -> None:
    """Ingest an acquisition, continuing where a killed process stopped, and complete the array and the table."""
    stack = open_stack(source, IngestParameters(spacing_nm=(50, 10, 12), on_bad_slice="interpolate"))
    spec = ArraySpec("raw", "image", stack.shape, stack.dtype, *slice_shards(stack.shape), stack.spacing_nm)
    writer = SlowWriter(Layout(results), spec, "digest")
    begun.set()
    with ThreadPoolExecutor(2) as executor:
        table = ingest_stack(stack, writer, Execution(executor=executor, workers=2))
    table.to_csv(results / "slices.csv")
    writer.commit()
