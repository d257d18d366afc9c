"""The course every stage takes: plan, ask the disk, compute, commit with its history."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import Execution, ExecutionSettings, open_executor
from spherovem_core.references import ArtifactRef, canonical_json
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Content,
    Layout,
    Ledger,
    StageRecorder,
    StoredArray,
    cube_shards,
    discard,
    finish_multiscale,
    history_entry,
    noting_failure,
    open_array,
    read_table,
    slice_shards,
    table_history,
    write_table,
)
from spherovem_core.store.layout import VOLUME
from tasks.devices import gpu_slot, resolve_device
from tasks.disk import write_document
from tasks.disk_errors import clear_disk_errors
from tasks.plans import SETTINGS, Arguments, Stage, StagePlan
from tasks.progress import report_progress

LARGEST_CUBE = 128
"""Voxels along the side of a file of labels or flows."""

logger = logging.getLogger("spherovem_core.stages")


def run_stage(stage: Stage, arguments: Arguments, compute: Callable[..., None]) -> ArtifactRef:
    """Run a stage unless its outputs are complete on disk already.

    Parameters
    ----------
    arguments
        The task's arguments: ``locals()`` on its first line.
    compute
        Called with a `StageRun` and the arguments without `execution`; commits every output of the stage.

    Raises
    ------
    StoreNotWritableError
        If the disk is full or refuses to be written, or the results folder was removed meanwhile.
    IncompleteArtifactError
        If `compute` left one of the stage's outputs out.
    """
    plan = stage.plan(arguments)
    finished = plan.find()
    if finished is not None:
        logger.info("%s: complete on disk", plan.title)
        return finished
    plan.layout.ensure_writable()
    settings = arguments.get(SETTINGS) or ExecutionSettings()
    own = {name: value for name, value in arguments.items() if name != SETTINGS}
    with (
        noting_failure(plan.layout, plan.title),
        clear_disk_errors(plan) as check_folder,
        _stage_run(plan, settings, plan.title, check_folder) as run,
    ):
        compute(run, **own)
        run.discard_provisional()
    finished = plan.find()
    if finished is None:
        raise IncompleteArtifactError(
            f"{stage.name} ended without completing all of {', '.join(plan.outputs)}; this is an error in the stage"
        )
    logger.info("%s: done in %.1f s", plan.title, run.recorder.seconds)
    return finished


@dataclass
class StageRun:
    """What a stage's computation works with: its plan, its execution, and ways to open and commit."""

    plan: StagePlan
    execution: Execution
    recorder: StageRecorder
    check_folder: Callable[[], None]

    def __post_init__(self) -> None:
        self.layout: Layout = self.plan.layout
        self.digest = self.plan.digest
        self._upstream: dict[str, dict[str, Any]] = {}
        self._provisional: list[Path] = []

    def open(self, reference: ArtifactRef, level: int = 0) -> StoredArray:
        """Open an input array, or a coarser level of it, and take over its history."""
        group = reference.path.removeprefix(f"{VOLUME}/").rpartition("/")[0]
        stored = open_array(self.layout, group, level, digest=reference.digest)
        finest = stored if level == 0 else open_array(self.layout, group, digest=reference.digest)
        self._inherit(finest.history)
        return stored

    def table(self, path: str, digest: str) -> pd.DataFrame:
        """Read an input table and take over its history."""
        frame = read_table(self.layout, path, digest=digest)
        self._inherit(table_history(self.layout, path))
        return frame

    def writer(
        self,
        group: str,
        content: Content,
        shape: Sequence[int],
        dtype: DTypeLike,
        spacing_nm: SpacingNm,
        **options: Any,
    ) -> ArrayWriter:
        """Start or continue an output array; options are those of `array_spec`."""
        spec = array_spec(group, content, shape, dtype, spacing_nm, **options)
        return ArrayWriter(self.layout, spec, self.digest)

    def provisional(
        self, name: str, shape: Sequence[int], dtype: DTypeLike, spacing_nm: SpacingNm, **options: Any
    ) -> ArrayWriter:
        """Start or continue an array that nobody but this stage reads; it goes when the stage is done."""
        layout = Layout(self.layout.provisional(name))
        self._provisional.append(layout.folder)
        spec = array_spec(name, "label", shape, dtype, spacing_nm, **options)
        return ArrayWriter(layout, spec, self.digest)

    def discard_provisional(self) -> None:
        """Delete the stage's provisional arrays."""
        for folder in self._provisional:
            discard(self.layout, folder)

    def finish(self, writer: ArrayWriter, **details: Any) -> ArtifactRef:
        """Build the pyramid of a fully written array and complete it."""
        self.check_folder()
        return finish_multiscale(writer, self.execution, self.history, **details)

    def write_table(self, path: str, frame: pd.DataFrame) -> ArtifactRef:
        """Write an output table."""
        self.check_folder()
        return write_table(self.layout, path, frame, self.digest, self.history)

    def write_document(self, name: str, document: Mapping[str, Any]) -> ArtifactRef:
        """Write an output JSON document."""
        self.check_folder()
        path = self.layout.path(name)
        return write_document(self.layout, path, {**document, "history": self.history}, self.digest)

    def ledger(self, name: str) -> Ledger:
        """Finished pieces of this stage that are no blocks of an array, such as slice pairs."""
        return Ledger(self.layout.ledger(name), self.digest)

    @property
    def artifact_key(self) -> str:
        """Key of the artifacts that show this stage's quality in the Prefect UI."""
        return f"{self.plan.folder.name} {self.plan.title}"

    @property
    def history(self) -> list[dict[str, Any]]:
        """History of the outputs: that of the inputs, and this stage."""
        entry = history_entry(
            self.plan.stage.name,
            self.plan.stage.version,
            {name: _jsonable(value) for name, value in self.plan.parameters.items()},
            self.plan.inputs,
            self.execution.device,
            self.recorder.elapsed_s,
            self.recorder.peak_memory_bytes,
        )
        return [*self._upstream.values(), entry]

    def _inherit(self, entries: Sequence[dict[str, Any]]) -> None:
        """Take over entries of inputs; of one run of a stage, whose outputs were written one by one, the last counts."""
        for entry in entries:
            known = self._upstream.get(_run_of(entry))
            if known is None or entry["seconds"] > known["seconds"]:
                self._upstream[_run_of(entry)] = entry


