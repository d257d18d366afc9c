"""Process that registers a stack and can be killed; a fork server imports it once."""

import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from spherovem_core.blocks import Block
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration import alignment, register_pair, register_stack, warp_slice, warp_stack
from spherovem_core.registration.affine import IDENTITY
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.slice_places import PlacedSlices, mix_at_even_steps
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Ledger,
    finish_multiscale,
    open_array,
    slice_shards,
    write_table,
)
from spherovem_core.store.layout import DENOISED, REGISTERED, Layout, stage_table_path

PARAMETERS = RegistrationParameters()
ELASTIC = RegistrationParameters(refinement="elastic")
EVEN_STEPS = RegistrationParameters(resample_z=True)
PAIRS = "registration.jsonl"

# This loads torch and the compiled kernel, so that a child spends its time registering when it is killed.
_tiny = np.zeros((8, 8), np.uint8)
warp_slice(_tiny, IDENTITY, Rectangle(0, 8, 0, 8))
register_pair(_tiny, _tiny)


class SlowWriter(ArrayWriter):
    """Writer that waits 5 ms after each slice, so that a kill finds unfinished work."""

    def write(self, block: Block, values: Any) -> None:
        super().write(block, values)
        time.sleep(0.005)


def register_elastically(source: Path, results: Path, begun: Event) -> None:
    """Register with elastic refinement."""
    register(source, results, begun, ELASTIC)


def register_at_even_steps(source: Path, results: Path, begun: Event) -> None:
    """Register with resampling along z, as if the slices had been found to be uneven."""
    with mock.patch.object(alignment, "place_by_thickness", place_unevenly):
        register(source, results, begun, EVEN_STEPS)


def place_unevenly(table: pd.DataFrame) -> PlacedSlices:
    """Place slices at steps of 0.7 and 1.3 in turn."""
    count = len(table)
    places = np.arange(count) + 0.3 * (np.arange(count) % 2)
    good = np.flatnonzero(table["used"])
    return PlacedSlices(RegisteredSlices(places, mix_at_even_steps(places, good, count)))


def register(
    source: Path, results: Path, begun: Event, parameters: RegistrationParameters = PARAMETERS
) -> None:
    """Register as the task does, resume if begun before, and complete the array and the table."""
    slices = open_array(Layout(source), DENOISED)
    layout = Layout(results)
    pairs = Ledger(results / PAIRS, "digest")
    begun.set()
    with ThreadPoolExecutor(2) as executor:
        # Jobs for eight workers are short, so that a kill finds some of them finished.
        execution = Execution(device="cpu", executor=executor, workers=8)
        found = register_stack(slices, parameters, execution, bad_slices=[3], ledger=pairs)
        shape = found.shape
        spec = ArraySpec(REGISTERED, "image", shape, slices.dtype, *slice_shards(shape), slices.spacing_nm)
        writer = SlowWriter(layout, spec, "digest")
        warp_stack(slices, found, writer, parameters, execution)
        if found.fields is not None:
            found.fields.save(layout.elastic_fields)
        write_table(layout, stage_table_path("registration"), found.table, "digest")
        finish_multiscale(writer, execution, (), **found.details())
