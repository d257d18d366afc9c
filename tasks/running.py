"""Run a step, within a Prefect task or without Prefect."""

import logging
import random
import time
from typing import Any
from uuid import uuid4

from spherovem_core.execution import ExecutionSettings, open_executor
from spherovem_core.references import ArtifactRef
from spherovem_core.store import noting_failure
from spherovem_core.store.kept_parts import DiscardedPartError
from spherovem_core.workflow import Quality, StepPlan
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import discard_provisional
from tasks.artifacts import is_in_a_run, show_figures, show_markdown
from tasks.devices import gpu_slot, resolve_device
from tasks.locks import acquisition_locks
from tasks.pictures import show_middle_slice
from tasks.progress import report_progress
from tasks.retries import FIRST_DELAY_S, JITTER, RETRIES, may_pass

logger = logging.getLogger(__name__)


def run_step(plan: StepPlan[Any], execution: ExecutionSettings) -> ArtifactRef | None:
    """Compute a step unless its outputs are complete on disk, and show its quality.

    Returns
    -------
    ArtifactRef or None
        None, and nothing is shown, where the step reads a discarded input that has to be computed first.
    """
    finished = plan.find()
    if finished is not None:
        discard_provisional(plan)
        logger.info("%s: complete on disk", plan.step.title)
        return finished
    plan.layout.ensure_writable()
    library = plan.step.gpu_library(plan.parameters)
    with (
        noting_failure(plan.layout, plan.step.title),
        gpu_slot(library, execution.device),
        open_executor(execution) as executor,
        report_progress(plan.step.title) as progress,
    ):
        device = resolve_device(library, execution.device)
        try:
            reference, quality = compute_step(plan, execution, executor, device, progress)
        except DiscardedPartError:
            return None
        _show(plan, quality)
    return reference


def run_step_without_prefect(plan: StepPlan[Any], execution: ExecutionSettings) -> ArtifactRef | None:
    """Run a step in this process as its Prefect task does: under the lock of its result, and again after a fault that may pass.

    It leaves no record, which only saves Prefect a look at the disk.
    """
    locks, holder = acquisition_locks(plan.acquisition), uuid4().hex
    locks.acquire_lock(plan.key, holder)
    try:
        for turn in range(RETRIES):
            try:
                return run_step(plan, execution)
            except Exception as error:
                if not may_pass(error):
                    raise
                delay = FIRST_DELAY_S * 2**turn * (1 + JITTER * random.random())
                logger.warning("%s failed (%s); again in %.0f s", plan.step.title, error, delay)
            time.sleep(delay)
        return run_step(plan, execution)
    finally:
        locks.release_lock(plan.key, holder)


def _show(plan: StepPlan[Any], quality: Quality) -> None:
    """Show the quality of a step as artifacts in the Prefect UI."""
    if not is_in_a_run():
        return
    key = f"{plan.folder.name} {plan.step.title}"
    if quality.figures:
        show_figures(key, quality.figures, quality.description)
    if quality.markdown:
        show_markdown(key, quality.markdown, quality.description)
    if quality.picture is not None:
        reference = plan.expected.model_copy(update={"path": quality.picture.path})
        show_middle_slice(key, reference, plan.layout, quality.picture_description)
