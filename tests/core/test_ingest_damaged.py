"""Damaged and hostile files: a fault in bounded time and memory, whatever the bytes are."""

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from damaged_tiffs import GIVEN, damaged_outcomes, read_damaged
from ingest_samples import textured, write_slices

from spherovem_core.errors import AcquisitionError, BadSlicesError
from spherovem_core.ingest import open_stack, survey_stack
from spherovem_core.ingest.tiff.directories import follow_directories
from spherovem_core.ingest.tiff.ome import parse_ome
from spherovem_core.parameters import IngestParameters

MOST_BYTES = 4 * 2**20


def check_outcomes(seeds: range) -> None:
    """Memory: a few times the file, beside what libraries take for any file."""
    outcomes = list(damaged_outcomes(seeds))
    assert [outcome for outcome in outcomes if outcome.error] == []
    assert [outcome for outcome in outcomes if outcome.peak_bytes > MOST_BYTES + 8 * outcome.size] == []
    refused = sum(not outcome.accepted for outcome in outcomes)
    assert len(seeds) // 4 < refused < len(seeds)


def test_damaged_files_end_in_a_fault() -> None:
    check_outcomes(range(150))


@pytest.mark.parametrize("seed", [41, 961, 2407])
def test_damage_that_was_an_error_once_is_a_fault(seed: int) -> None:
    """A colour page of 50 MB, an image without columns, a file taken for one of a light microscope."""
    (outcome,) = damaged_outcomes(range(seed, seed + 1))
    assert (outcome.error, outcome.peak_bytes < MOST_BYTES) == ("", True)


@pytest.mark.slow
def test_many_damaged_files_end_in_a_fault() -> None:
    check_outcomes(range(10_000))


def directory_offsets(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as tif:
        return [page.offset for page in tif.pages]


def link_place(data: bytes, offset: int) -> int:
    """Return where a directory of a classic TIFF in this machine's byte order links to the next."""
    (entries,) = struct.unpack("<H", data[offset : offset + 2])
    return offset + 2 + 12 * entries


@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_chain_of_directories_that_runs_in_a_circle_is_a_fault(tmp_path: Path, target: int) -> None:
    path = tmp_path / "loop.tif"
    tifffile.imwrite(path, textured()[:5], metadata=None, photometric="minisblack")
    offsets = directory_offsets(path)
    data = bytearray(path.read_bytes())
    place = link_place(data, offsets[2])
    data[place : place + 4] = struct.pack("<I", offsets[target])
    path.write_bytes(data)
    for source in (path, tmp_path):
        with pytest.raises(BadSlicesError, match=r"loop\.tif: damaged, its list of images runs in a circle"):
            open_stack(source, GIVEN)
    assert open_stack_of_first_pages(path) == 3


def open_stack_of_first_pages(path: Path) -> int:
    return survey_stack(path, GIVEN).stack.shape[0]


def test_a_directory_that_refers_to_more_than_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, textured()[0], metadata=None, rowsperstrip=1)
    data = bytearray(path.read_bytes())
    (offset,) = directory_offsets(path)
    strip_offsets = next(
        offset + 2 + 12 * n for n in range(40) if data[offset + 2 + 12 * n :][:2] == struct.pack("<H", 273)
    )
    data[strip_offsets + 4 : strip_offsets + 8] = struct.pack("<I", 0x7FFFFFFF)
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(BadSlicesError, match="an image directory refers to 8589934588 bytes in a file of"):
        open_stack(path, GIVEN)
    assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    tracemalloc.stop()


def test_overlapping_directories_are_not_followed(tmp_path: Path) -> None:
    """A chain of directories that each begin two bytes further would have as many as the file has bytes."""
    path = tmp_path / "s.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 4000) + b"\x01\x00" * 40_000)
    with path.open("rb") as file:
        found = follow_directories(file)
    assert found.count <= 2
    with pytest.raises(BadSlicesError, match=r"s\.tif: "):
        open_stack(path, GIVEN)


@pytest.mark.parametrize(
    ("options", "old", "new"),
    [
        ({"imagej": True, "truncate": True}, b"images=7", b"images=999999999999"),
        ({"truncate": True}, b'{"shape": [7,', b'{"shape": [99999999999999,'),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, b'SizeZ="7"', b'SizeZ="999999999999"'),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, b'PlaneCount="7"', b'PlaneCount="99999999999"'),
    ],
)
def test_an_absurd_count_in_the_metadata_lists_no_slices(
    tmp_path: Path, options: dict[str, Any], old: bytes, new: bytes
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, textured(), **options)
    with tifffile.TiffFile(path) as tif:
        text = tif.pages[0].description.encode()
    assert old in text
    grown = text.replace(old, new)
    data = path.read_bytes()
    place = data.index(text)
    # The longer text goes to the end of the file, where the directory finds it.
    (offset,) = directory_offsets(path)[:1]
    entry = next(
        offset + 2 + 12 * n for n in range(40) if data[offset + 2 + 12 * n :][:2] == struct.pack("<H", 270)
    )
    fresh = bytearray(data) + grown + b"\0"
    fresh[entry + 4 : entry + 12] = struct.pack("<II", len(grown) + 1, len(data))
    assert place
    path.write_bytes(fresh)
    outcome = read_damaged(path, 0, len(fresh))
    assert (outcome.error, outcome.peak_bytes < MOST_BYTES) == ("", True)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "packbits", "zstd"])
