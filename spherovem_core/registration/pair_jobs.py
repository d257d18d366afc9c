"""Many pairs of a stack, computed by any executor, each result kept as it comes."""

from __future__ import annotations

import itertools
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.pairs import PairResult, prepare_slices, register_prepared
from spherovem_core.registration.sources import SliceSource
from spherovem_core.registration.threads import intraop_threads
from spherovem_core.utils.torch_device import torch_device

Pair = tuple[int, int]
Job = tuple[int, tuple[int, ...], SliceSource]


def register_pairs(
    source: ArrayLike,
    pairs: Sequence[Pair],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
) -> dict[Pair, PairResult]:
    """Register pairs of slices of a stack, those with one fixed slice in one job.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    pairs
        (fixed, moving) slices.
    parameters, execution
        As in `estimate_alignment`.
    ledger
        Holds records of finished pairs by ``"fixed moving"``; they are not computed again. A job whose pairs are partly
        finished is computed whole, so that a batch on a GPU has the same content as in an
        unbroken run.

    Returns
    -------
    dict
        Result of every pair.
    """
    device = str(torch_device(execution.device))
    jobs: list[Job] = []
    for fixed, group in itertools.groupby(sorted(pairs), key=lambda pair: pair[0]):
        moving = tuple(b for _, b in group)
        if any(_key(fixed, b) not in ledger for b in moving):
            jobs.append((fixed, moving, SliceSource.of(source, [fixed, *moving])))
    done = len(pairs) - sum(len(moving) for _, moving, _ in jobs)
    ahead = 2 * execution.workers + 2
    for (fixed, moving, _), records in map_blocks(
        _run_job, jobs, parameters, device, executor=execution.executor, ahead=ahead
    ):
        for b, record in zip(moving, records, strict=True):
            ledger[_key(fixed, b)] = record
        done += len(moving)
        execution.report(done, len(pairs))
    return {(a, b): PairResult.from_record(ledger[_key(a, b)]) for a, b in pairs}


def _key(fixed: int, moving: int) -> str:
    return f"{fixed} {moving}"


def _run_job(job: Job, parameters: RegistrationParameters, device: str) -> list[dict[str, Any]]:
    """Register one fixed slice with its partners: in one batch on a GPU, one by one on the CPU."""
    fixed, moving, slices = job
    batches = [moving] if device.startswith("cuda") else [(b,) for b in moving]
    records = []
    with intraop_threads(1):
        prepared = prepare_slices(slices.read(fixed)[None], parameters, device)
        for batch in batches:
            read = [slices.read(b)[None] for b in batch]
            # A lone slice is not copied: it may be the largest thing in memory.
            images = read[0] if len(read) == 1 else np.concatenate(read)
            partners = prepare_slices(images, parameters, device)
            repeated = [level.repeated(len(batch)) for level in prepared]
            results = register_prepared(repeated, partners, parameters)
            records += [result.to_record() for result in results]
    return records
