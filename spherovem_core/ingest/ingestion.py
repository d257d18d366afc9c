"""The pass over an acquisition: slices are read, checked and written at the same time."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spherovem_core.blocks import Block, BlockSink, map_blocks, slab_grid
from spherovem_core.errors import BadSlicesError
from spherovem_core.execution import Execution
from spherovem_core.ingest.intensities import Intensities, find_outliers
from spherovem_core.ingest.problems import Problem, acquisition_error
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.store.columns import EXCLUDED, FILLED_FLAGS

INTENSITIES = ("mean", "std", "p1", "p50", "p99")


@dataclass(frozen=True)
class CheckedSlice:
    """Result of the pass for one slice, without its pixels.

    Attributes
    ----------
    intensities
        Intensities as acquired; None if the slice could not be read.
    flag
        One of `FILLED_FLAGS`; empty for a good slice.
    problem
        Problem that stops the stage, None if there is none.
    """

    intensities: Intensities | None
    flag: str
    problem: Problem | None = None


def ingest_stack(stack: SliceStack, sink: BlockSink, execution: Execution) -> pd.DataFrame:
    """Copy a stack into an array, and check the pixels of each slice on the way.

    Each worker reads, decodes, counts and writes whole slices, so that all of it overlaps and only a few slices are in
    memory. A resumed run writes only the missing slices; the table is computed from the source again.

    Parameters
    ----------
    stack
        A stack from `open_stack`; one that is neither uint8 nor uint16 with its grey scale, from `with_grey_scale`.
    sink
        Takes one block per slice; `write` is called from the workers. It is not committed here: nothing counts as complete
        before this function has returned.
    execution
        Settings of the run. Instead of its executor, of any kind, threads are used, one more than it has workers, so that
        waiting for the disk leaves no core idle: reading and writing run outside Python's lock, and open files and the sink
        cannot travel between processes.

    Returns
    -------
    DataFrame
        One row per slice: ``file`` (empty if missing), ``z``, ``intensity_mean``, ``intensity_std``, ``intensity_p1``,
        ``intensity_p50``, ``intensity_p99`` in grey values of the source (NaN if missing, truncated or
        excluded), and the flags ``missing``, ``blank``, ``truncated``, ``saturated``, ``excluded``, ``outlier``. An outlier
        is only marked; slices with one of the other flags have been filled from their neighbours.

    Raises
    ------
    BadSlicesError
        After all slices have been read, with all that are bad: any with `on_bad_slice` ``error``, those that cannot be
        filled with ``interpolate``. An excluded slice is filled with either.
    """
    blocks = slab_grid(stack.shape, 1)
    pending = {block.key for block in sink.pending(blocks)}
    failed = threading.Event()

    def ingest_slice(block: Block) -> CheckedSlice:
        # After the first problem the rest is only checked: the array will not count anyway.
        write = block.key in pending and not failed.is_set()
        checked = _ingest_slice(stack, block, sink if write else None)
        if checked.problem:
            failed.set()
        return checked

    slices: list[CheckedSlice] = []
    with _threads(execution) as executor:
        ahead = 2 * execution.workers + 2
        for _, checked in map_blocks(ingest_slice, blocks, executor=executor, ahead=ahead):
            slices.append(checked)
            execution.report(len(slices), len(blocks))
    problems = [checked.problem for checked in slices if checked.problem]
    if problems:
        raise acquisition_error(stack.source, problems)
    return _table(stack, slices)


def _ingest_slice(stack: SliceStack, block: Block, sink: BlockSink | None) -> CheckedSlice:
    z = block.core[0].start
    acquired = stack.read_as_acquired(z)
    values = acquired.values
    if acquired.flag:
        if stack.parameters.on_bad_slice == "error" and acquired.flag != EXCLUDED:
            problem = Problem(acquired.reason, stack.slice_name(z), fillable=True)
            return CheckedSlice(acquired.intensities, acquired.flag, problem)
        try:
            values = stack.fill(z)
        except BadSlicesError as error:
            return CheckedSlice(acquired.intensities, acquired.flag, Problem(str(error)))
    if sink is not None and values is not None:
        sink.write(block, values[np.newaxis])
    return CheckedSlice(acquired.intensities, acquired.flag)


@contextmanager
def _threads(execution: Execution) -> Iterator[Executor | None]:
    if execution.executor is None:
        yield None
        return
    with ThreadPoolExecutor(execution.workers + 1) as executor:
        yield executor


def _table(stack: SliceStack, slices: Sequence[CheckedSlice]) -> pd.DataFrame:
    table = pd.DataFrame({"file": [stack.slice_name(z) for z in range(len(slices))], "z": range(len(slices))})
    for name in INTENSITIES:
        table[f"intensity_{name}"] = [
            np.nan if s.intensities is None else getattr(s.intensities, name) for s in slices
        ]
    for flag in FILLED_FLAGS:
        table[flag] = [s.flag == flag for s in slices]
    judged = ~table[list(FILLED_FLAGS)].any(axis=1)
    table["outlier"] = find_outliers(
        table["intensity_mean"].where(judged), table["intensity_std"].where(judged)
    )
    if stack.grey_scale is not None:
        for name in INTENSITIES:
            offset = 0.0 if name == "std" else stack.grey_scale.offset
            table[f"intensity_{name}"] = stack.grey_scale.scale * table[f"intensity_{name}"] + offset
    return table
