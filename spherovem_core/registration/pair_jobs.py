"""Registration of many pairs of a stack on any executor, with a ledger of finished pairs."""

import itertools
from collections.abc import MutableMapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.pairs import PairResult, prepare_slices, register_prepared
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.registration.pyramid import Level, join_pyramids
from spherovem_core.utils.freed_memory import release_free_memory
from spherovem_core.utils.torch_device import torch_device

JOB_SLICES = 8
"""Fixed slices per job: with links over 1, 2 and 3 slices, each slice is then read 1.4 times instead of 4 times."""

T = TypeVar("T")
Pair = tuple[int, int]
Partners = tuple[int, tuple[int, ...]]
Job = tuple[list[Partners], PortableSlices]


def register_pairs(
    source: ArrayLike,
    pairs: Sequence[Pair],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None = None,
    prefix: str = "",
) -> dict[Pair, PairResult]:
    """Register pairs of slices of a stack, with up to `JOB_SLICES` neighbouring fixed slices per job.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    pairs
        Numbers of the (fixed, moving) slices, the smaller one first.
    parameters, execution
        As in `register_stack`.
    ledger
        Records of finished pairs by ``"fixed moving"``; they are not computed again. If only some pairs of a fixed
        slice are finished, all of them are computed again, so that a batch on a GPU has the same content as in an
        uninterrupted run.
    pattern : (Y', X') ndarray of float32, optional
        Pattern to subtract from all slices, at the working resolution.
    prefix
        Begin of the keys of the ledger, which keeps pairs with another pattern apart.

    Returns
    -------
    dict
        Result of every pair.
    """
    device = str(torch_device(execution.device))
    todo: list[Partners] = []
    for fixed, group in itertools.groupby(sorted(pairs), key=lambda pair: pair[0]):
        moving = tuple(b for _, b in group)
        if any(prefix + _key(fixed, b) not in ledger for b in moving):
            todo.append((fixed, moving))
    done = len(pairs) - sum(len(moving) for _, moving in todo)
    ahead = 2 * execution.workers + 2
    for (group, _), records in map_blocks(
        _run_job,
        _jobs(source, todo, execution.workers),
        parameters,
        device,
        pattern,
        executor=execution.executor,
        ahead=ahead,
    ):
        keys = [prefix + _key(fixed, b) for fixed, moving in group for b in moving]
        for key, record in zip(keys, records, strict=True):
            ledger[key] = record
        done += len(keys)
        execution.report(done, len(pairs))
    return {(a, b): PairResult.from_record(ledger[prefix + _key(a, b)]) for a, b in pairs}


def _jobs(source: ArrayLike, todo: list[Partners], workers: int) -> list[Job]:
    return [
        (group, PortableSlices.of(source, sorted({z for a, b in group for z in (a, *b)})))
        for group in cut_work(todo, JOB_SLICES, workers)
    ]


def cut_work(todo: list[T], most: int, workers: int) -> list[list[T]]:
    """Cut work into jobs of at most so many pieces, shorter ones if there are too few for all workers."""
    length = max(1, min(most, len(todo) // (2 * workers)))
    return [todo[start : start + length] for start in range(0, len(todo), length)]


def _key(fixed: int, moving: int) -> str:
    return f"{fixed} {moving}"


def _run_job(
    job: Job, parameters: RegistrationParameters, device: str, pattern: NDArray[np.float32] | None
) -> list[dict[str, Any]]:
    """Register each fixed slice with its partners, in one batch on a GPU and one by one on the CPU."""
    group, slices = job
    records = []
    prepared: dict[int, list[Level]] = {}
    with intraop_threads(1):
        for fixed, moving in group:
            prepared = {z: levels for z, levels in prepared.items() if z >= fixed}
            for z in (fixed, *moving):
                if z not in prepared:
                    prepared[z] = prepare_slices(slices.read(z)[None], parameters, device, pattern)
            for batch in [moving] if device.startswith("cuda") else [(b,) for b in moving]:
                partners = join_pyramids([prepared[b] for b in batch])
                repeated = [level.repeated(len(batch)) for level in prepared[fixed]]
                results = register_prepared(repeated, partners, parameters)
                records += [result.to_record() for result in results]
    prepared.clear()
    release_free_memory()
    return records
