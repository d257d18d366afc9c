"""Overview of what has landed, as the Prefect UI shows it."""

import json
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pytest
from landing_scenes import SETTLE_S, RecordingPage, Scene, write_acquisition, write_truncated
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from deployments.landing.overview import PAUSE_S, ROWS, LandingOverview, overview
from deployments.landing.overview_artifact import OverviewArtifact
from tasks.artifacts import artifact_key

UI = RecordingPage().ui_url


def rows(text: str) -> dict[str, list[str]]:
    """Read the table: the cells of each acquisition."""
    found = {}
    for line in text.splitlines()[4:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split(" | ")]
        found[cells[0]] = cells[1:]
    return found


def test_each_state_is_shown_with_what_to_do(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    forms = {scene.landing: "1234"}
    write_acquisition(scene.landing / "done")
    write_acquisition(scene.landing / "again")
    write_truncated(scene.landing / "broken")
    scene.settle()
    write_acquisition(scene.landing / "again", seed=7)
    scene.settle()
    scene.server.is_down = True
    write_acquisition(scene.landing / "valid_1")
    scene.settle()
    write_acquisition(scene.landing / "fresh")
    scene.scan()
    text = overview(scene.scanner.records, scene.rules, UI, forms)
    assert text.startswith(
        f"Landed for `{scene.results_root}`: 1 settling, 1 rejected, 1 valid, 2 handed over."
    )
    table = rows(text)
    assert list(table) == ["fresh", "broken", "valid\\_1", "again", "done"]
    assert table["fresh"][1].startswith("settling until ")
    assert table["broken"] == [table["broken"][0], "rejected"]
    assert "\n- broken: Repair these files or acquire them again" in text
    assert table["valid\\_1"][1] == "valid: its run is started when the server answers"
    assert table["again"][1] == "handed over, landed again: its old results stay until then"
    run, form = table["done"][0].split("[form](")
    assert run.startswith(f"[run]({UI}/runs/flow-run/")
    address = form.removesuffix(")")
    assert address.startswith(f"{UI}/deployments/deployment/1234/run?parameters=")
    place = json.loads(unquote(unquote(address.partition("parameters=")[2])))["acquisition"]
    assert place == {
        "name": "done",
        "source": str(scene.landing / "done"),
        "results_root": str(scene.results_root),
    }


def test_a_hostile_name_is_text_in_one_cell(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    write_acquisition(scene.landing / "a|b [x](javascript:1) <b>")
    scene.scan()
    text = overview(scene.scanner.records, scene.rules, UI, {})
    assert "a\\|b \\[x\\](javascript:1) \\<b\\>" in text
    assert len(text.splitlines()) == 5


def test_the_table_is_bounded(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    record = None
    write_acquisition(scene.landing / "a")
    scene.settle()
    (record,) = scene.scanner.records
    records = [record.changed(source=f"/land/{number}", name=str(number)) for number in range(ROWS + 7)]
    text = overview(records, scene.rules, UI, {})
    assert "Not in this table: 7 handed over." in text
    assert len(rows(text)) == ROWS
    waiting = [each.changed(judged="") for each in records]
    text = overview(waiting, scene.rules, UI, {})
    assert "Not in this table: 7 settling." in text, "it said that they were handed over"


def test_it_is_shown_once_per_change_and_not_too_often(tmp_path: Path) -> None:
    scene, page, now = Scene(tmp_path), RecordingPage(), [0.0]
    shown = LandingOverview(scene.rules, page, lambda: now[0])
    page.is_down = True
    shown.show(scene.scanner.records)
    page.is_down = False
    for _ in range(3):
        shown.show(scene.scanner.records)
    write_acquisition(scene.landing / "a")
    scene.scan(SETTLE_S)
    shown.show(scene.scanner.records)
    assert len(page.texts) == 1
    now[0] += PAUSE_S
    for _ in range(3):
        shown.show(scene.scanner.records)
    assert len(page.texts) == 2


@pytest.mark.usefixtures("prefect_server")
def test_the_artifact_is_made_once_and_then_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, events = Scene(tmp_path), []
    monkeypatch.setattr("prefect.events.utilities.emit_event", lambda event, **_: events.append(event))
    with get_client(sync_client=True) as client:
        page = OverviewArtifact(client, scene.rules)
        assert page.show("first")
        assert page.show("second")
        key = artifact_key(f"landing {scene.rules.results_root}")
        own = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = client.read_artifacts(artifact_filter=own)
        assert [(each.type, each.data) for each in found] == [("markdown", "second")]
        client.delete_artifact(found[0].id)
        assert page.show("third"), "the server lost it"
        found = client.read_artifacts(artifact_filter=own)
        assert [each.data for each in found] == ["third"]
    assert "prefect.artifact.updated" not in events, "each change stored its whole text once more"


@pytest.mark.usefixtures("prefect_server")
def test_forms_are_found_when_the_set_up_comes_after_the_watcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, found = Scene(tmp_path, "left", "right"), uuid4()
    answers: dict[str, object] = {}
    with get_client(sync_client=True) as client:
        page = OverviewArtifact(client, scene.rules)
        asked: list[str] = []

        def find(name: str) -> object:
            asked.append(name)
            return answers.get(name)

        monkeypatch.setattr(page, "_find", find)
        assert page.forms == {}
        answers["process-acquisition/ad-hoc"] = found
        assert page.forms == {}, "asked again at once"
        monkeypatch.setattr(page, "_search_at", 0.0)
        assert page.forms == dict.fromkeys(scene.landings, str(found))
        assert page.forms == dict.fromkeys(scene.landings, str(found))
    assert len(asked) == 2
