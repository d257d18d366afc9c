"""Prefect tasks of the pipeline's steps: cached, retryable and locked, one for each step of the registry."""

from collections.abc import Mapping
from typing import Any

from prefect import Task, task

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters, StageParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.registry import PIPELINE
from spherovem_core.workflow import Pipeline, StepPlan
from tasks.policies import step_policy
from tasks.running import run_step as compute

StepTask = Task[..., ArtifactRef | None]


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
    ) -> ArtifactRef | None:
        plan: StepPlan[Any] = StepPlan(pipeline, step, acquisition, region, parameters, external, inputs)
        return compute(plan, execution)

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
