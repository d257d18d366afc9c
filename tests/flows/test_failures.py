"""Failures of runs in the Prefect UI: state, log and artifact begin with the remedy, the traceback is folded away."""

import json
import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ingest_samples import SPACING_NM, textured, truncate, write_slices
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact
from prefect.flow_engine import run_flow

from flows import failures, pipeline
from flows.failures import failure_message, failure_text
from flows.process_acquisition import process_acquisition
from spherovem_core.errors import BadSlicesError, ParameterError

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    source = write_slices(tmp_path / "landing" / "one", textured((4, 32, 48)))
    (source / "acquisition.json").write_text(json.dumps({"spacing_nm": SPACING_NM}))
    return {"name": "one", "source": str(source), "results_root": str(tmp_path / "results")}


def run_of_deployment(place: dict[str, str], **parameters: Any) -> Any:
    """Run the flow as a worker does; return its final state."""
    compact = {"network": "phantom-compact"}
    given = {
        "acquisition": place,
        "parameters": {"segmentation": {"cells": compact, "nuclei": compact}},
        "execution": {"device": "cpu", "workers": 1},
        "stop_after": "ingest",
        **parameters,
    }
    identity = process_acquisition.to_deployment("failing").apply()
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(identity, parameters=given)
    run_flow(process_acquisition, flow_run=run, parameters=run.parameters, return_type="state")
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run.id).state


def artifacts_of(run: UUID) -> dict[str, Artifact]:
    with get_client(sync_client=True) as client:
        own = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
        return {str(found.key): found for found in client.read_artifacts(flow_run_filter=own)}


def test_a_failed_run_tells_the_remedy_first_and_folds_the_traceback_away(
    place: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    truncate(Path(place["source"]) / "slice_0001.tif")
    with caplog.at_level(logging.INFO):
        state = run_of_deployment(place)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message.startswith("Repair these files or acquire them again")
    assert "Found: one: slice_0001.tif: truncated" in state.message
    logged = [record for record in caplog.records if record.name == "prefect.flow_runs"]
    assert all(not record.exc_info for record in logged), "a traceback in the log of the run"
    assert any("The traceback is in the artifact failure-one." in record.getMessage() for record in logged)
    text = str(artifacts_of(state.state_details.flow_run_id)["failure-one"].data)
    assert text.startswith("### Repair these files or acquire them again")
    assert "**Found**: one: slice\\_0001.tif: truncated" in text
    assert "spherovem rerun" in text
    before, folded = text.split("<details><summary>Traceback</summary><pre>")
    assert "Traceback (most" not in before
    assert "BadSlicesError" in folded
    assert "\n\n" not in folded, "markdown would end the folded part there"
    assert folded.endswith("</pre></details>")


def test_a_run_that_ends_well_has_no_such_artifact(place: dict[str, str]) -> None:
    state = run_of_deployment(place)
    assert state.is_completed()
    assert "failure-one" not in artifacts_of(state.state_details.flow_run_id)


def test_an_unforeseen_error_says_what_to_report(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("a <b>bold</b> cause")

    monkeypatch.setattr(pipeline, "run_pipeline", broken)
    state = run_of_deployment(place)
    assert state.message.startswith("Retry the run once; if it fails again, report it")
    assert state.message.endswith("Found: ZeroDivisionError: a <b>bold</b> cause")
    text = str(artifacts_of(state.state_details.flow_run_id)["failure-one"].data)
    assert "<b>" not in text
    assert "&lt;b&gt;bold" in text


def test_an_error_of_the_telling_does_not_hide_the_error(
    place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr(pipeline, "run_pipeline", broken)
    monkeypatch.setattr(failures, "_ending", broken)
    filters = []
    for _ in range(2):
        state = run_of_deployment(place)
        assert state.message.endswith("Found: ZeroDivisionError: the cause")
        filters.append(len(logging.getLogger(failures.RUN_LOGGER).filters))
    assert filters[0] == filters[1], "each failure kept its error in memory"


def test_a_long_message_keeps_its_remedy() -> None:
    error = ParameterError(f"found {'x' * 1_000_000}; set it to 2")
    message = failure_message(error)
    assert message.startswith("Set it to 2. Found: found xxx")
    assert len(message) < 7_000
    assert len(failure_text(error, message, [])) < 60_000


def test_a_call_still_raises_the_error(place: dict[str, str]) -> None:
    truncate(Path(place["source"]) / "slice_0001.tif")
    with pytest.raises(BadSlicesError, match="truncated"):
        process_acquisition(place, {}, {"device": "cpu", "workers": 1}, stop_after="ingest")


def test_errors_of_memory_and_without_a_remedy() -> None:
    assert failure_message(MemoryError("9 GB")).startswith("Give the run more memory")
    plain = ParameterError("a is wrong")
    assert failure_message(plain) == "a is wrong"
    assert failure_text(plain, "a is wrong", []).startswith("### A is wrong\n\nThen *Retry*")
    found = failure_text(ParameterError("a is 3; set it to 2"), "", [])
    assert found.startswith("### Set it to 2\n\n**Found**: a is 3\n")


def test_the_step_of_a_failure_is_named() -> None:
    error = ParameterError("a is 3; set it to 2")
    error.add_note("step masks cells")
    assert "**Found** in step masks cells: a is 3" in failure_text(error, "", [])
