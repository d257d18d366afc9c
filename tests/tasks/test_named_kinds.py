"""Pipelines with further kinds of objects: order of the steps, and a task for each."""

from pathlib import Path

import pytest

from spherovem_core.errors import LabelsError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE, pipeline_for, pipeline_of_results
from spherovem_core.workflow import RunRequest, plan_step
from tasks.steps import arguments_of, step_task

PARAMETERS = PipelineParameters.model_validate(
    {"segmentation": {"others": {"vacuoles": "/v.tif", "mitochondria": "/m.tif"}}}
)


def test_named_kinds_have_steps_in_three_stages_and_tasks(tmp_path: Path) -> None:
    pipeline = pipeline_for(PARAMETERS)
    added = [step.name for step in pipeline.steps if step.name not in PIPELINE]
    kinds = ("mitochondria", "vacuoles")
    assert added == [
        *(f"labels_{kind}" for kind in kinds),
        *(f"shape_{kind}" for kind in kinds),
        *(f"spatial_{kind}" for kind in kinds),
    ]
    assert pipeline.steps[-1].name == "output"
    assert pipeline_for(PipelineParameters()) is PIPELINE
    request = RunRequest(Acquisition(name="a", source=tmp_path, results_root=tmp_path), PARAMETERS)
    done = {}
    for step in pipeline.steps:
        plan = plan_step(pipeline, step, request, {}, done)
        done[step.name] = plan.expected
        assert step_task(step.name, pipeline).name == step.name
        assert set(arguments_of(plan, ExecutionSettings())) >= {"parameters", "inputs"}
    digests = {
        plan_step(pipeline, pipeline.step(f"labels_{kind}"), request, {}, done).digest for kind in kinds
    }
    assert len(digests) == 2


def test_a_missing_file_of_a_named_kind_is_found_first(tmp_path: Path) -> None:
    request = RunRequest(Acquisition(name="a", source=tmp_path, results_root=tmp_path), PARAMETERS)
    with pytest.raises(LabelsError, match=r"/v\.tif do not exist"):
        pipeline_for(PARAMETERS).step("labels_vacuoles").external(request)


def test_results_without_provenance_have_the_usual_pipeline(tmp_path: Path) -> None:
    assert pipeline_of_results(tmp_path) is PIPELINE
