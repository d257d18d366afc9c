"""When an acquisition is ready, and that each content of it is handed over once; a clock that the test sets."""

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


def test_still_for_long_enough_is_handed_over_once(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    assert scene.look().next_at == scene.now + SETTLE_S
    assert scene.look(SETTLE_S - 1).waiting == 1
    assert scene.server.runs == {}
    assert scene.look(1).handed_over == ["a"]
    for _ in range(3):
        scene.start_again()
        assert scene.look(SETTLE_S).handed_over == []
    (landed,) = scene.server.runs.values()
    assert landed.key == f"a:{landed.fingerprint}:1"
    assert landed.source == str(scene.landing / "a")


def test_each_change_starts_the_waiting_anew(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    content = (folder / "slice_0002.tif").read_bytes()
    for share in (0.25, 0.5, 0.75, 1.0):
        (folder / "slice_0002.tif").write_bytes(content[: int(share * len(content))])
        assert scene.look(SETTLE_S - 1).waiting == 1
    os.utime(folder / "slice_0000.tif", ns=(1, 1))
    assert scene.look(SETTLE_S - 1).waiting == 1
    assert scene.look(SETTLE_S).handed_over == ["a"]


def test_waiting_survives_the_watcher_and_a_clock_set_back(scene: Scene) -> None:
    write_acquisition(scene.landing / "a")
    scene.look()
    scene.start_again()
    assert scene.look(SETTLE_S).handed_over == ["a"]
    write_acquisition(scene.landing / "b")
    scene.look()
    scene.now -= 1_000_000
    assert scene.look().waiting == 1
    assert scene.look(SETTLE_S).handed_over == ["b"]


def test_a_sentinel_calls_once(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    (folder / "COMPLETE").touch()
    scene.look()
    assert scene.look(5).handed_over == ["a"]
    write_acquisition(folder, seed=1)
    scene.look()
    assert scene.look(5).handed_over == []
    assert scene.look(SETTLE_S).handed_over == ["a"]
    write_acquisition(folder, seed=2)
    (folder / "COMPLETE").unlink()
    (folder / "COMPLETE").touch()
    scene.look()
    assert scene.look(5).handed_over == ["a"]
    assert len({landed.fingerprint for landed in scene.server.runs.values()}) == 3


def test_a_sentinel_that_comes_before_the_last_slice(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    last = (folder / "slice_0002.tif").rename(folder.parent.parent / "slice_0002.tif")
    (folder / "COMPLETE").touch()
    scene.look()
    scene.look(4)
    last.rename(folder / "slice_0002.tif")
    assert scene.look(4).handed_over == []
    assert scene.look(5).handed_over == ["a"]
    assert len(scene.server.runs) == 1


def test_only_the_sentinel(tmp_path: Path) -> None:
    scene = Scene(tmp_path, sentinel_only=True, sentinel="fertig ü")
    folder = write_acquisition(scene.landing / "a")
    scene.look()
    assert scene.look(100 * SETTLE_S).handed_over == []
    (folder / "fertig ü").touch()
    assert scene.look().handed_over == ["a"]


def test_one_file_with_its_sentinel_and_description_beside_it(scene: Scene) -> None:
    write_acquisition(scene.landing / "description")
    (scene.landing / "description" / "acquisition.json").rename(scene.landing / "acquisition.json")
    shutil.rmtree(scene.landing / "description")
    stack = scene.landing / "stack one.tif"
    tifffile.imwrite(stack, textured(SMALL), photometric="minisblack", metadata=None)
    (scene.landing / "stack one.tif.COMPLETE").touch()
    (scene.landing / "notes.txt").write_text("nothing")
    (scene.landing / ".stack two.tif.a1B2c3").write_bytes(b"half")
    scene.look()
    assert scene.look(5).handed_over == ["stack one"]
    assert next(iter(scene.server.runs.values())).source == str(stack)
    assert scene.settle().waiting == 0


def test_the_same_content_landed_twice_is_one_acquisition(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    shutil.rmtree(folder)
    scene.look()
    write_acquisition(folder)
    os.utime(folder / "slice_0000.tif", ns=(1, 1))
    assert scene.settle().handed_over == []
    assert len(scene.server.runs) == 1


def test_other_content_is_another_attempt(scene: Scene) -> None:
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


def test_removed_while_waiting_is_forgotten(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.look()
    shutil.rmtree(folder)
    assert scene.look(SETTLE_S).waiting == 0
    assert list(scene.scanner.records) == []
    assert scene.server.runs == {}


def test_renamed_is_an_acquisition_of_its_own(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    folder.rename(scene.landing / "b")
    scene.settle()
    assert scene.server.run_names == ["a", "b"]
