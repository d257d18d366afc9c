"""File names of slices: signs, decimals, times and dates give the order; several series and two readings are a fault."""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import open_stack, read_stack
from spherovem_core.ingest.file_names import names_of_series
from spherovem_core.ingest.numbering import Numbering, number_slices
from spherovem_core.ingest.ordering import order_slices
from spherovem_core.ingest.reader import FileReport, SliceFile
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)


def number_shuffled(names: Sequence[str]) -> Numbering:
    return number_slices(random.Random(1).sample(names, len(names)))


def clock(pattern: str, minutes: Sequence[int]) -> list[str]:
    return [pattern.format(m // 60 % 24, m % 60, m * 13 % 60) for m in minutes]


READABLE = {
    "signs": [f"z_{v}.tif" for v in range(-6, 6)],
    "signs after letters": [f"z{v}.tif" for v in range(-6, 6)],
    "plus and minus": [f"z_{v:+d}.tif" for v in range(-4, 5)],
    "minus sign of typography": [f"z{v}.tif".replace("-", "\u2212") for v in range(-4, 5)],
    "all below zero": [f"z_{v}.tif" for v in range(-12, 0)],
    "a dash between": [f"z-{v}.tif" for v in range(5, 15)],
    "a dash before decimals from zero on": [f"z-{v / 4:.2f}.tif" for v in range(9)],
    "a dash before decimals, beside a counter": [f"s{v:02d}_z-{v / 4:.2f}.tif" for v in range(1, 9)],
    "a sign before decimals, beside a counter": [f"s{9 - v:02d}_z-{v / 4:.2f}.tif" for v in range(8, 0, -1)],
    "decimals": [f"z={v / 100:.2f}um.tif" for v in range(50, 150)],
    "decimals below zero": [f"z={v / 1000:.3f}um.tif" for v in range(-60, 60, 10)],
    "decimals with comma": [f"z={v / 20:.2f}um".replace(".", ",") + ".tif" for v in range(30)],
    "decimals without zeros at the end": [f"z{v / 2:g}.tif" for v in range(1, 12)],
    "decimals of unequal length": [f"z={v}um.tif" for v in ("0.9", "0.95", "1.0", "1.05", "1.1")],
    "signed decimals, some of them whole": [f"z{v / 4:g}um.tif" for v in range(-9, 10)],
    "signed decimals beside zero": [f"z{v / 20 + 0.02:.2f}um.tif" for v in range(-5, 4)],
    "a setting that changes": [f"s_{n:03d}_WD5.{n * 7 % 5}mm.tif" for n in range(20)],
    "two settings that change": [f"brightness {n % 3}, stig-{n % 2} {n:03d}.tif" for n in range(20)],
    "exponents": [f"z={v:.2e}m.tif" for v in np.arange(1, 30) * 1e-8],
    "clock": clock("scan_{:02d}-{:02d}.tif", range(570, 630)),
    "clock with seconds": clock("img_{:02d}h{:02d}m{:02d}s.tif", range(560, 640)),
    "clock with fractions": [f"img_10-{m:02d}-30.{m * 7 % 100:02d}.tif" for m in range(20)],
    "counter and clock over midnight": [f"s_{n:03d}_{n // 60 % 24:02d}-{n % 60:02d}.tif" for n in range(1420, 1460)],
    "date and time": [f"img_2024-02-{28 + h // 24:02d}T{h % 24:02d}-30-12.tif" for h in range(20, 40)],
    "compact date and time": [f"img_202402{28 + h // 24:02d}_{h % 24:02d}3000.tif" for h in range(10, 40)],
    "days before months": [f"img {d}-2024.tif" for d in ("28-02", "29-02", "01-03", "02-03")],
    "time stamps": [f"img_{20240301090000 + 61 * n}.tif" for n in range(12)],
    "beyond 64 bits": [f"slice_{2**70 + n}.tif" for n in range(8)],
    "Arabic digits": ["slice_" + "".join(chr(0x660 + int(c)) for c in str(n)) + ".tif" for n in range(8, 13)],
    "full-width digits": ["slice_" + "".join(chr(0xFF10 + int(c)) for c in str(n)) + ".tif" for n in range(8, 13)],
    "some padded": [f"s{n}.tif" if n < 5 else f"s{n:04d}.tif" for n in range(12)],
    "two suffixes": [f"s{n}.{'tif' if n < 5 else 'TIFF'}" for n in range(12)],
    "parts numbered through": [f"part{1 + n // 6}_{n:03d}.tif" for n in range(12)],
    "sample called thumb": [f"mouse_thumb_joint_{n:03d}.tif" for n in range(12)],
    "sample called overview": [f"overview_{n:03d}.tif" for n in range(12)],
}  # fmt: skip


@pytest.mark.parametrize("names", READABLE.values(), ids=READABLE)
def test_the_names_give_the_order(names: list[str]) -> None:
    found = number_shuffled(names)
    assert (found.fault, found.strays, found.repeated) == ("", (), {})
    assert sorted(found.numbers, key=found.numbers.__getitem__) == names
    numbers = sorted(found.numbers.values())
    assert numbers == list(range(numbers[0], numbers[0] + len(names)))


def test_signs_and_decimals_keep_the_gaps() -> None:
    names = {v: f"z{v / 4:g}um.tif" for v in range(-9, 10) if v != 3}
    found = number_shuffled(list(names.values()))
    assert [found.numbers[names[v]] for v in names] == list(names)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        # A dash or a sign: both count in equal steps.
        ([f"z{v / 4:g}um.tif" for v in range(-9, 10, 4)], "no common pattern"),
        ([f"z-{v / 4:.2f}.tif" for v in range(1, 10)], "2 orders: z-0.25.tif, z-0.50.tif"),
        ([f"depth-{v / 4:.2f}um.tif" for v in range(1, 10)], "or depth-2.25um.tif, depth-2.00um.tif"),
        ([f"z -{v / 4:.2f}um.tif" for v in range(1, 10)], "can be read in 2 orders"),
        # Two series of half of the slices each.
        (
            [f"a{v / 4:g}.tif" for v in (*range(-9, 0), *range(1, 10))],
            "series of slices in one folder",
        ),
        ([f"s_{n:03d}_wd{n % 2}.tif" for n in range(20) if n != 7], "2 series of slices"),
        ([f"s_{n // 2:03d}_wd{n % 2}.tif" for n in range(20)], "2 series of slices"),
        ([f"s_{n:03d}_detector{n % 2}.tif" for n in range(20)], "2 series of slices"),
        ([f"s_{n:03d}_a{n % 2}.tif" for n in range(20)], "2 series of slices"),
    ],
)
def test_what_signs_decimals_and_settings_do_not_decide_is_a_fault(names: list[str], words: str) -> None:
    found = number_shuffled(names)
    assert words in found.fault
    assert not found.numbers


