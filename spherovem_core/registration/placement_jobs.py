"""Measurement of the slices as placed on any executor, with a ledger of finished slices."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.depth_similarity import DEPTHS, measure_depth, place
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.pair_jobs import cut_work
from spherovem_core.registration.pairs import prepare_slices
from spherovem_core.registration.placed_pairs import PlacedPair, measure_placed_pair, misfit_level
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.registration.pyramid import Level
from spherovem_core.utils.freed_memory import release_free_memory
from spherovem_core.utils.torch_device import torch_device

if TYPE_CHECKING:
    from torch import Tensor

JOB_SLICES = 12
"""Slices per job: with similarity over 3 slices, each slice is read 1.25 times."""
LONGEST = 3
"""A slice beside slices that cannot be compared is compared over up to this many good slices."""

Job = tuple[list["Task"], PortableSlices, dict[int, Matrix]]


@dataclass(frozen=True)
class Task:
    """A good slice, the one before it to compare it with, and the ones after it for the similarity over depth."""

    z: int
    before: int | None
    ahead: tuple[int, ...]

    @property
    def key(self) -> str:
        """Key in the ledger."""
        return f"placed {self.z} {'' if self.before is None else self.before}".rstrip()


@dataclass(frozen=True)
class PlacementMeasurement:
    """Measurements on the slices as placed.

    Attributes
    ----------
    pairs
        Last comparison of each good slice with one before it, by (fixed, moving). The first good slice has none.
    depth
        Record of `measure_depth` of each good slice.
    """

    pairs: dict[tuple[int, int], PlacedPair]
    depth: dict[int, dict[str, Any]]


def measure_placement(
    source: ArrayLike,
    transforms: Matrix,
    crop: Rectangle,
    good: Sequence[int],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None = None,
) -> PlacementMeasurement:
    """Compare every good slice as placed with the good one before it, and with those over a few steps.

    A slice that cannot be compared with the one before it is compared with the one before that, and so on, so that a bad
    slice does not hide the misfit of the next.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    transforms : (Z, 2, 3) ndarray
        Final maps.
    crop : Rectangle
        Field that all slices share.
    good
        Good slices in rising order.
    parameters, execution, ledger
        As in `register_stack`.
    pattern : (Y', X') ndarray of float32, optional
        What is fixed to the frame, as for `build_pyramid`: it is subtracted, and what it hides is not compared.
    """
    tasks = [
        Task(z, good[k - 1] if k else None, tuple(good[k + 1 : k + 1 + max(DEPTHS)]))
        for k, z in enumerate(good)
    ]
    depth: dict[int, dict[str, Any]] = {}
    pairs: dict[tuple[int, int], PlacedPair] = {}
    rank = {z: k for k, z in enumerate(good)}
    for steps in range(1, LONGEST + 1):
        records = _run(source, transforms, crop, tasks, parameters, execution, ledger, pattern)
        for task, record in zip(tasks, records, strict=True):
            if record["pair"] is not None and task.before is not None:
                pairs[task.before, task.z] = PlacedPair.from_record(record["pair"])
            if steps == 1:
                depth[task.z] = record["depth"]
        unmeasured = [t.z for t in tasks if t.before is not None and not pairs[t.before, t.z].measured]
        tasks = [Task(z, good[rank[z] - steps - 1], ()) for z in unmeasured if rank[z] > steps]
        if not tasks:
            break
    return PlacementMeasurement(pairs, depth)


def _run(
    source: ArrayLike,
    transforms: Matrix,
    crop: Rectangle,
    tasks: list[Task],
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None,
) -> list[dict[str, Any]]:
    device = str(torch_device(execution.device))
    todo = [task for task in tasks if task.key not in ledger]
    done = len(tasks) - len(todo)
    jobs = _jobs(source, transforms, todo, execution.workers)
    ahead = 2 * execution.workers + 2
    for (group, _, _), records in map_blocks(
        _run_job, jobs, crop, parameters, device, pattern, executor=execution.executor, ahead=ahead
    ):
        for task, record in zip(group, records, strict=True):
            ledger[task.key] = record
        done += len(group)
        execution.report(done, len(tasks))
    return [ledger[task.key] for task in tasks]


def _jobs(source: ArrayLike, transforms: Matrix, todo: list[Task], workers: int) -> list[Job]:
    jobs = []
    for group in cut_work(todo, JOB_SLICES, workers):
        wanted = sorted({z for task in group for z in _slices_of(task)})
        jobs.append((group, PortableSlices.of(source, wanted), {z: transforms[z] for z in wanted}))
    return jobs


def _slices_of(task: Task) -> tuple[int, ...]:
    return (task.z, *task.ahead) if task.before is None else (task.before, task.z, *task.ahead)


def _run_job(
    job: Job,
    crop: Rectangle,
    parameters: RegistrationParameters,
    device: str,
    pattern: NDArray[np.float32] | None,
) -> list[dict[str, Any]]:
    group, slices, transforms = job
    records = []
    prepared: dict[int, list[Level]] = {}
    placed: dict[int, Tensor] = {}
    with intraop_threads(1):
        for task in group:
            wanted = _slices_of(task)
            prepared = {z: levels for z, levels in prepared.items() if z >= min(wanted)}
            placed = {z: image for z, image in placed.items() if z >= task.z}
            for z in wanted:
                if z not in prepared:
                    prepared[z] = prepare_slices(slices.read(z)[None], parameters, device, pattern)
            number = misfit_level(prepared[task.z])
            for z in (task.z, *task.ahead):
                if z not in placed:
                    placed[z] = place(prepared[z][number], transforms[z], crop)
            ahead = {steps: placed[z] for steps, z in enumerate(task.ahead, 1)}
            factor = prepared[task.z][number].factor
            depth = {"factor": factor, **measure_depth(placed[task.z], ahead)}
            records.append({"pair": _compare(task, prepared, transforms, parameters), "depth": depth})
    prepared.clear()
    placed.clear()
    release_free_memory()
    return records


def _compare(
    task: Task,
    prepared: dict[int, list[Level]],
    transforms: dict[int, Matrix],
    parameters: RegistrationParameters,
) -> dict[str, Any] | None:
    if task.before is None:
        return None
    levels = prepared[task.before], prepared[task.z]
    maps = transforms[task.before], transforms[task.z]
    return measure_placed_pair(*levels, *maps, parameters).to_record()
