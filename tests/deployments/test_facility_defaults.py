"""Settings of the facility in every deployment: a run that changes one field changes one field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.flow_engine import run_flow

from deployments.command_line.setup import Setup, prepare_server
from deployments.server.facility_defaults import is_facility
from deployments.settings import Settings
from flows import pipeline
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition

AD_HOC = "process-acquisition/ad-hoc"
SETUP = Setup()


@pytest.fixture
def client(prefect_server: None) -> Any:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def facility(tmp_path: Path) -> Settings:
    """Settings of a facility with a network, a parameters file, and one landing folder of two with a profile."""
    (tmp_path / "common.yaml").write_text(yaml.safe_dump({"registration": {"levels": 3}}))
    (tmp_path / "fast.yaml").write_text(yaml.safe_dump({"registration": {"levels": 2}}))
    for name in ("land", "land/fast", "land/slow", "results"):
        (tmp_path / name).mkdir()
    return Settings(
        network="mine.pt",
        device="cpu",
        parameters=tmp_path / "common.yaml",
        results_root=tmp_path / "results",
        landing_folders=(tmp_path / "land/fast", tmp_path / "land/slow"),
        profiles={tmp_path / "land/fast": tmp_path / "fast.yaml"},
    )


@pytest.mark.parametrize(
    "name", [name for name in ExecutionSettings.model_fields if name in Settings.model_fields]
)
def test_every_setting_that_a_deployment_holds_makes_a_set_up_register_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    others = {"device": "cpu", "executor": "processes", "storage": "full", "block_voxels": "128"}
    assert not is_facility(Settings())
    monkeypatch.setenv(f"SPHEROVEM_{name.upper()}", others.get(name, "32"))
    assert is_facility(Settings())


def outcomes(client: SyncPrefectClient, settings: Settings) -> dict[str, str]:
    return {
        change.name: change.outcome
        for change in prepare_server(client, SETUP, settings)
        if change.object_type == "deployment"
    }


def parameters_of(client: SyncPrefectClient, name: str) -> dict[str, Any]:
    return dict(client.read_deployment_by_name(name).parameters)


@pytest.mark.slow
def test_every_deployment_holds_the_settings_of_the_facility(
    client: SyncPrefectClient, facility: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = outcomes(client, facility)
    assert f"{AD_HOC} fast" in made
    root = str(facility.results_root)
    for name in ("process-acquisition/on-landing", AD_HOC):
        own = parameters_of(client, name)
        assert own["acquisition"] == {"results_root": root}
        assert own["parameters"]["segmentation"]["cells"]["network"] == "mine.pt"
        assert own["parameters"]["registration"]["levels"] == 3
        assert own["execution"]["device"] == "cpu"
        # The form sends what the deployment holds: all of it, not only what differs from the package's defaults.
        assert set(own["parameters"]) == set(PipelineParameters.model_fields)
    assert parameters_of(client, f"{AD_HOC} fast")["parameters"]["registration"]["levels"] == 2
    assert parameters_of(client, "process-backlog/backlog")["execution"]["device"] == "cpu"
    assert parameters_of(client, "correct-labels/correct-labels")["results_root"] == root
    assert (
        parameters_of(client, "finetune-segmentation/finetune-segmentation")["execution"]["device"] == "cpu"
    )

    parameters, execution = received(
        client, monkeypatch, {"registration": {"model": "rigid"}}, {"workers": 2}
    )
    expected = PipelineParameters.model_validate(parameters_of(client, AD_HOC)["parameters"])
    registration = expected.registration.model_copy(update={"model": "rigid"})
    assert parameters == expected.model_copy(update={"registration": registration})
    assert execution == facility.execution(workers=2)

    # From a shell without the facility's settings nothing is reset; with them, what is obsolete goes.
    assert set(outcomes(client, Settings()).values()) == {"unchanged"}
    again = outcomes(client, facility.model_copy(update={"profiles": {}}))
    assert again.pop(f"{AD_HOC} fast") == "removed"
    assert set(again.values()) == {"unchanged"}


def received(
    client: SyncPrefectClient,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, Any],
    execution: dict[str, Any],
) -> tuple[PipelineParameters, ExecutionSettings]:
    """Start a run by hand that gives these parts alone; return what the pipeline gets."""
    seen: list[tuple[PipelineParameters, ExecutionSettings]] = []

    def note(
        acquisition: Acquisition, parameters: PipelineParameters, execution: ExecutionSettings, *rest: Any
    ) -> dict[str, Any]:
        seen.append((parameters, execution))
        return {}

    monkeypatch.setattr(pipeline, "run_pipeline", note)
    place = {"name": "one", "source": "/nowhere", "results_root": "/nowhere/results"}
    flow_run = client.create_flow_run_from_deployment(
        client.read_deployment_by_name(AD_HOC).id,
        parameters={"acquisition": place, "parameters": parameters, "execution": execution},
    )
    run_flow(process_acquisition, flow_run=flow_run, parameters=flow_run.parameters)
    return seen[0]
