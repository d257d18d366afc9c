"""Rejections: reported once with their reasons, and processed when repaired."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import truncate
from landing_scenes import SETTLE_S, Scene, write_acquisition, write_truncated


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def empty(folder: Path) -> None:
    folder.mkdir()
    (folder / "COMPLETE").touch()


def no_slices(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("tomorrow")


def nested(folder: Path) -> None:
    write_acquisition(folder / "deeper")


def missing(folder: Path) -> None:
    (write_acquisition(folder) / "slice_0001.tif").unlink()


def no_spacing(folder: Path) -> None:
    (write_acquisition(folder) / "acquisition.json").unlink()


def one_slice(folder: Path) -> None:
    write_acquisition(folder)
    (folder / "slice_0000.tif").unlink()
    (folder / "slice_0001.tif").unlink()


def abandoned_copy(folder: Path) -> None:
    write_acquisition(folder)
    (folder / ".slice_0003.tif.x1Y2z3").write_bytes(b"II*")


def abandoned_upload(folder: Path) -> None:
    write_acquisition(folder)
    (folder / "slice_0003.tif.filepart").write_bytes(b"II*")


def slice_from_outside(folder: Path) -> None:
    write_acquisition(folder)
    outside = folder.parent.parent / "outside.tif"
    (folder / "slice_0001.tif").rename(outside)
    (folder / "slice_0001.tif").symlink_to(outside)


def folder_from_outside(folder: Path) -> None:
    folder.symlink_to(write_acquisition(folder.parent.parent / "outside"))


def loop(folder: Path) -> None:
    folder.symlink_to(folder.parent)


BROKEN = {
    empty: "no slice of a known format among its 1 files",
    no_slices: "no slice of a known format among its 1 files",
    nested: "but its subfolder deeper has some",
    write_truncated: "slice_0001.tif: truncated",
    missing: "missing: 1",
    no_spacing: "no voxel size",
    one_slice: "a single slice",
    abandoned_copy: "incomplete copy of slice_0003.tif",
    abandoned_upload: "incomplete copy of slice_0003.tif",
    slice_from_outside: "slice_0001.tif is a symbolic link that leads out",
    folder_from_outside: "a is a symbolic link that leads out",
    loop: "a is a symbolic link that leads out",
}


@pytest.mark.parametrize("make", BROKEN)
def test_an_invalid_acquisition_is_reported_once_and_processed_when_repaired(
    make: Any, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deployments.landing")
    folder = scene.landing / "a"
    make(folder)
    for _ in range(3):
        scene.settle()
        scene.restart()
    (message,) = scene.server.messages
    assert BROKEN[make] in message
    assert sum("rejected: " in record.message for record in caplog.records) == 1
    document = scene.rejected("a")
    assert document["source"] == str(folder)
    assert document["message"] == message
    assert document["reasons"]
    assert scene.server.runs == {}
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
    write_acquisition(folder)
    scene.settle()
    assert scene.server.run_names == ["a"]
    assert not (scene.results_root / "a").exists()
    make_again = scene.landing / "b"
    make(make_again)
    scene.settle()
    assert len(scene.server.reports) == 2


def test_rejection_lists_each_reason(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    truncate(folder / "slice_0001.tif")
    (folder / "acquisition.json").unlink()
    scene.settle()
    reasons = scene.rejected("a")["reasons"]
    assert len(reasons) == 2
    assert reasons[0].startswith("slice_0001.tif: truncated")


def test_the_same_problem_with_the_same_content_is_not_reported_again(scene: Scene) -> None:
    folder = scene.landing / "a"
    write_truncated(folder)
    scene.settle()
    shutil.rmtree(folder)
    scene.settle()
    write_truncated(folder)
    scene.settle()
    assert len(scene.server.reports) == 1
    (folder / "slice_0002.tif").unlink()
    scene.settle()
    assert len(scene.server.reports) == 2


def test_earlier_results_stay_beside_the_rejection(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "a")
    scene.settle()
    (scene.results_root / "a" / "tables").mkdir(parents=True)
    whole = (folder / "slice_0001.tif").read_bytes()
    truncate(folder / "slice_0001.tif")
    scene.settle()
    assert scene.rejected("a")["name"] == "a"
    (folder / "slice_0001.tif").write_bytes(whole)
    scene.settle()
    assert not (scene.results_root / "a" / "REJECTED.json").exists()
    assert (scene.results_root / "a" / "tables").exists()
    assert len(scene.server.runs) == 1, "the repaired content was processed before"


def test_an_empty_folder_waits_unreported(scene: Scene) -> None:
    (scene.landing / "a" / "deeper").mkdir(parents=True)
    scene.settle()
    assert scene.scan(100 * SETTLE_S).waiting == 1
    assert scene.server.reports == {}
    write_acquisition(scene.landing / "a")
    assert scene.settle().handed_over == ["a"]


def test_unreadable_files_and_folders_are_rejected_until_they_can_be_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_acquisition(scene.landing / "file")
    write_acquisition(scene.landing / "folder")
    refuse_to_read(monkeypatch, folder / "slice_0001.tif", scene.landing / "folder")
    scene.settle()
    assert sorted(scene.server.messages) == [
        "folder: folder cannot be read (Permission denied); give read permission",
        "slice_0001.tif cannot be read (Permission denied); give read permission",
    ]
    scene.settle()
    assert len(scene.server.reports) == 2
    monkeypatch.undo()
    (folder / "slice_0001.tif").chmod(0o640)
    assert scene.settle().handed_over == ["file", "folder"]


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    """Make opening of these places fail; permissions would not stop root."""
    scandir, opened = os.scandir, Path.open

    def refusing_scandir(path: Any) -> Any:
        if Path(path) in places:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def refusing_open(self: Path, *arguments: Any, **options: Any) -> Any:
        if self in places:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(os, "scandir", refusing_scandir)
    monkeypatch.setattr(Path, "open", refusing_open)


def test_a_read_error_is_rejected_only_after_the_settle_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_acquisition(scene.landing / "a")
    write_acquisition(scene.landing / "b")

    def fails(source: Path) -> str:
        raise OSError(5, "Input/output error", str(source))

    with monkeypatch.context() as patch:
        patch.setattr("deployments.landing.verdicts.content_fingerprint", fails)
        scene.scan()
        assert set(scene.scan(SETTLE_S).failed) == {"a", "b"}
    shutil.rmtree(scene.landing / "b")
    assert scene.scan(1).handed_over == ["a"]
    write_acquisition(scene.landing / "c")
    monkeypatch.setattr("deployments.landing.verdicts.content_fingerprint", fails)
    scene.scan()
    for _ in range(4):
        scene.scan(SETTLE_S)
    assert scene.server.messages == ["c cannot be read (Input/output error)"]
