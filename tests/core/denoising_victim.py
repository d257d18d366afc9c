"""A process that denoises a stack slowly and may be killed; imported once by a fork server."""

import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from denoising_cases import add_noise, smooth_stack

from spherovem_core.blocks import Block
from spherovem_core.denoising import denoise_stack, load_model
from spherovem_core.denoising.library_isolation import import_quietly
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoiseParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, slice_shards, write_text

# Imports torch, so that a killed child has spent its time denoising.
import_quietly("careamics.models.unet")

DEPTH = 120
SHAPE = (DEPTH, 48, 64)
SPACING_NM = (50.0, 10.0, 12.0)


class SlowWriter(ArrayWriter):
    """Takes a moment after each slice, so that a kill finds something half done."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.005)


def denoise(checkpoint: Path, results: Path, begun: Event) -> None:
    """Denoise, or go on with it, and complete the array and the report."""
    spec = ArraySpec("denoised", "image", SHAPE, np.dtype(np.uint8), *slice_shards(SHAPE), SPACING_NM)
    writer = SlowWriter(Layout(results), spec, "digest")
    model = load_model(checkpoint, "cpu")
    source = add_noise(smooth_stack(SHAPE))
    begun.set()
    figures = Ledger(results / "figures.jsonl", "digest")
    execution = Execution(device="cpu", workers=2)
    report = denoise_stack(source, writer, model, DenoiseParameters(), execution, figures=figures)
    write_text(results / "report.json", report.model_dump_json())
    writer.commit()