def test_a_gap_in_positions_is_missing_slices() -> None:
    even = [f"z={v / 100:.2f}um.tif" for v in range(50, 80) if v not in (60, 61)]
    assert set(range(50, 80)) - set(number_shuffled(even).numbers.values()) == {60, 61}
    uneven = [f"z={v * 0.05 + 0.004 * (v % 3):.4f}um.tif" for v in range(30) if v != 7]
    assert set(range(30)) - set(number_shuffled(uneven).numbers.values()) == {7}


def lost(numbers: Sequence[int], positions: Sequence[float], digits: int = 3) -> list[str]:
    return [f"Slice_{n:04d} z={z:.{digits}f}um.tif" for n, z in zip(numbers, positions, strict=True)]


def test_a_gap_in_number_and_position_is_a_missing_slice() -> None:
    kept = [n for n in range(30) if n not in (7, 8, 20)]
    assert list(number_slices(lost(kept, [n * 0.008 for n in kept])).numbers.values()) == kept


@pytest.mark.parametrize(
    ("numbers", "positions", "words"),
    [
        (range(19), [n * 0.01 for n in range(20) if n != 7], "rises by 1, the position by 2 usual steps"),
        (
            [n for n in range(20) if n != 7],
            [n * 0.01 for n in range(19)],
            "rises by 2, the position by 1 usual steps",
        ),
        (range(18), [n * 0.01 for n in range(20) if n not in (7, 12)], "and at 1 more places"),
    ],
)
def test_a_gap_in_number_or_position_alone_is_a_fault(
    numbers: Sequence[int], positions: Sequence[float], words: str
) -> None:
    found = number_shuffled(lost(numbers, positions))
    assert not found.numbers
    for word in (words, "Slice_0006 z=0.060um.tif", "missing slices", '"files" in acquisition.json'):
        assert word in found.fault


