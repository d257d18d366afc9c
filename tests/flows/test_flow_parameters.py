"""Partial parameters of the flow: from a call, or from a deployment's run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from tiny_acquisition import States
from tiny_pipeline import TINY

from flows import pipeline
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.overrides import merge
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition

pytestmark = pytest.mark.usefixtures("prefect_server")

RIGID: dict[str, Any] = {"registration": {"model": "rigid"}}


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[PipelineParameters]:
    """Record the arguments of the pipeline, which does not run."""
    seen: list[PipelineParameters] = []

    def note(acquisition: Acquisition, parameters: PipelineParameters, *rest: Any) -> dict[str, Any]:
        seen.append(parameters)
        return {}

    monkeypatch.setattr(pipeline, "run_pipeline", note)
    return seen


@pytest.fixture
def deployed() -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """Make a run of a deployment with parameters of its own, as ``prefect deployment run -p`` does."""

    def make(defaults: dict[str, Any], given: dict[str, Any]) -> Any:
        deployment = process_acquisition.to_deployment("test", parameters={"parameters": defaults})
        identity = deployment.apply()
        with get_client(sync_client=True) as client:
            return client.create_flow_run_from_deployment(identity, parameters=given)

    return make


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"name": "one", "source": str(tmp_path / "source"), "results_root": str(tmp_path / "results")}


def test_a_run_of_a_deployment_keeps_all_other_defaults(
    received: list[PipelineParameters], deployed: Callable[..., Any], place: dict[str, str]
) -> None:
    defaults = {"segmentation": {"cells": {"network": "mine.pt"}}, "registration": {"levels": 3}}
    flow_run = deployed(defaults, {"acquisition": place, "parameters": RIGID})
    run_flow(process_acquisition, flow_run=flow_run, parameters=flow_run.parameters)
    (own,) = received
    assert (own.registration.model, own.registration.levels) == ("rigid", 3)
    assert own.segmentation.cells.network == "mine.pt"
    assert (own.segmentation.cells.min_diameter_um, own.segmentation.nuclei.min_diameter_um) == (2.0, 1.0)
    daily = PipelineParameters()
    assert own.denoising == daily.denoising
    assert own.registration.model_copy(update={"model": "affine", "levels": 4}) == daily.registration


def test_a_run_without_parameters_has_those_of_the_deployment(
    received: list[PipelineParameters], deployed: Callable[..., Any], place: dict[str, str]
) -> None:
    flow_run = deployed(RIGID, {"acquisition": place})
    run_flow(process_acquisition, flow_run=flow_run, parameters=flow_run.parameters)
    assert received == [PipelineParameters.model_validate(RIGID)]


def test_a_call_may_give_a_part(received: list[PipelineParameters], place: dict[str, str]) -> None:
    process_acquisition(place, RIGID)
    assert received == [PipelineParameters.model_validate(RIGID)]


def test_the_server_refuses_an_unknown_parameter(
    received: list[PipelineParameters], deployed: Callable[..., Any], place: dict[str, str]
) -> None:
    for wrong in ({"modle": "rigid"}, {"model": "elastic"}, {"levels": 99}):
        with pytest.raises(PrefectHTTPStatusError, match="409"):
            deployed({}, {"acquisition": place, "parameters": {"registration": wrong}})
    assert received == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"registration": {"modle": "rigid"}}, "parameters.registration.modle"),
        ({"registration": {"levels": 99}}, "parameters.registration.levels"),
    ],
)
def test_a_bad_parameter_ends_the_run_before_its_first_stage(
    place: dict[str, str], wrong: dict[str, Any], said: str
) -> None:
    state = process_acquisition(place, wrong, return_state=True)
    assert state.is_failed()
    assert said in state.message
    assert not Path(place["results_root"]).exists()


def test_parameters_that_contradict_each_other_end_the_run_before_its_first_stage(
    finished: Acquisition, task_states: States, tmp_path: Path
) -> None:
    copy = finished.model_copy(update={"results_root": tmp_path})
    shutil.copytree(finished.folder, copy.folder)
    apart = merge(
        TINY, {"segmentation": {"cells": {"mask_spacing_nm": 30.0}, "nuclei": {"mask_spacing_nm": 50.0}}}
    )
    state = process_acquisition(copy, apart, ExecutionSettings(device="cpu"), return_state=True)
    assert state.is_failed()
    assert "cells.mask_spacing_nm is 30 and nuclei.mask_spacing_nm 50" in state.message
    assert task_states(state.state_details.flow_run_id, 0) == {}
