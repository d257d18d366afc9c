"""The digest of a source: by the content of its files, read once."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import textured, write_slices

from spherovem_core.errors import NoSlicesError
from spherovem_core.ingest import source_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_slices(tmp_path / "run", textured((2, 400, 500)))


def change_a_byte(path: Path, place: int) -> None:
    """Change one byte; size and times stay as they are."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_moved_copied_and_touched_files_keep_the_digest(folder: Path, tmp_path: Path) -> None:
    digest = source_digest(folder)
    os.utime(folder / "slice_0001.tif", ns=(1, 1))
    assert source_digest(folder) == digest
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert source_digest(tmp_path / "copy") == digest
    shutil.move(folder, tmp_path / "elsewhere")
    assert source_digest(tmp_path / "elsewhere") == digest


@pytest.mark.parametrize("place", [0, 100_000, -1])
def test_a_changed_byte_changes_the_digest(folder: Path, place: int) -> None:
    digest = source_digest(folder)
    change_a_byte(folder / "slice_0001.tif", place)
    assert source_digest(folder) != digest


def test_names_and_the_description_are_part_of_the_digest(folder: Path) -> None:
    digests = {source_digest(folder)}
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, 10, 10]}')
    digests.add(source_digest(folder))
    (folder / "slice_0001.tif").rename(folder / "slice_0002.tif")
    digests.add(source_digest(folder))
    assert len(digests) == 3
    for name in ("._slice_0001.tif", "log.txt"):
        (folder / name).write_bytes(b"no slice")
    assert source_digest(folder) in digests


def test_unchanged_files_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def record(file: Any, algorithm: str) -> Any:
        read.append(Path(file.name).name)
        return digest_of_file(file, algorithm)

    digest_of_file = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", record)
    known: dict[str, Any] = {}
    digest = source_digest(folder, known)
    assert sorted(read) == sorted(known) == ["slice_0000.tif", "slice_0001.tif"]
    assert source_digest(folder) == source_digest(folder, known) == digest
    assert len(read) == 2
    change_a_byte(folder / "slice_0001.tif", -1)
    changed = source_digest(folder, known)
    assert changed != digest
    assert read[2:] == ["slice_0001.tif"]


def test_digests_known_from_an_earlier_process_are_taken(folder: Path) -> None:
    known: dict[str, Any] = {}
    digest = source_digest(folder, known)
    assert source_digest(folder, json.loads(json.dumps(known))) == digest
    known["slice_0001.tif"]["digest"] = "of another process"
    assert source_digest(folder, known) != digest
    os.utime(folder / "slice_0001.tif", ns=(1, 1))
    assert source_digest(folder, known) == digest


def test_a_folder_without_slices_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(NoSlicesError, match="the folder holds no file"):
        source_digest(tmp_path)