def array_spec(
    group: str,
    content: Content,
    shape: Sequence[int],
    dtype: DTypeLike,
    spacing_nm: SpacingNm,
    *,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    by_slice: bool = False,
    block: int = LARGEST_CUBE,
) -> ArraySpec:
    """Describe an array in files of one slice, or of cubes that fill the stage's blocks of side `block`."""
    chunks, shards = slice_shards(shape) if by_slice else cube_shards(shape, gcd(block, LARGEST_CUBE))
    return ArraySpec(group, content, tuple(shape), np.dtype(dtype), chunks, shards, spacing_nm, origin_nm)


@contextmanager
def _stage_run(
    plan: StagePlan, settings: ExecutionSettings, title: str, check_folder: Callable[[], None]
) -> Iterator[StageRun]:
    deadline = time.monotonic() + settings.stage_timeout_s if settings.stage_timeout_s else None
    with (
        gpu_slot(plan.stage.gpu_library, settings.device),
        open_executor(settings) as executor,
        report_progress(title) as progress,
        StageRecorder() as recorder,
    ):

        def note(done: int, total: int) -> None:
            check_folder()
            progress(done, total)

        execution = Execution(
            resolve_device(plan.stage.gpu_library, settings.device),
            executor,
            settings.worker_count,
            deadline,
            note,
        )
        yield StageRun(plan, execution, recorder, check_folder)


def _run_of(entry: Mapping[str, Any]) -> str:
    return canonical_json({name: entry[name] for name in ("stage", "version", "parameters", "inputs")})


def _jsonable(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