def test_a_size_that_the_data_cannot_have_is_a_fault(tmp_path: Path, compression: str) -> None:
    folder = write_slices(tmp_path / "run", textured(), compression=compression)
    path = folder / "slice_0003.tif"
    data = bytearray(path.read_bytes())
    (offset,) = directory_offsets(path)
    for n in range(20):
        entry = offset + 2 + 12 * n
        if struct.unpack("<H", data[entry : entry + 2])[0] in (
            256,
            257,
            278,
        ):  # width, length, rows per strip
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 1_000_000)
    path.write_bytes(data)
    with pytest.raises(BadSlicesError, match=r"slice_0003\.tif: damaged, \d+ bytes of data cannot hold"):
        open_stack(folder, GIVEN)


def test_a_jpeg_stream_larger_than_its_strip_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "s_1.tif"
    tifffile.imwrite(path, textured()[0], compression="jpeg", metadata=None)
    data = bytearray(path.read_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)
    outcome = read_damaged(path, 0, len(data))
    assert (outcome.error, outcome.accepted, outcome.peak_bytes < MOST_BYTES) == ("", False, True)


def test_blank_slices_compress_as_far_as_they_do(tmp_path: Path) -> None:
    """The bound on expansion refuses no sound file."""
    blank = np.zeros((3000, 3000), np.uint16)
    for compression in ("deflate", "lzw", "packbits", "zstd", "jpeg2000"):
        path = tmp_path / f"{compression}_1.tif"
        tifffile.imwrite(path, blank, compression=compression, rowsperstrip=3000, metadata=None)
        assert not survey_stack(path, GIVEN).problems


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + ']><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeZ="7" Name="&i;"/></Image></OME>'
)


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ome.tif"
    tifffile.imwrite(path, textured(), description=BOMB, metadata=None, photometric="minisblack")
    assert parse_ome(BOMB) is None
    outcome = read_damaged(path, 0, path.stat().st_size)
    assert (outcome.error, outcome.peak_bytes < MOST_BYTES) == ("", True)


def test_deep_xml_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep.ome.tif"
    text = "<OME>" + "<Image>" * 20_000 + "</Image>" * 20_000 + "</OME>"
    tifffile.imwrite(path, textured(), description=text, metadata=None, photometric="minisblack")
    assert read_damaged(path, 0, 0).error == ""


HOSTILE = {
    "nested": "[" * 200_000,
    "nested object": '{"a":' * 100_000,
    "not that deep": '{"a":' * 200 + "1" + "}" * 200,
    "not a number": '{"spacing_nm": [NaN, 10, 10]}',
    "infinite": '{"spacing_nm": [1e400, 10, 10]}',
    "infinite elsewhere": '{"spacing_nm": [50, 10, 10], "tilt": -1e999}',
    "huge": '{"spacing_nm": [1e308, 1e308, 1e308]}',
    "tiny": '{"spacing_nm": [1e-300, 10, 10]}',
    "digits": '{"spacing_nm": [' + "9" * 5000 + ", 10, 10]}",
    "some digits": '{"spacing_nm": [' + "9" * 400 + ", 10, 10]}",
    "twice": '{"spacing_nm": [50, 10, 10], "spacing_nm": [1, 1, 1]}',
    "not UTF-8": b'\xff\xfe{"spacing_nm": [50, 10, 10]}',
    "wrong types": '{"spacing_nm": {"z": [50]}}',
    "series of no text": '{"spacing_nm": [50, 10, 10], "series": 3}',
    "files of no text": '{"spacing_nm": [50, 10, 10], "files": "slice_0000.tif"}',
    "a file twice": '{"spacing_nm": [50, 10, 10], "files": ["slice_0000.tif", "slice_0000.tif"]}',
    "count": '{"spacing_nm": [50, 10, 10], "slice_count": 7.5}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_description_is_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    folder = write_slices(tmp_path / "run", textured())
    (folder / "acquisition.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AcquisitionError, match=r"acquisition\.json") as raised:
        open_stack(folder, IngestParameters())
    assert len(str(raised.value)) < 1500
