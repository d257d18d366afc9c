"""Run the steps of the pipeline one after another, without Prefect."""

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import pipeline_for
from spherovem_core.store import Layout
from spherovem_core.store.format import mark_format
from spherovem_core.workflow import RunRequest, plan_step
from spherovem_core.workflow.compute import compute_step

SETTINGS = ExecutionSettings(device="cpu", workers=1, block_voxels=128, block_halo_voxels=16)


def run_steps(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    settings: ExecutionSettings = SETTINGS,
    until: str = "output",
) -> list[str]:
    """Run all steps up to one, and return the names of those that were computed."""
    request = RunRequest(acquisition, parameters)
    layout, pipeline = Layout(acquisition.folder), pipeline_for(parameters)
    external = {step.name: step.external(request) for step in pipeline.steps}
    layout.ensure_writable()
    mark_format(layout)
    for step in pipeline.steps:
        if step.check is not None:
            step.check(request, external[step.name])
    done: dict[str, ArtifactRef] = {}
    computed = []
    for step in pipeline.steps:
        plan = plan_step(pipeline, step, request, external[step.name], done)
        found = plan.find()
        if found is None:
            found, _ = compute_step(plan, settings)
            computed.append(step.name)
        done[step.name] = found
        if step.name == until:
            break
    return computed
