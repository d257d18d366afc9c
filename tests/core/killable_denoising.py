"""Process that denoises a stack slowly and can be killed; a fork server imports it once."""

import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from denoising_scenes import add_noise, smooth_stack

from spherovem_core.blocks import Block
from spherovem_core.denoising import denoise_stack, load_model
from spherovem_core.denoising.library_isolation import import_quietly
from spherovem_core.execution import Execution
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, Ledger, slice_shards, write_text

# Torch is imported here, so that a child spends its time denoising when it is killed.
import_quietly("careamics.models.unet")

DEPTH = 120
SHAPE = (DEPTH, 48, 64)
SPACING_NM = (50.0, 10.0, 12.0)


class SlowWriter(ArrayWriter):
    """Writer that waits 5 ms after each slice, so that a kill finds unfinished work."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.005)


def denoise(checkpoint: Path, results: Path, begun: Event) -> None:
    """Denoise, resume if begun before, and write the array and the quality record."""
    spec = ArraySpec("denoised", "image", SHAPE, np.dtype(np.uint8), *slice_shards(SHAPE), SPACING_NM)
    writer = SlowWriter(Layout(results), spec, "digest")
    model = load_model(checkpoint, "cpu")
    source = add_noise(smooth_stack(SHAPE))
    begun.set()
    ledger = Ledger(results / "slices.jsonl", "digest")
    execution = Execution(device="cpu", workers=2)
    quality = denoise_stack(source, writer, model, DenoisingParameters(), execution, ledger=ledger)
    write_text(results / "quality.json", quality.model_dump_json())
    writer.commit()
