"""Runs and events that the watcher sends to a Prefect server, and its errors."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from landing_scenes import landing_settings
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.events.filters import EventFilter, EventResourceFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_servers import free_port

from deployments.landing.announcements import NoDeploymentError, ServerUnavailableError
from deployments.landing.prefect_announcer import PrefectAnnouncer
from deployments.landing.records import LandedAcquisition, Rejection
from deployments.landing.rules import LandingRules

LANDED = LandedAcquisition(name='über "x" 1', source="/data/a", fingerprint="f", attempt=1)
BROKEN = Rejection(
    name="b",
    source="/data/b",
    fingerprint="f",
    attempt=1,
    folder="/results/b",
    error="BadSlicesError",
    message="slice_0001.tif: truncated",
    rejected_at="2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def announcer(prefect_server: None, tmp_path: Path) -> Iterator[PrefectAnnouncer]:
    from flows.process_acquisition import process_acquisition

    process_acquisition.to_deployment("test-of-the-watcher").apply()
    chosen = landing_settings(tmp_path, deployment="process-acquisition/test-of-the-watcher")
    with PrefectAnnouncer(LandingRules.from_settings(chosen)) as announcer:
        yield announcer


def events_of(resource: str, count: int) -> list[Any]:
    """Wait until the server has `count` events about a resource, and return them."""
    wanted = EventFilter(resource=EventResourceFilter(id=[resource]))
    with get_client(sync_client=True) as client:
        for _ in range(150):
            found = client.read_events(wanted, limit=50).events
            if len(found) >= count:
                return list(found)
            time.sleep(0.2)
    raise AssertionError(f"the server has no {count} events about {resource}")


def test_a_run_is_started_once_per_attempt(announcer: PrefectAnnouncer, tmp_path: Path) -> None:
    number = announcer.start_run(LANDED, tmp_path / "landing")
    assert announcer.start_run(LANDED, tmp_path / "landing") == number
    again = LANDED.model_copy(update={"attempt": 2})
    assert announcer.start_run(again, tmp_path / "landing") != number
    keys = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[LANDED.key, again.key]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=keys)
    assert len(runs) == 2
    parameters = runs[0].parameters
    assert parameters["acquisition"] == {
        "name": LANDED.name,
        "source": "/data/a",
        "results_root": str(tmp_path / "results"),
    }
    assert parameters["parameters"]["segmentation"]["cells"]["network"] == "phantom-compact"
    first, _ = sorted(
        events_of("spherovem.acquisition.%C3%BCber%20%22x%22%201", 2),
        key=lambda event: event.payload["attempt"],
    )
    assert first.event == "spherovem.acquisition.landed"
    assert first.payload["idempotency_key"] == LANDED.key
    assert first.payload["flow_parameters"] == parameters


def test_a_rejection_is_reported_until_the_server_has_stored_it(announcer: PrefectAnnouncer) -> None:
    assert not announcer.report_rejection(BROKEN)
    deadline = time.monotonic() + 60
    while not announcer.report_rejection(BROKEN):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (event,) = events_of("spherovem.acquisition.b", 1)
    assert event.event == "spherovem.acquisition.rejected"
    assert event.payload["message"] == BROKEN.message


def test_a_missing_deployment_names_the_remedy(prefect_server: None, tmp_path: Path) -> None:
    rules = LandingRules.from_settings(landing_settings(tmp_path, deployment="process-acquisition/absent"))
    expected = "no deployment process-acquisition/absent: run spherovem setup"
    with PrefectAnnouncer(rules) as announcer, pytest.raises(NoDeploymentError, match=expected):
        announcer.start_run(LANDED, tmp_path / "landing")


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    rules = LandingRules.from_settings(landing_settings(tmp_path))
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
        PrefectAnnouncer(rules) as announcer,
    ):
        with pytest.raises(ServerUnavailableError, match="does not answer"):
            announcer.start_run(LANDED, tmp_path / "landing")
        with pytest.raises(ServerUnavailableError, match="does not answer"):
            announcer.report_rejection(BROKEN)
