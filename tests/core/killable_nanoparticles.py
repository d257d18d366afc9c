"""Process that segments nanoparticles and can be killed; a fork server imports it once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from nanoparticle_scenes import COARSE_NM, Kind, make_scene

from spherovem_core.blocks import Block
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import find_particles, write_particles
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    finish_multiscale,
    open_array,
    slice_shards,
    write_table,
)
from spherovem_core.store.layout import NANOPARTICLES, POSTERIOR, REGISTERED, stage_table_path

PARAMETERS = NanoparticleParameters()
CANDIDATES = "nanoparticles"
DEPTH, TILE = 2, 32
LABEL_BLOCK = (8, 64, 64)

# Compiles and loads every kernel, so that a child spends its time on slices.
_tiny = make_scene((8, 96, 96), (Kind(8, 280.0),), COARSE_NM)
find_particles(_tiny.image, COARSE_NM, PARAMETERS)


def scratch(layout: Layout) -> Layout:
    """Return the layout that holds the candidates until the stage is complete."""
    return Layout(layout.scratch / "provisional" / CANDIDATES)


class SlowWriter(ArrayWriter):
    """Writer that waits after each block, so that a kill finds an incomplete array."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.005)


def segment(source: Path, results: Path, begun: Event) -> None:
    """Start or continue a segmentation and complete its arrays and its table, as the task does."""
    image = open_array(Layout(source), REGISTERED)
    layout, shape = Layout(results), image.shape

    def writer(where: Layout, group: str, content: Any, dtype: str, *, by_slice: bool) -> ArrayWriter:
        shards = slice_shards(shape) if by_slice else (LABEL_BLOCK, LABEL_BLOCK)
        return SlowWriter(
            where, ArraySpec(group, content, shape, np.dtype(dtype), *shards, image.spacing_nm), "digest"
        )

    begun.set()
    with ThreadPoolExecutor(2) as executor:
        execution = Execution(device="cpu", executor=executor, workers=2)
        posterior = writer(layout, POSTERIOR, "field", "float16", by_slice=True)
        labels = writer(layout, NANOPARTICLES, "label", "uint32", by_slice=False)
        candidates = writer(scratch(layout), CANDIDATES, "label", "uint8", by_slice=True)
        tables = write_particles(
            image, image.spacing_nm, PARAMETERS, posterior, candidates, labels, execution,
            depth=DEPTH, tile=TILE, label_block=LABEL_BLOCK,
        )  # fmt: skip
        (results / "mixture.json").write_text(json.dumps(json.loads(tables.mixture.to_json())))
        write_table(layout, stage_table_path("nanoparticles"), tables.particles, "digest")
        finish_multiscale(posterior, execution, ())
        finish_multiscale(labels, execution, (), count=len(tables.particles))
