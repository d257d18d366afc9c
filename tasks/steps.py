"""Prefect tasks of the pipeline's steps: cached, retryable and locked, one for each step of the registry."""

import logging
from collections.abc import Mapping
from typing import Any

from prefect import Task, task

from spherovem_core.execution import ExecutionSettings, open_executor
from spherovem_core.parameters import PipelineParameters, StageParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.registry import PIPELINE
from spherovem_core.store import noting_failure
from spherovem_core.workflow import Pipeline, Quality, StepPlan
from spherovem_core.workflow.compute import compute_step
from tasks.artifacts import show_figures, show_markdown
from tasks.devices import gpu_slot, resolve_device
from tasks.pictures import show_middle_slice
from tasks.policies import step_policy
from tasks.progress import report_progress

logger = logging.getLogger(__name__)

StepTask = Task[..., ArtifactRef]


def step_task(name: str, pipeline: Pipeline = PIPELINE) -> StepTask:
    """Make the Prefect task of a step.

    Its arguments are those of a `StepPlan`: acquisition, own parameters, references to the steps that it reads from, digests of
    its inputs outside the results folder, region of interest; and the settings, which change no result.
    """
    step = pipeline.step(name)

    def plan_of(arguments: Mapping[str, Any]) -> StepPlan[Any]:
        return StepPlan(
            pipeline,
            step,
            arguments["acquisition"],
            arguments["region"],
            arguments["parameters"],
            arguments["external"],
            arguments["inputs"],
        )

    library = step.gpu_library(step.parameters(PipelineParameters()))

    @task(**step_policy(step.name, step.version, plan_of), tags=["cpu" if library is None else "gpu"])
    def run_step(
        acquisition: Acquisition,
        parameters: StageParameters,
        inputs: Mapping[str, ArtifactRef],
        external: Mapping[str, str],
        region: RegionOfInterest = WHOLE,
        execution: ExecutionSettings = ExecutionSettings(),
    ) -> ArtifactRef:
        plan: StepPlan[Any] = StepPlan(pipeline, step, acquisition, region, parameters, external, inputs)
        return _run(plan, execution)

    return run_step


def arguments_of(plan: StepPlan[Any], execution: ExecutionSettings) -> dict[str, Any]:
    """Return the arguments that a step's task takes for a plan."""
    return {
        "acquisition": plan.acquisition,
        "parameters": plan.parameters,
        "inputs": dict(plan.inputs),
        "external": dict(plan.external),
        "region": plan.region,
        "execution": execution,
    }


def _run(plan: StepPlan[Any], execution: ExecutionSettings) -> ArtifactRef:
    """Compute a step unless its outputs are complete on disk, and show its quality."""
    finished = plan.find()
    if finished is not None:
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
        reference, quality = compute_step(plan, execution, executor, device, progress)
        _show(plan, quality)
    return reference


def _show(plan: StepPlan[Any], quality: Quality) -> None:
    """Show the quality of a step as artifacts in the Prefect UI."""
    key = f"{plan.folder.name} {plan.step.title}"
    if quality.figures:
        show_figures(key, quality.figures, quality.description)
    if quality.markdown:
        show_markdown(key, quality.markdown, quality.description)
    if quality.picture is not None:
        reference = plan.expected.model_copy(update={"path": quality.picture.path})
        show_middle_slice(key, reference, plan.layout, quality.picture_description)
