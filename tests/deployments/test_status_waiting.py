"""``spherovem status`` shows what has landed and waits, and the watcher's log says once what it waits for."""

import json
import logging
from pathlib import Path

import pytest
from landing_scenes import SETTLE_S, Scene, write_acquisition

from deployments.command_line.main import main
from deployments.landing.waiting import waiting_acquisitions
from deployments.settings import Settings

SETTINGS = Settings(settle_seconds=SETTLE_S)


def states(scene: Scene, settings: Settings = SETTINGS) -> dict[str, str]:
    return {each.name: each.state for each in waiting_acquisitions(scene.results_root, settings)}


def test_an_acquisition_is_settling_then_valid_then_queued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path)
    assert waiting_acquisitions(tmp_path, SETTINGS) == []
    write_acquisition(scene.landing / "a")
    scene.scan()
    (settling,) = waiting_acquisitions(scene.results_root, SETTINGS)
    assert settling.state == "settling"
    assert settling.until is not None
    assert "not changed for 100 s" in settling.detail
    (marked,) = waiting_acquisitions(scene.results_root, Settings(sentinel_only=True))
    assert (marked.until, marked.detail) == (None, "waits for the file COMPLETE")

    scene.server.is_down = True
    scene.scan(SETTLE_S)
    assert states(scene) == {"a": "valid"}
    scene.server.is_down = False
    scene.scan(10.0)
    assert states(scene) == {"a": "queued"}

    assert main(["status", str(scene.results_root), "--json"]) == 0
    (waiting,) = json.loads(capsys.readouterr().out)["waiting"]
    assert (waiting["name"], waiting["state"]) == ("a", "queued")
    assert main(["status", str(scene.results_root)]) == 0
    assert "a worker takes its run" in capsys.readouterr().out

    write_acquisition(scene.landing / "a", seed=5)
    scene.scan(10.0)
    (again,) = waiting_acquisitions(scene.results_root, SETTINGS)
    assert (again.state, again.detail[:12]) == ("settling", "landed again")


def test_the_log_says_once_what_an_acquisition_waits_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    folder = write_acquisition(scene.landing / "a")
    with caplog.at_level(logging.INFO, "deployments"):
        for second in range(5):
            (folder / "slice_0000.tif").write_bytes(bytes(second))  # still growing
            scene.scan(10.0)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a: landed; checked when its files have not changed for 100 s"]
