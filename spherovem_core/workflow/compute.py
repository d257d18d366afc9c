"""Computation of a planned step: check the disk, compute, commit, check the outputs."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import Execution, ExecutionSettings, Progress
from spherovem_core.references import ArtifactRef
from spherovem_core.store import StepRecorder
from spherovem_core.workflow.disk_errors import clear_disk_errors
from spherovem_core.workflow.plan import StepPlan
from spherovem_core.workflow.run import StepRun
from spherovem_core.workflow.step import Quality

logger = logging.getLogger(__name__)


def compute_step(
    plan: StepPlan[Any],
    settings: ExecutionSettings,
    executor: Executor | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[ArtifactRef, Quality]:
    """Compute a step and commit its outputs.

    Parameters
    ----------
    plan
        Plan of the step; `plan.find()` returns its result if it is complete on disk.
    settings
        Workers, time limit and blocks.
    executor
        Maps blocks; None computes them one after another.
    device
        ``cpu`` or ``cuda:n``.
    progress
        Called with (done, total) between blocks.

    Returns
    -------
    ArtifactRef
        Reference to the main output.
    Quality
        Figures for people.

    Raises
    ------
    StoreNotWritableError
        If the disk is full or refuses to be written, or the results folder was removed during the step.
    IncompleteArtifactError
        If the step left one of its outputs out.
    """
    plan.layout.ensure_writable()
    deadline = None if settings.stage_timeout_s is None else time.monotonic() + settings.stage_timeout_s
    with clear_disk_errors(plan) as check_folder, StepRecorder() as recorder:
        execution = Execution(
            device,
            executor,
            settings.worker_count,
            deadline,
            _checking(check_folder, progress),
            settings.block_voxels,
            settings.block_halo_voxels,
        )
        run = StepRun(plan, execution, recorder, check_folder)
        quality = plan.step.compute(run)
        run.discard_provisional()
    finished = plan.find()
    if finished is None:
        raise IncompleteArtifactError(
            f"step {plan.step.name} ended without completing all of "
            f"{', '.join(output.path for output in plan.step.outputs)}; this is an error in the step"
        )
    logger.info("%s: done in %.1f s", plan.step.title, recorder.seconds)
    return finished, quality


def _checking(check_folder: Callable[[], None], progress: Progress | None) -> Progress:
    """Return a progress function that first makes sure that the results folder is still there."""

    def report(done: int, total: int) -> None:
        check_folder()
        if progress is not None:
            progress(done, total)

    return report
