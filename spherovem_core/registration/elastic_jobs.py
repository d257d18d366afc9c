"""Local motion of many pairs of a stack on any executor, with a ledger of finished pairs."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration.affine import Matrix
from spherovem_core.registration.crop import Rectangle
from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.elastic_pairs import (
    LocalMotion,
    PlacedSlice,
    measure_local_motion,
    place_levels,
)
from spherovem_core.registration.intraop_threads import intraop_threads
from spherovem_core.registration.pair_jobs import JOB_SLICES, Pair, cut_work
from spherovem_core.registration.pairs import prepare_slices
from spherovem_core.registration.portable_slices import PortableSlices
from spherovem_core.utils.freed_memory import release_free_memory
from spherovem_core.utils.torch_device import torch_device

Partners = tuple[int, tuple[int, ...]]
Nodes = NDArray[np.float32]
Job = tuple[list[Partners], PortableSlices, dict[int, tuple[Matrix, Nodes]]]


def measure_local_motions(
    source: ArrayLike,
    pairs: Sequence[Pair],
    transforms: Matrix,
    fields: ElasticFields,
    frame: Rectangle,
    parameters: RegistrationParameters,
    execution: Execution,
    ledger: MutableMapping[str, Any],
    pattern: NDArray[np.float32] | None = None,
) -> dict[Pair, LocalMotion]:
    """Measure the local motion of pairs of placed slices, with up to `JOB_SLICES` neighbouring fixed slices per job.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    pairs
        Numbers of the (fixed, moving) slices, the smaller one first.
    transforms : (Z, 2, 3) ndarray
        Affine maps, reference to slice coordinates.
    fields : ElasticFields
        Known part of the fields, zero at first, and the mesh.
    frame : Rectangle
        Measured part of the reference frame.
    parameters, execution
        As in `register_stack`.
    ledger
        Records of finished pairs by ``"elastic placement fixed moving"``, where placement is a digest of the maps and known
        fields of the two; they are not computed again.
    pattern : (Y', X') ndarray of float32, optional
        As in `refine_elastically`.
    """
    device = str(torch_device(execution.device))
    keys = {pair: _key(pair, transforms, fields, frame) for pair in pairs}
    todo: list[Partners] = []
    for fixed, group in itertools.groupby(sorted(pairs), key=lambda pair: pair[0]):
        missing = tuple(b for a, b in group if keys[a, b] not in ledger)
        if missing:
            todo.append((fixed, missing))
    done = len(pairs) - sum(len(moving) for _, moving in todo)
    for (group, _, _), records in map_blocks(
        _run_job,
        _jobs(source, todo, transforms, fields, execution.workers),
        frame,
        fields.mesh,
        parameters,
        device,
        pattern,
        executor=execution.executor,
        ahead=2 * execution.workers + 2,
    ):
        finished = [(fixed, b) for fixed, moving in group for b in moving]
        for pair, record in zip(finished, records, strict=True):
            ledger[keys[pair]] = record
        done += len(finished)
        execution.report(done, len(pairs))
    return {pair: LocalMotion.from_record(ledger[keys[pair]]) for pair in pairs}


def _key(pair: Pair, transforms: Matrix, fields: ElasticFields, frame: Rectangle) -> str:
    placement = hashlib.sha256(repr((frame, fields.mesh)).encode())
    placement.update(np.ascontiguousarray(transforms[list(pair)]).tobytes())
    placement.update(np.ascontiguousarray(fields.nodes[list(pair)]).tobytes())
    return f"elastic {placement.hexdigest()[:12]} {pair[0]} {pair[1]}"


def _jobs(
    source: ArrayLike, todo: list[Partners], transforms: Matrix, fields: ElasticFields, workers: int
) -> list[Job]:
    jobs = []
    for group in cut_work(todo, JOB_SLICES, workers):
        wanted = sorted({z for a, b in group for z in (a, *b)})
        places = {z: (transforms[z], fields.nodes[z]) for z in wanted}
        jobs.append((group, PortableSlices.of(source, wanted), places))
    return jobs


def _run_job(
    job: Job,
    frame: Rectangle,
    mesh: Mesh,
    parameters: RegistrationParameters,
    device: str,
    pattern: NDArray[np.float32] | None,
) -> list[dict[str, Any]]:
    group, slices, places = job
    records = []
    placed: dict[int, list[PlacedSlice]] = {}
    with intraop_threads(1):
        for fixed, moving in group:
            placed = {z: levels for z, levels in placed.items() if z >= fixed}
            for z in (fixed, *moving):
                if z not in placed:
                    levels = prepare_slices(
                        slices.read(z)[None], parameters, device, pattern, without_stripes=False
                    )
                    placed[z] = place_levels(levels, places[z][0], frame, mesh, pattern)
            for b in moving:
                motion = measure_local_motion(placed[fixed], placed[b], (places[fixed][1], places[b][1]))
                records.append(motion.to_record())
    placed.clear()
    release_free_memory()
    return records
