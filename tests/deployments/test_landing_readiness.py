"""Readiness of an acquisition, and one run per content, with a clock that the test sets."""

import os
import shutil
from pathlib import Path

import pytest
import tifffile
from ingest_samples import textured
from landing_scenes import SETTLE_S, SMALL, Scene, write_acquisition


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_acquisition_unchanged_for_the_settle_time_is_handed_over_once(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    assert scene.scan().next_at == scene.now + SETTLE_S
    assert scene.scan(SETTLE_S - 1).waiting == 1
    assert scene.server.runs == {}
    assert scene.scan(1).handed_over == ["a"]
    for _ in range(3):
        scene.restart()
        assert scene.scan(SETTLE_S).handed_over == []
    (landed,) = scene.server.runs.values()
    assert landed.key == f"a:{landed.fingerprint}:1"
    assert landed.source == str(scene.landing / "a")


def test_each_change_restarts_the_settle_time(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    content = (folder / "slice_0002.tif").read_bytes()
    for fraction in (0.25, 0.5, 0.75, 1.0):
        (folder / "slice_0002.tif").write_bytes(content[: int(fraction * len(content))])
        assert scene.scan(SETTLE_S - 1).waiting == 1
    os.utime(folder / "slice_0000.tif", ns=(1, 1))
    assert scene.scan(SETTLE_S - 1).waiting == 1
    assert scene.scan(SETTLE_S).handed_over == ["a"]


def test_settle_time_survives_a_restart_and_a_clock_set_back(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    scene.scan()
    scene.restart()
    assert scene.scan(SETTLE_S).handed_over == ["a"]
    write_acquisition(scene.landing / "b")
    scene.scan()
    scene.now -= 1_000_000
    assert scene.scan().waiting == 1
    assert scene.scan(SETTLE_S).handed_over == ["b"]


def test_a_sentinel_counts_once(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    (folder / "COMPLETE").touch()
    scene.scan()
    assert scene.scan(5).handed_over == ["a"]
    write_acquisition(folder, seed=1)
    scene.scan()
    assert scene.scan(5).handed_over == []
    assert scene.scan(SETTLE_S).handed_over == ["a"]
    write_acquisition(folder, seed=2)
    (folder / "COMPLETE").unlink()
    (folder / "COMPLETE").touch()
    scene.scan()
    assert scene.scan(5).handed_over == ["a"]
    assert len({landed.fingerprint for landed in scene.server.runs.values()}) == 3


def test_a_sentinel_before_the_last_slice_does_not_start_half_an_acquisition(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    last = (folder / "slice_0002.tif").rename(folder.parent.parent / "slice_0002.tif")
    (folder / "COMPLETE").touch()
    scene.scan()
    scene.scan(4)
    last.rename(folder / "slice_0002.tif")
    assert scene.scan(4).handed_over == []
    assert scene.scan(5).handed_over == ["a"]
    assert len(scene.server.runs) == 1


def test_sentinel_only_waits_for_the_sentinel(tmp_path: Path) -> None:
    scene = Scene(tmp_path, sentinel_only=True, sentinel="fertig ü")
    folder = write_acquisition(scene.landing / "a")
    scene.scan()
    assert scene.scan(100 * SETTLE_S).handed_over == []
    (folder / "fertig ü").touch()
    assert scene.scan().handed_over == ["a"]


def test_a_single_tiff_file_has_sentinel_and_description_beside_it(scene: Scene) -> None:
    write_acquisition(scene.landing / "description")
    (scene.landing / "description" / "acquisition.json").rename(scene.landing / "acquisition.json")
    shutil.rmtree(scene.landing / "description")
    stack = scene.landing / "stack one.tif"
    tifffile.imwrite(stack, textured(SMALL), photometric="minisblack", metadata=None)
    (scene.landing / "stack one.tif.COMPLETE").touch()
    (scene.landing / "notes.txt").write_text("nothing")
    (scene.landing / ".stack two.tif.a1B2c3").write_bytes(b"half")
    scene.scan()
    assert scene.scan(5).handed_over == ["stack one"]
    assert next(iter(scene.server.runs.values())).source == str(stack)
    assert scene.settle().waiting == 0


def test_the_same_content_landed_again_is_not_processed_again(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    shutil.rmtree(folder)
    scene.scan()
    write_acquisition(folder)
    os.utime(folder / "slice_0000.tif", ns=(1, 1))
    assert scene.settle().handed_over == []
    assert len(scene.server.runs) == 1


def test_changed_content_is_handed_over_again(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a", seed=0)
    scene.settle()
    write_acquisition(folder, seed=1)
    scene.settle()
    write_acquisition(folder, seed=0)
    scene.settle()
    attempts = [landed.attempt for landed in scene.server.runs.values()]
    fingerprints = [landed.fingerprint for landed in scene.server.runs.values()]
    assert attempts == [1, 1, 2]
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]


def test_an_acquisition_removed_while_waiting_is_forgotten(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.scan()
    shutil.rmtree(folder)
    assert scene.scan(SETTLE_S).waiting == 0
    assert list(scene.scanner.records) == []
    assert scene.server.runs == {}


def test_a_renamed_acquisition_is_a_new_one(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    folder.rename(scene.landing / "b")
    scene.settle()
    assert scene.server.run_names == ["a", "b"]
