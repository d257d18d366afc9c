"""A process that segments nanoparticles and may be killed; imported once by a fork server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from nanoparticle_scenes import SPACING_NM, make_scene

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import collect_statistics, fit_statistics, segment_particles
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

PARAMETERS = NanoparticleParameters(split_touching=True, min_volume_nm3=1e5)
PROVISIONAL = "nanoparticles"
DEPTH = 2
LABEL_BLOCK = (8, 64, 64)


# Compiles and loads every kernel, so that a killed child has spent its time on its slabs.
_tiny = make_scene((4, 64, 64), fraction=0.05)
_mixture = fit_statistics(collect_statistics(_tiny.image, SPACING_NM, PARAMETERS), PARAMETERS)
_sinks = [MemorySink(np.zeros(_tiny.image.shape, kind)) for kind in (np.float16, np.uint32, np.uint32)]
segment_particles(_tiny.image, SPACING_NM, _mixture, *_sinks, PARAMETERS)


def scratch(layout: Layout) -> Layout:
    """Where the labels of the slabs lie until the stage is done."""
    return Layout(layout.scratch / "provisional" / PROVISIONAL)


class SlowWriter(ArrayWriter):
    """Takes a moment after each block, so that a kill finds something half done."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.005)


def segment(source: Path, results: Path, begun: Event) -> None:
    """Segment, or go on with it, and complete the arrays and the table: the course of the task."""
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
        mixture = fit_statistics(
            collect_statistics(image, image.spacing_nm, PARAMETERS, execution), PARAMETERS
        )
        posterior = writer(layout, POSTERIOR, "field", "float16", by_slice=True)
        labels = writer(layout, NANOPARTICLES, "label", "uint32", by_slice=False)
        provisional = writer(scratch(layout), PROVISIONAL, "label", "uint32", by_slice=True)
        table = segment_particles(
            image, image.spacing_nm, mixture, posterior, provisional, labels, PARAMETERS, execution,
            depth=DEPTH, label_block=LABEL_BLOCK,
        )  # fmt: skip
        (results / "mixture.json").write_text(json.dumps(json.loads(mixture.to_json())))
        write_table(layout, stage_table_path("nanoparticles"), table, "digest")
        finish_multiscale(posterior, execution, ())
        finish_multiscale(labels, execution, (), count=len(table))