def test_a_gap_in_a_second_whole_number_is_a_fault() -> None:
    found = number_shuffled(
        [f"frame_{n:04d}_sec_{s:04d}.tif" for n, s in enumerate([*range(9), *range(10, 20)])]
    )
    assert (
        "from frame_0008_sec_0008.tif to frame_0009_sec_0010.tif the number rises by 1, the position by 2"
        in found.fault
    )


@pytest.mark.parametrize(
    ("numbers", "indices", "words"),
    [
        (range(9), [0, 1, 2, 3, 5, 6, 7, 8, 9], "rises by 1, the slice index by 2 usual steps"),
        (range(9), [0, 1, 2, 3, 3, 4, 5, 6, 7], "rises by 1, the slice index by 0 usual steps"),
        ([0, 1, 2, 3, 5, 6, 7, 8, 9], range(9), "rises by 2, the slice index by 1 usual steps"),
        ([0, 1, 2, 3, 5, 6, 7, 8, 9], [2, 3, 4, 5, 7, 8, 9, 10, 11], ""),
        (range(0, 18, 2), range(9), ""),
    ],
)
def test_the_slice_index_of_the_metadata_is_compared_with_the_names(
    numbers: Sequence[int], indices: Sequence[int], words: str
) -> None:
    reports = []
    for number, index in zip(numbers, indices, strict=True):
        path = Path(f"s_{number:03d}.tif")
        reports.append(FileReport(path, (SliceFile(path, shape=(9, 9)),), indices=(index,)))
    step = numbers.step if isinstance(numbers, range) else 1
    found = [problem.found for problem in order_slices(reports, step).problems]
    assert len(found) == bool(words)
    assert all(words in text and "rename the files by the slice index" in text for text in found)


