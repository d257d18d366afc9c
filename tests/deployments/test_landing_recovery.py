"""Failures of server, watcher and records: no acquisition is lost, none is processed twice."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import truncate
from landing_scenes import SETTLE_S, SMALL, Scene, write_acquisition, write_truncated

from deployments.landing import decisions
from deployments.landing.records import STATE_FOLDER, Record
from deployments.landing.retries import request_retry
from spherovem_core.errors import ParameterError


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_acquisitions_are_handed_over_when_the_server_is_back(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deployments.landing")
    for name in "abc":
        write_acquisition(scene.landing / name)
    write_truncated(scene.landing / "d")
    scene.server.is_down = True
    scene.settle()
    assert set(scene.scan(60).failed) >= set("abcd")
    assert scene.rejected("d")["name"] == "d"
    assert sum("does not answer" in record.message for record in caplog.records) == 1
    scene.restart()
    scene.server.is_down = False
    assert scene.scan().handed_over == ["a", "b", "c"]
    scene.scan()
    assert (len(scene.server.runs), len(scene.server.reports)) == (3, 1)
    assert scene.scan().failed == {}


def test_a_missing_deployment_is_logged_once_and_rejections_are_still_reported(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        write_acquisition(scene.landing / name)
    write_truncated(scene.landing / "d")
    scene.server.has_no_deployment = True
    assert set(scene.settle().failed) == set("abc")
    assert sum("has no deployment" in record.message for record in caplog.records) == 1
    assert len(scene.server.reports) == 1
    scene.server.has_no_deployment = False
    assert scene.scan().handed_over == ["a", "b", "c"]


def test_content_changed_while_the_server_is_down_is_handed_over_once(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a", seed=0)
    scene.server.is_down = True
    scene.settle()
    write_acquisition(folder, seed=1)
    scene.scan()
    scene.server.is_down = False
    assert scene.scan(1).handed_over == [], "handed over before the settle time"
    scene.settle()
    (landed,) = scene.server.runs.values()
    write_acquisition(folder, seed=0)
    scene.settle()
    assert len(scene.server.runs) == 2
    assert landed.fingerprint != list(scene.server.runs.values())[1].fingerprint


def test_content_broken_and_repaired_while_the_server_is_down_is_handed_over(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.server.is_down = True
    scene.settle()
    whole = (folder / "slice_0001.tif").read_bytes()
    truncate(folder / "slice_0001.tif")
    scene.settle()
    (folder / "slice_0001.tif").write_bytes(whole)
    scene.settle()
    scene.server.is_down = False
    scene.settle()
    assert (len(scene.server.runs), len(scene.server.reports)) == (1, 1)
    assert not (scene.results_root / "a" / "REJECTED.json").exists()


def test_a_refused_acquisition_does_not_stop_the_others(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    write_acquisition(scene.landing / "a")
    write_truncated(scene.landing / "b")
    scene.server.refuses = "no such deployment"
    scene.settle()
    scene.scan()
    assert sum("a: no such deployment" in record.message for record in caplog.records) == 1
    scene.server.refuses = ""
    assert scene.scan().handed_over == ["a"]


def test_a_kill_before_the_handing_over_is_recorded_starts_no_second_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_acquisition(scene.landing / "a")
    scene.scan()
    keep = type(scene.scanner.records).keep

    def killed(self: Any, record: Record) -> Record:
        if record.flow_run:
            raise KeyboardInterrupt
        return keep(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(type(scene.scanner.records), "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            scene.scan(SETTLE_S)
    write_acquisition(scene.landing / "a")  # the same content again, with other times
    scene.restart()
    scene.settle()
    assert len(scene.server.runs) == 1
    assert next(iter(scene.scanner.records)).due is None


def test_lost_or_damaged_records_start_no_second_run(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    write_truncated(scene.landing / "b")
    scene.settle()
    for path in (scene.results_root / STATE_FOLDER / "records").glob("a@*.json"):
        path.write_text('{"half')
        path.with_name(f".{path.name}.0123").write_text("{")
    for path in (scene.results_root / STATE_FOLDER / "records").glob("b@*.json"):
        path.unlink()
    scene.restart()
    scene.settle()
    assert (len(scene.server.runs), len(scene.server.reports)) == (1, 1)
    assert not list((scene.results_root / STATE_FOLDER / "records").glob(".*"))


def test_a_landing_folder_may_disappear_and_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deployments.landing")
    scene = Scene(tmp_path, "left", "right")
    left, right = scene.landings
    write_acquisition(left / "a")
    scene.settle()
    left.rename(tmp_path / "unmounted")
    write_acquisition(right / "b")
    scene.settle()
    assert sum("cannot be read" in record.message for record in caplog.records) == 1
    (tmp_path / "unmounted").rename(left)
    scene.settle()
    assert scene.server.run_names == ["a", "b"]
    assert sum("can be read again" in record.message for record in caplog.records) == 1


def test_a_retry_starts_another_attempt(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    write_truncated(scene.landing / "b")
    scene.settle()
    request_retry(scene.results_root, "a")
    request_retry(scene.results_root, "b")
    scene.settle()
    scene.settle()
    assert [landed.attempt for landed in scene.server.runs.values()] == [1, 2]
    assert [rejection.attempt for rejection in scene.server.reports.values()] == [1, 2]
    with pytest.raises(ParameterError, match="did you mean 'a'"):
        request_retry(scene.results_root, "a1")


def test_a_profile_overrides_the_common_parameters_of_its_landing_folder(tmp_path: Path) -> None:
    common, fast = tmp_path / "common.yaml", tmp_path / "fast.yaml"
    common.write_text("registration: {levels: 2}\nsegmentation: {cells: {network: phantom-compact}}\n")
    fast.write_text("registration: {model: rigid}\n")
    scene = Scene(
        tmp_path, "left", "right", parameters=common, profiles={tmp_path / "right": fast}, workers=3
    )
    left, right = (
        scene.rules.flow_parameters("a", str(landing / "a"), landing) for landing in scene.landings
    )
    assert left["parameters"]["registration"]["levels"] == right["parameters"]["registration"]["levels"] == 2
    assert (
        right["parameters"]["registration"]["model"] == "rigid" != left["parameters"]["registration"]["model"]
    )
    assert left["parameters"]["segmentation"]["cells"]["network"] == "phantom-compact"
    assert left["execution"]["workers"] == 3
    write_acquisition(scene.landings[1] / "a")
    fast.write_text("registration: {model: bent}\n")
    assert "registration.model" in scene.settle().failed["a"]
    fast.write_text("registration: {model: rigid}\n")
    assert scene.scan().handed_over == ["a"]


def test_an_acquisition_changed_during_the_check_waits_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.scan()
    check = decisions.check_acquisition

    def slow(*arguments: Any) -> Any:
        verdict = check(*arguments)
        tifffile.imwrite(folder / "slice_0003.tif", np.ones(SMALL[1:], np.uint8), metadata=None)
        return verdict

    with monkeypatch.context() as patch:
        patch.setattr(decisions, "check_acquisition", slow)
        assert scene.scan(SETTLE_S).handed_over == []
    assert scene.settle().handed_over == ["a"]
