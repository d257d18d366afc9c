"""Progress and other artifacts in the UI: published in a run, and never a reason for a step to fail."""

import time
from typing import Any

import pytest
from prefect import artifacts as prefect_artifacts
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from tasks import artifacts, progress

pytestmark = pytest.mark.usefixtures("prefect_server")


def in_a_task(body: Any) -> None:
    @task
    def work() -> None:
        body()

    @flow
    def run() -> None:
        work()

    run()


def test_progress_updates_one_artifact_up_to_100_percent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, float]] = []
    monkeypatch.setattr(
        prefect_artifacts,
        "create_progress_artifact",
        lambda progress, description: sent.append(("create", progress)) or "made",
    )
    monkeypatch.setattr(
        prefect_artifacts,
        "update_progress_artifact",
        lambda artifact, progress, description: sent.append((artifact, progress)),
    )

    def body() -> None:
        with progress.report_progress("step", update_s=0.05) as note:
            for done in range(1, 41):
                note(done, 40)
                time.sleep(0.01)

    in_a_task(body)
    assert sent[0][0] == "create"
    assert {name for name, _ in sent[1:]} == {"made"}
    assert sent[-1][1] == 100
    assert len(sent) < 15


def test_a_step_is_shown_before_its_first_part_is_done_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[float, str]] = []

    def keep(*_: Any, progress: float, description: str) -> str:
        sent.append((progress, description))
        return "made"

    monkeypatch.setattr(prefect_artifacts, "create_progress_artifact", keep)
    monkeypatch.setattr(prefect_artifacts, "update_progress_artifact", keep)

    def body() -> None:
        with progress.report_progress("step", update_s=0.02) as note:
            while not sent:
                time.sleep(0.01)
            for done in range(1, 21):
                note(done, 40)
                time.sleep(0.02)

    in_a_task(body)
    assert sent[0] == (0.0, "step: begun, no part done yet")
    assert all(text.startswith("step: ") for _, text in sent)
    assert sent[-1][1].endswith(" left")


def test_a_short_step_publishes_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prefect_artifacts, "create_progress_artifact", lambda **_: pytest.fail("published for a short step")
    )

    def body() -> None:
        with progress.report_progress("step", update_s=60) as note:
            note(1, 1)

    in_a_task(body)


def test_a_server_that_refuses_artifacts_fails_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no server")

    for name in ("create_progress_artifact", "create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(prefect_artifacts, name, refuse)

    def body() -> None:
        with progress.report_progress("step", update_s=0.01) as note:
            note(1, 2)
            time.sleep(0.1)
        artifacts.show_figures("key", {"a": 1.0}, "figures")
        artifacts.show_markdown("key", "text", "text")

    in_a_task(body)


def test_nothing_is_published_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prefect_artifacts, "create_table_artifact", lambda *_: pytest.fail("published outside a run")
    )
    artifacts.show_figures("key", {"a": 1.0}, "figures")


def test_figures_are_stored_under_a_key_that_prefect_accepts() -> None:
    in_a_task(lambda: artifacts.show_figures("Sphäroid 3: ingest", {"slices": 64, "mean": 1 / 3}, "figures"))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["sph-roid-3-ingest"]))
        )
    assert len(found) == 1
    assert "0.3333" in str(found[0].data)
