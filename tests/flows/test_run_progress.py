"""Progress of a whole run: share of the expected time, and the time left by what the steps took so far."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows import run_progress
from flows.run_progress import RunProgress
from spherovem_core.forecast.forecast import Forecast, ForecastRow

ROWS = [("ingest", 10.0), ("flows cells", 60.0), ("output", 30.0)]


def progress_of(rows: list[tuple[str, float | None]]) -> RunProgress:
    found = tuple(ForecastRow(title, 0, 0, seconds) for title, seconds in rows)
    return RunProgress("one", Forecast(found, 0, 0, "rates"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Percentages and descriptions that were published."""
    made: list[tuple[float, str]] = []
    monkeypatch.setattr(run_progress, "publish", lambda create, *arguments: made.append(arguments))
    return made


def test_it_shows_the_time_left_from_the_first_step_on(sent: list[tuple[float, str]]) -> None:
    progress = progress_of(list(ROWS))
    progress.begin("ingest")
    progress.end("ingest", 20.0)
    progress.begin("registration")
    progress.end("registration", 0.1)
    progress.begin("flows cells")
    progress.end("flows cells", 120.0)
    progress.begin("output")
    progress.end("output", 9.0)
    assert sent == [
        (0.0, "one: ingest, step 1 of 3, about 1 min 40 s left"),
        # Everything took twice as long as foreseen so far.
        (10.0, "one: flows cells, step 2 of 3, about 3 min 00 s left"),
        (70.0, "one: output, step 3 of 3, about 1 min 00 s left"),
        (100.0, "one: all 3 steps computed"),
    ]


def test_a_step_that_was_never_measured_leaves_the_time_open(sent: list[tuple[float, str]]) -> None:
    progress = progress_of([("ingest", None), ("output", None)])
    progress.begin("ingest")
    progress.end("ingest", 5.0)
    progress.begin("output")
    assert sent == [
        (0.0, "one: ingest, step 1 of 2, time left not known yet"),
        (50.0, "one: output, step 2 of 2, time left not known yet"),
    ]


def test_a_run_with_nothing_to_compute_shows_nothing(sent: list[tuple[float, str]]) -> None:
    progress = progress_of([])
    progress.begin("ingest")
    progress.end("ingest", 0.0)
    assert sent == []


def test_the_expected_end_is_noted_for_status(sent: list[tuple[float, str]], tmp_path: Path) -> None:
    note = tmp_path / "expected_end.json"
    note.write_text("of an earlier run")
    found = tuple(ForecastRow(title, 0, 0, seconds) for title, seconds in ROWS)
    progress = RunProgress("one", Forecast(found, 0, 0, "rates"), note)
    assert not note.exists()
    progress.begin("ingest")
    noted = json.loads(note.read_text())
    left = datetime.fromisoformat(noted["end"]) - datetime.now().astimezone()
    assert noted["step"] == "ingest"
    assert timedelta(seconds=95) < left <= timedelta(seconds=100)
    rows = tuple(ForecastRow(title, 0, 0, None) for title, _ in ROWS)
    RunProgress("one", Forecast(rows, 0, 0, "rates"), note).begin("ingest")
    assert json.loads(note.read_text()) == {"step": "ingest", "end": None}
