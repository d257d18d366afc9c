"""Prefect UI in a browser: the form of an ad-hoc run, and the artifacts and log of a run."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from chromium import Page, chromium
from ingest_samples import SPACING_NM, textured, write_slices
from landing_servers import set_up
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect_servers import PrefectServer, connected, running_server

from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition

pytestmark = pytest.mark.environment

TEXT = "document.body.innerText"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    home = tmp_path_factory.mktemp("ui") / "home"
    with running_server(home, with_ui=True) as server, connected(server):
        set_up(server)
        yield server


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        page.resize(1300, 1600)
        yield page


def test_the_form_of_an_ad_hoc_run_describes_each_parameter(
    server: PrefectServer, page: Page, tmp_path: Path
) -> None:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("process-acquisition/ad-hoc")
    page.open(f"{server.address}/deployments/deployment/{deployment.id}/run")
    page.wait_for(f"{TEXT}.includes('Epochs') && {TEXT}.includes('Results Root')", 60)
    page.screenshot(tmp_path / "form.png", whole=True)
    text = " ".join(str(page.evaluate(TEXT)).split())
    places = [
        text.index(f" {name} (Optional)") for name in ("start_at", "stop_after", "parameters", "execution")
    ]
    assert places == sorted(places)
    schema = PipelineParameters.model_json_schema()["$defs"]
    for model, name in (
        ("DenoisingParameters", "epochs"),
        ("RegistrationParameters", "levels"),
        ("NanoparticleParameters", "min_confidence"),
        ("ShapeParameters", "min_voxels"),
    ):
        description = schema[model]["properties"][name]["description"]
        assert " ".join(description.split()) in text, f"{model}.{name}"
    epochs = schema["DenoisingParameters"]["properties"]["epochs"]
    assert "[at least 1, at most " in epochs["description"]
    assert value_under(page, "Epochs") == str(epochs["default"])
    assert value_under(page, "Levels") == str(
        schema["RegistrationParameters"]["properties"]["levels"]["default"]
    )
    assert failures(page) == []


def failures(page: Page) -> list[str]:
    """List the errors on the page, without icons that Prefect's UI asks for and does not have."""
    return [error for error in page.errors if "/ico/" not in error and "favicon" not in error]


def value_under(page: Page, label: str) -> str:
    """Return the value of the first input below a label."""
    return str(
        page.evaluate(
            f"""(() => {{
              const names = [...document.querySelectorAll(".schema-form-property__label")];
              const name = names.find(n => n.innerText.trim().startsWith("{label}"));
              return name.closest(".schema-form-property").querySelector("input").value;
            }})()"""
        )
    )


def test_a_run_shows_its_artifacts_and_its_log(server: PrefectServer, page: Page, tmp_path: Path) -> None:
    run = process_small_acquisition(tmp_path)
    with get_client(sync_client=True) as client:
        found = client.read_artifacts()
        # Progress of a run has no key.
        artifacts = {artifact.key: artifact for artifact in found if artifact.key is not None}
    page.open(f"{server.address}/runs/flow-run/{run}?tab=Artifacts")
    shown = " && ".join(f"{TEXT}.includes('{key}')" for key in artifacts)
    open_tab(page, "Artifacts")
    page.wait_for(shown, 60)
    page.screenshot(tmp_path / "artifacts.png", whole=True)
    assert {"spheroid-ingest", "summary-spheroid"} <= set(artifacts)

    open_tab(page, "Logs")
    page.wait_for(f"{TEXT}.includes('ingest: done in')", 60)
    page.screenshot(tmp_path / "log.png", whole=True)

    page.open(f"{server.address}/artifacts/artifact/{artifacts['spheroid-ingest'].id}")
    page.wait_for(f"{TEXT}.includes('Slices as acquired')", 60)
    page.wait_for("document.querySelectorAll('table tr').length > 3", 30)
    page.screenshot(tmp_path / "table.png", whole=True)
    assert failures(page) == []


def test_a_failure_shows_the_remedy_and_folds_the_traceback_away(
    server: PrefectServer, page: Page, tmp_path: Path
) -> None:
    place = {"name": "lost", "source": str(tmp_path / "nowhere"), "results_root": str(tmp_path / "results")}
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("process-acquisition/ad-hoc")
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"acquisition": place})
        run_flow(process_acquisition, flow_run=run, parameters=run.parameters, return_type="state")
        (found,) = [each for each in client.read_artifacts() if each.key == "failure-lost"]
        state = client.read_flow_run(run.id).state
    assert state is not None
    assert str(state.message).startswith("Expected a folder of slices")
    page.open(f"{server.address}/artifacts/artifact/{found.id}")
    page.wait_for("Boolean(document.querySelector('details summary'))", 60)
    page.screenshot(tmp_path / "failure.png", whole=True)
    assert page.evaluate("document.querySelector('details').open") is False
    assert "SourceNotFoundError" in page.evaluate("document.querySelector('details pre').textContent")
    assert "Expected a folder of slices" in page.evaluate("document.querySelector('h3').innerText")


def process_small_acquisition(folder: Path) -> UUID:
    """Run the first stage on a small acquisition; return the flow run's id."""
    source = write_slices(folder / "landing" / "spheroid", textured((6, 64, 96)))
    (source / "acquisition.json").write_text(json.dumps({"spacing_nm": SPACING_NM}))
    compact = {"network": "phantom-compact"}
    process_acquisition(
        Acquisition(name="spheroid", source=source, results_root=folder / "results"),
        PipelineParameters.model_validate({"segmentation": {"cells": compact, "nuclei": compact}}),
        ExecutionSettings(device="cpu", workers=1),
        stop_after="ingest",
    )
    with get_client(sync_client=True) as client:
        (run,) = [run for run in client.read_flow_runs() if run.name == "spheroid"]
    return run.id


def open_tab(page: Page, name: str) -> None:
    """Click on a tab of a run's page."""
    found = f"[...document.querySelectorAll('button, a, li')].find(b => b.innerText.trim() === '{name}')"
    page.wait_for(f"Boolean({found})", 60)
    page.evaluate(f"{found}.click()")
