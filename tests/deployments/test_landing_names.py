"""Names of acquisitions: unusual characters, links, and one name at two places."""

import os
import shutil
from pathlib import Path

import pytest
import tifffile
from ingest_samples import textured
from landing_scenes import SMALL, Scene, write_acquisition

from deployments.landing.records import STATE_FOLDER
from deployments.landing.retries import request_retry


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize(
    "name", ["with space", "ümläut 球", "quote'\"s", "a..b", "-rf", "$(id)", "100%", "a;b&c"]
)
def test_unusual_names_are_kept_as_they_are(name: str, scene: Scene) -> None:
    write_acquisition(scene.landing / name)
    assert scene.settle().handed_over == [name]
    (scene.landing / name / "slice_0001.tif").unlink()
    scene.settle()
    assert scene.rejected(name)["name"] == name


def test_a_hidden_folder_is_ignored(scene: Scene) -> None:
    write_acquisition(scene.landing / "..x")
    result = scene.settle()
    assert (result.handed_over, result.waiting) == ([], 0)


@pytest.mark.parametrize("name", [b"back\\slash", b"line\nbreak", b"bell\x07", b"latin-\xe9", b"x" * 220])
def test_a_name_unusable_for_a_results_folder_is_rejected(
    name: bytes, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = scene.landing / os.fsdecode(name)
    write_acquisition(folder)
    scene.settle()
    scene.restart()
    scene.settle()
    (message,) = scene.server.messages
    assert "rename it" in message
    (place,) = [path for path in scene.results_root.iterdir() if path.name != STATE_FOLDER]
    assert (place / "REJECTED.json").is_file()
    folder.rename(scene.landing / "plain")
    assert scene.settle().handed_over == ["plain"]
    assert "landed" in caplog.text
    caplog.text.encode()


def test_links_to_inside_the_landing_folder_are_followed(scene: Scene) -> None:
    write_acquisition(scene.landing / "session" / "one")
    (scene.landing / "one").symlink_to(scene.landing / "session" / "one")
    scene.settle()
    assert scene.server.run_names == ["one"]


def test_second_acquisition_of_a_name_is_rejected(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "left", "right")
    left, right = scene.landings
    write_acquisition(left / "a", seed=0)
    write_acquisition(right / "a", seed=1)
    scene.settle()
    assert [landed.source for landed in scene.server.runs.values()] == [str(left / "a")]
    (message,) = scene.server.messages
    assert message.startswith(f"{left / 'a'} has the name a already; two acquisitions cannot share")
    assert not (scene.results_root / "a").exists(), "the results folder of the first was touched"
    (right / "a").rename(right / "b")
    scene.settle()
    assert scene.server.run_names == ["a", "b"]


def test_file_with_the_name_of_a_folder_is_rejected(scene: Scene) -> None:
    write_acquisition(scene.landing / "a", seed=0)
    shutil.copy(scene.landing / "a" / "acquisition.json", scene.landing)
    tifffile.imwrite(
        scene.landing / "a.tif", textured(SMALL, seed=1), photometric="minisblack", metadata=None
    )
    scene.settle()
    assert scene.server.run_names == ["a"]
    assert len(scene.server.messages) == 1


def test_a_name_is_free_when_source_and_results_are_removed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "left", "right")
    left, right = scene.landings
    write_acquisition(left / "a", seed=0)
    scene.settle()
    (scene.results_root / "a").mkdir()
    shutil.rmtree(left / "a")
    write_acquisition(right / "a", seed=1)
    scene.settle()
    assert "no longer there but has results" in scene.server.messages[0]
    (scene.results_root / "a").rmdir()
    request_retry(scene.results_root, "a")
    scene.settle()
    assert [landed.source for landed in scene.server.runs.values()] == [str(left / "a"), str(right / "a")]


def test_a_copy_in_another_landing_folder_is_ignored(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "left", "right")
    left, right = scene.landings
    write_acquisition(left / "a")
    scene.settle()
    shutil.copytree(left / "a", right / "a")
    scene.settle()
    assert (len(scene.server.runs), len(scene.server.reports)) == (1, 0)


def test_an_acquisition_moved_to_another_landing_folder_keeps_its_name(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "left", "right")
    left, right = scene.landings
    write_acquisition(left / "a", seed=0)
    scene.settle()
    (scene.results_root / "a").mkdir()
    (left / "a").rename(right / "a")
    scene.settle()
    assert (len(scene.server.runs), len(scene.server.reports)) == (1, 0)
    write_acquisition(right / "a", seed=1)
    scene.settle()
    assert (len(scene.server.runs), len(scene.server.reports)) == (2, 0)
