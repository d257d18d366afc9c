"""Hostile and damaged acquisitions in the landing folder: each is rejected by name, and none stops the others."""

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tifffile
from ingest_samples import textured
from landing_scenes import SMALL, Scene, write_acquisition

from deployments.landing import decisions
from deployments.landing.retries import request_retry

DESCRIPTIONS = {
    "a_nested": "[" * 200_000,
    "b_nested_object": '{"a":' * 100_000,
    "c_infinite": '{"spacing_nm": [1e400, 10, 10]}',
    "d_huge": '{"spacing_nm": [1e308, 1e308, 1e308]}',
    "e_digits": '{"spacing_nm": [' + "9" * 5000 + ", 10, 10]}",
    "f_twice": '{"spacing_nm": [50, 10, 10], "spacing_nm": [1, 1, 1]}',
    "g_not_utf8": b'\xff\xfe{"spacing_nm": [50, 10, 10]}',
    "h_series": '{"spacing_nm": [50, 10, 10], "series": "../x"}',
    "i_files": '{"spacing_nm": [50, 10, 10], "files": ["../secret.tif"]}',
}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_hostile_descriptions_are_rejected_and_the_sound_one_is_processed(scene: Scene) -> None:
    for name, text in DESCRIPTIONS.items():
        folder = write_acquisition(scene.landing / name)
        (folder / "acquisition.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    write_acquisition(scene.landing / "z_sound")
    result = scene.settle()
    assert (result.handed_over, result.failed) == (["z_sound"], {})
    for name in DESCRIPTIONS:
        assert len(scene.rejected(name)["message"]) < 2000


def test_a_looping_file_is_rejected(scene: Scene) -> None:
    folder = write_acquisition(scene.landing / "loop")
    for path in folder.glob("*.tif"):
        path.unlink()
    path = folder / "stack.tif"
    tifffile.imwrite(path, textured(SMALL), metadata=None, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first, second = tif.pages[0].offset, tif.pages[1].offset
    (entries,) = struct.unpack("<H", data[second : second + 2])
    place = second + 2 + 12 * entries
    data[place : place + 4] = struct.pack("<I", first)
    path.write_bytes(data)
    write_acquisition(scene.landing / "sound", seed=1)
    assert scene.settle().handed_over == ["sound"]
    assert "damaged, its list of images runs in a circle" in scene.rejected("loop")["message"]


DEEP = "[" * 200_000
BREAKING = {
    "a_zarr": {"zarr.json": DEEP},
    "b_attributes.zarr": {"zarr.json": '{"zarr_format": 3, "node_type": "group", "attributes": ' + DEEP},
    "c_old.zarr": {".zgroup": '{"zarr_format": 2}', ".zattrs": DEEP},
    "d_array.zarr": {".zarray": DEEP},
    "e_n5.n5": {"attributes.json": DEEP},
    "f_precomputed": {"info": DEEP},
}


def test_files_that_break_a_reader_are_rejected_and_the_watcher_goes_on(scene: Scene) -> None:
    for name, files in BREAKING.items():
        (scene.landing / name).mkdir()
        for file, text in files.items():
            (scene.landing / name / file).write_text(text)
    with nested_folders(scene.landing / "g_deep.zarr", 1500):
        write_acquisition(scene.landing / "z_sound")
        result = scene.settle()
        assert (result.handed_over, result.failed) == (["z_sound"], {})
        rejected = sorted(path.parent.name for path in scene.results_root.glob("*/REJECTED.json"))
        assert [name[0] for name in rejected] == list("abcdefg")
        scene.restart()
        assert scene.scan(10.0).failed == {}


@contextmanager
def nested_folders(folder: Path, depth: int) -> Iterator[None]:
    """Nest folders too deep for a function that calls itself, in what looks like a zarr volume; remove them afterwards."""
    folder.mkdir()
    (folder / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    place = os.open(folder, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=place)
        inner = os.open("a", os.O_DIRECTORY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    try:
        yield
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)  # shutil.rmtree calls itself, too


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RecursionError("deep"), MemoryError()])
def test_any_error_of_a_source_rejects_it_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    check = decisions.check_acquisition

    def check_with_a_bug(candidate, *others):  # type: ignore[no-untyped-def]
        if candidate.name == "a":
            raise error
        return check(candidate, *others)

    monkeypatch.setattr(decisions, "check_acquisition", check_with_a_bug)
    write_acquisition(scene.landing / "a")
    write_acquisition(scene.landing / "b", seed=1)
    result = scene.settle()
    assert (result.handed_over, result.failed) == (["b"], {})
    assert type(error).__name__ in scene.rejected("a")["message"]
    monkeypatch.undo()
    # What broke a reader is read again on request, such as after an update.
    request_retry(scene.results_root, "a")
    assert scene.scan(10.0).handed_over == ["a"]