@pytest.mark.parametrize(
    ("positions", "digits"),
    [
        ([n * 0.008 for n in range(20)], 3),
        ([n * 0.0083 for n in range(20)], 2),
        ([n * 0.0027 for n in range(20)], 3),
        ([n * 0.0014 for n in range(20)], 3),
        ([n * 0.01 + 0.003 * (n % 3) for n in range(20)], 3),
        ([0.002 * n * n for n in range(20)], 3),
        ([0.5 + (n // 5) * 0.01 for n in range(20)], 3),
    ],
    ids=[
        "even",
        "rounded",
        "rounded up",
        "rounded to few digits",
        "jitter",
        "irregular",
        "of several slices",
    ],
)
def test_positions_that_tell_of_no_gap_are_no_fault(positions: Sequence[float], digits: int) -> None:
    found = number_shuffled(lost(range(20), positions, digits))
    assert (found.fault, sorted(found.numbers.values())) == ("", list(range(20)))


SERIES = {
    "detectors": ([f"slice_{n:05d}_{d}.tif" for d in ("InLens", "EsB") for n in range(12)], ["InLens (12 files", "EsB"]),
    "a detector with a number": ([f"{d}_{n:03d}.tif" for d in ("SE2", "ESB") for n in range(8)], ["SE2 (8 files", "ESB (8"]),
    "one detector without a name": ([f"s_{n:03d}{d}.tif" for d in ("", "_EsB") for n in range(4)], ["s_# (4", "s_#_EsB"]),
    "channels by number": ([f"slice_{n:04d}_ch{n % 2}.tif" for n in range(12)], ["ch0 (6 files", "ch1"]),
    "samples": ([f"sample{s}_{n:03d}.tif" for s in "AB" for n in range(6)], ["sampleA", "sampleB"]),
    "samples and detectors": (
        [f"s{s}_{n:03d}_{d}.tif" for s in "AB" for d in ("SE", "BSE") for n in range(4)],
        ["4 series", "sA_#_SE", "sB_#_BSE"],
    ),
    "parts": ([f"part{p}_{n:03d}.tif" for p in (1, 2) for n in range(6)], ["part1 (6", "part2 (6", "parts of one stack"]),
    "a long and a short part": ([f"run_1_{n:03d}.tif" for n in range(90)] + ["run_2_000.tif", "run_2_001.tif"], ["run_1 (90"]),
    "parts that overlap": ([f"part1_{n}.tif" for n in range(6)] + [f"part2_{n}.tif" for n in range(5, 11)], ["part2 (6"]),
    "tiles": ([f"acq_g0000_t{t:04d}_s{s:05d}.tif" for s in range(3) for t in range(4)], ["t0000 (3 files", "t0003", "tile"]),
    "rows and columns": ([f"a_r{r}-c{c}_s{s:02d}.tif" for r in (0, 1) for c in (0, 1) for s in range(5)], ["a_r1-c0_s# (5"]),
    "tiles numbered like a clock": ([f"a_{x:02d}-{y:02d}.tif" for x in range(4) for y in range(5)], ["4 series"]),
    "morning and afternoon": ([f"i {h}-{m} {a}.tif" for h, a in ((11, "AM"), (1, "PM")) for m in (10, 20, 30, 40)], ["AM", "PM"]),
    "suffixes": ([f"slice_{n}.{end}" for end in ("tif", "tiff") for n in range(6)], [".tif (6 files", ".tiff"]),
    "samples that count through": ([f"sample{1 + n // 6}_{n:03d}.tif" for n in range(12)], ["sample1 (6 files", "sample2"]),
    "tiles that count through": ([f"tile_{n // 4}_{n:03d}.tif" for n in range(12)], ["tile_0 (4 files", "tile_2"]),
    "voltages": ([f"s_{n:03d}_{2 if n < 5 else 5}kV.tif" for n in range(12)], ["2kV (5 files", "5kV (7"]),
    "magnifications": ([f"s_{n:03d}_{1 + n // 6}0000x.tif" for n in range(12)], ["10000x (6 files", "20000x"]),
    "a sign in words": ([f"z_neg{n}.tif" for n in (1, 2, 3)] + [f"z_{n}.tif" for n in range(4)], ["z_# (4 files", "z_neg#"]),
    "decimals with a letter": ([f"z_{n // 100}p{n % 100:02d}um.tif" for n in range(90, 110)], ["z_0p#um (10 files", "z_1p#um"]),
    "a second run on another day": ([f"2024-03-0{d}_s{n}.tif" for d in (1, 2) for n in range(6)], ["2024-03-01"]),
}  # fmt: skip


@pytest.mark.parametrize(("names", "words"), SERIES.values(), ids=SERIES)
def test_several_series_are_one_fault_that_names_them(names: list[str], words: list[str]) -> None:
    found = number_shuffled(names)
    assert not found.numbers
    for word in [*words, "series of slices in one folder", "--series NAME", '"files"']:
        assert word in found.fault
    assert "keep one" not in found.fault
    listed = re.findall(r"(?:folder: |\), )([^(]+) \((\d+) files?, such as ([^)]+)\)", found.fault)
    assert listed
    for series, count, example in listed:
        chosen = names_of_series(names, series)
        assert len(chosen) == int(count)
        assert example in chosen


UNREADABLE = {
    "no number": ["bottom.tif", "middle.tif", "top.tif"],
    "letters": [f"slice_{c}.tif" for c in "abcdef"],
    "Roman numbers": [f"slice_{c}.tif" for c in ("i", "ii", "iii", "iv", "v")],
    "hexadecimal": [f"slice_{n:04x}.tif" for n in range(5, 40)],
    "short hexadecimal": [f"s{n:02x}.tif" for n in range(8, 12)],
    "hash values": [f"slice_{n:04d}_{n * 7919 % 4096:03x}.tif" for n in range(12)],
    "position against number": [f"slice_{n:03d}_z={2 - 0.05 * n:.2f}um.tif" for n in range(9)],
    "anything beside the number": [f"slice_{n:04d}_{n * 37 % 101}.tif" for n in range(12)],
    "a dash or a sign": [f"slice -{n}.tif" for n in range(1, 9)],
    "clock over midnight": clock("s_{:02d}-{:02d}.tif", range(1435, 1445)),
    "day and month": [f"img {d}-2024.tif" for d in ("01-02", "02-02", "01-03", "02-03")],
    "compact days before months": [f"img_{d}2024.tif" for d in ("2802", "2902", "0103", "0203")],
    "tiles alone": [f"tile_{n:04d}.tif" for n in range(12)],
    "channels alone": [f"s_ch{n:02d}.tif" for n in range(3)],
    "a focus series": [f"defocus_{n}um.tif" for n in range(-3, 4)],
    "a tilt series": [f"tilt_{n}.tif" for n in range(-6, 7)],
    "a slice taken again as a decimal": [*(f"s_{n}.tif" for n in (1, 2, 3, 3.1, 4, 4.1))],
    "versions or decimals": [f"z{v}.tif" for v in ("0.9", "0.10", "0.11", "1.1")],
}


@pytest.mark.parametrize("names", UNREADABLE.values(), ids=UNREADABLE)
def test_names_that_give_no_order_are_a_fault_with_a_remedy(names: list[str]) -> None:
    found = number_shuffled(names)
    assert not found.numbers
    assert 'list the files in order as "files" in acquisition.json' in found.fault
    assert "slice_number_step" not in found.fault


def test_a_gap_among_decimals_without_zeros_is_a_missing_slice() -> None:
    found = number_slices([f"z{v / 2:g}.tif" for v in range(1, 12) if v != 5])
    assert sorted(found.numbers.values()) == [1, 2, 3, 4, *range(6, 12)]


def test_both_orders_are_shown() -> None:
    found = number_slices([f"slice_{n:03d}_z={2 - 0.05 * n:.2f}um.tif" for n in range(9)])
    assert "slice_000_z=2.00um.tif, slice_001_z=1.95um.tif" in found.fault
    assert "; or slice_008_z=1.60um.tif, slice_007_z=1.65um.tif" in found.fault


def test_a_slice_taken_twice_with_the_time_in_its_name_is_repeated() -> None:
    names = [f"slice_{n:04d}_{20240301090000 + n * 61}.tif" for n in range(12)]
    found = number_slices([*names, "slice_0005_20240301091232.tif"])
    assert dict(found.repeated) == {5: (names[5], "slice_0005_20240301091232.tif")}


def test_runs_that_start_again_are_told_apart_by_their_time() -> None:
    names = [f"s_{n % 6:03d}_20240301_{9 + n // 6:02d}{n % 6:02d}00.tif" for n in range(12)]
    found = number_shuffled(names)
    assert not found.numbers
    assert (
        f"2 runs in one folder, by the time in the names: 6 files from {names[0]} to {names[5]}; 6 files"
        in found.fault
    )
    assert "keep one" not in found.fault


def test_a_gap_in_a_length_beside_the_number_is_a_fault() -> None:
    even = [f"s_{n:03d}_{n * 50}nm.tif" for n in range(12)]
    assert list(number_slices(even).numbers.values()) == list(range(12))
    found = number_shuffled([f"s_{n:03d}_{(n + (n > 5)) * 50}nm.tif" for n in range(12)])
    assert "from s_005_250nm.tif to s_006_350nm.tif the number rises by 1, the position by 2" in found.fault


def test_copies_of_a_slice_are_strays() -> None:
    found = number_slices([f"s_{n:03d}.tif" for n in range(9)] + ["s_005 (1).tif", "s_003 - Copy.tif"])
    assert sorted(found.strays) == ["s_003 - Copy.tif", "s_005 (1).tif"]


@pytest.mark.parametrize("series", ["EsB", "esb", "slice_#_EsB", "_EsB"])
def test_a_series_is_chosen_by_its_words(series: str) -> None:
    names = [f"slice_{n:02d}{d}.tif" for n in range(3) for d in ("", "_EsB", "_EsB2")]
    assert names_of_series(names, series) == [f"slice_{n:02d}_EsB.tif" for n in range(3)]
    assert names_of_series(names, "slice_#") == [f"slice_{n:02d}.tif" for n in range(3)]
    assert names_of_series(names, "InLens") == []


def write_detectors(folder: Path) -> Path:
    folder.mkdir()
    for z, values in enumerate(textured()):
        tifffile.imwrite(folder / f"s_{z:03d}_SE.tif", values, metadata=None)
        tifffile.imwrite(folder / f"s_{z:03d}_BSE.tif", 255 - values, metadata=None)
    return folder


def test_a_series_is_read_by_parameter_or_description(tmp_path: Path) -> None:
    folder = write_detectors(tmp_path / "run")
    with pytest.raises(
        BadSlicesError, match=r"2 series of slices in one folder: BSE \(7 files, such as s_000_BSE"
    ):
        open_stack(folder, GIVEN)
    (folder / "acquisition.json").write_text('{"series": "BSE"}')
    np.testing.assert_array_equal(read_stack(folder, GIVEN).image, 255 - textured())
    chosen = GIVEN.model_copy(update={"series": "SE"})
    np.testing.assert_array_equal(read_stack(folder, chosen).image, textured())


def test_a_series_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    folder = write_detectors(tmp_path / "run")
    chosen = GIVEN.model_copy(update={"series": "InLens"})
    with pytest.raises(BadSlicesError, match=r"no file is of the series 'InLens'; 2 series .*BSE"):
        open_stack(folder, chosen)
    with pytest.raises(BadSlicesError, match="the source is one file"):
        open_stack(folder / "s_000_SE.tif", chosen)


def test_listed_files_are_read_in_their_order(tmp_path: Path) -> None:
    names = ["top.tif", "middle.tif", "bottom.tif"]
    for name, values in zip(names, textured(), strict=False):
        tifffile.imwrite(tmp_path / name, values, metadata=None)
    tifffile.imwrite(tmp_path / "overview.tif", textured()[0, :9], metadata=None)
    with pytest.raises(BadSlicesError, match="the names hold no slice number"):
        open_stack(tmp_path, GIVEN)
    description = tmp_path / "acquisition.json"
    description.write_text('{"files": ["top.tif", "middle.tif", "bottom.tif"]}')
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, textured()[:3])
    description.write_text('{"files": ["top.tif", "lost.tif", "bottom.tif"]}')
    with pytest.raises(
        BadSlicesError, match=r"lists 1 of 3 files that are not there or no slices: lost\.tif"
    ):
        open_stack(tmp_path, GIVEN)


def test_thumbnails_are_left_out_by_name_and_size(tmp_path: Path) -> None:
    for z in range(5):
        tifffile.imwrite(tmp_path / f"hand_{z}.tif", textured()[z], metadata=None)
        tifffile.imwrite(tmp_path / f"hand_{z}_thumb.tif", textured()[z, ::8, ::8], metadata=None)
    assert open_stack(tmp_path, GIVEN).shape[0] == 5
    for z in range(5):
        tifffile.imwrite(tmp_path / f"hand_{z}_thumb.tif", textured()[z], metadata=None)
    with pytest.raises(BadSlicesError, match=r"2 series .*hand_# \(5 files"):
        open_stack(tmp_path, GIVEN)
