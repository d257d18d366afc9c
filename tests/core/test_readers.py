"""Tests that every registered reader passes, and a reader for tests that passes them too.

A reader is tested by being in `READERS`; `reader_samples.SAMPLES` holds the functions that write files of its format.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ingest_samples import SHAPE, SPACING_NM, textured, truncate
from npy_reader import NpyReader
from reader_samples import SAMPLES, ReaderSample

from spherovem_core.errors import BadSlicesError, NoSlicesError
from spherovem_core.ingest import open_stack, read_stack, source_digest, survey_stack
from spherovem_core.ingest.reader import Reader, read_pixels, read_window
from spherovem_core.ingest.readers import FOLDER_READERS, READERS, reader_for
from spherovem_core.ingest.voxel_size import combine, spacing_of
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
FILLING = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})


@pytest.fixture(params=[*READERS, NpyReader()], ids=lambda reader: reader.name)
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """Each registered reader, and the reader for tests, which is registered for one test."""
    if request.param in READERS:
        yield request.param
        return
    READERS.append(request.param)
    yield request.param
    READERS.remove(request.param)


@pytest.fixture
def sample(reader: Reader) -> ReaderSample:
    assert reader.name in SAMPLES, f"add functions that write {reader.name} files to reader_samples.SAMPLES"
    return SAMPLES[reader.name]


@pytest.fixture
def folder(tmp_path: Path, sample: ReaderSample) -> Path:
    """An acquisition of seven slices, one per file."""
    source = tmp_path / "source"
    source.mkdir()
    for z, values in enumerate(textured()):
        sample.write_slice(source / f"slice_{z:04d}{sample.suffix}", values)
    return source


def test_files_of_the_format_are_accepted_and_others_declined(reader: Reader, sample: ReaderSample) -> None:
    for name in (f"slice_0001{sample.suffix}", f"SLICE 1{sample.suffix.upper()}"):
        assert reader_for(Path(name)) is reader
    assert sample.suffix in reader.suffixes
    for name in ("acquisition.json", "log.txt", "slice", "slice.unknown", f"slice{sample.suffix}.part"):
        assert not reader.can_read(Path(name))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_shape_type_and_values_are_exact(
    reader: Reader, sample: ReaderSample, tmp_path: Path, dtype: str
) -> None:
    values = textured(SHAPE[1:], dtype)
    path = tmp_path / f"slice{sample.suffix}"
    sample.write_slice(path, values)
    report = reader.inspect(path)
    (file,) = report.slices
    assert (report.path, report.problems, file.fault, file.name) == (path, (), "", path.name)
    assert (file.shape, file.dtype.newbyteorder("=")) == (values.shape, values.dtype)
    found = read_pixels(reader, file)
    assert (found.dtype, found.dtype.isnative, found.flags.c_contiguous) == (values.dtype, True, True)
    np.testing.assert_array_equal(found, values)


def test_the_slices_of_a_stack_are_in_order(reader: Reader, sample: ReaderSample, tmp_path: Path) -> None:
    if sample.write_stack is None:
        pytest.skip(f"{reader.name} holds one slice per file")
    path = tmp_path / f"stack{sample.suffix}"
    sample.write_stack(path, textured())
    report = reader.inspect(path)
    assert [file.page for file in report.slices] == list(range(SHAPE[0]))
    assert report.slices[2].name == f"{path.name} page 3"
    found = np.stack([read_pixels(reader, file) for file in report.slices])
    np.testing.assert_array_equal(found, textured())


def test_parts_equal_the_whole(reader: Reader, sample: ReaderSample, tmp_path: Path) -> None:
    values = textured(SHAPE[1:], "uint16")
    path = tmp_path / f"slice{sample.suffix}"
    sample.write_slice(path, values)
    (file,) = reader.inspect(path).slices
    rng = np.random.default_rng(0)
    windows = [(slice(0, 1), slice(0, 64)), (slice(39, 40), slice(63, 64)), (slice(0, 40), slice(1, 64))]
    for _ in range(10):
        (top, bottom), (left, right) = (np.sort(rng.choice(n + 1, 2, replace=False)) for n in values.shape)
        windows.append((slice(int(top), int(bottom)), slice(int(left), int(right))))
    for rows, columns in windows:
        np.testing.assert_array_equal(read_window(reader, file, rows, columns), values[rows, columns])


def test_the_voxel_size_of_the_metadata_is_found(
    reader: Reader, sample: ReaderSample, tmp_path: Path
) -> None:
    path = tmp_path / f"stack{sample.suffix}"
    if sample.write_with_spacing is None:
        sample.write_slice(path, textured()[0])
        assert reader.inspect(path).voxel_sizes == ()
        return
    sample.write_with_spacing(path, textured(), SPACING_NM)
    assert spacing_of(combine(reader.inspect(path).voxel_sizes)) == pytest.approx(SPACING_NM)
    assert open_stack(path, IngestParameters()).spacing_nm == pytest.approx(SPACING_NM)


def test_another_type_of_pixels_is_a_problem(reader: Reader, sample: ReaderSample, tmp_path: Path) -> None:
    if not sample.holds_floats:
        pytest.skip(f"{reader.name} holds whole numbers only")
    path = tmp_path / f"slice{sample.suffix}"
    sample.write_slice(path, np.ones(SHAPE[1:], np.complex64))
    (problem,) = reader.inspect(path).problems
    assert problem.file == path.name
    assert "complex" in problem.found
    assert "; expected" in problem.found
    assert not problem.fillable


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.3, 0.9, 0.99])
def test_a_truncated_slice_is_named_and_never_read_as_zeros(folder: Path, fraction: float) -> None:
    path = sorted(folder.iterdir())[3]
    truncate(path, fraction)
    with pytest.raises(BadSlicesError, match=rf"{path.name}: truncated"):
        open_stack(folder, GIVEN)
    filled = read_stack(folder, FILLING)
    assert filled.table["truncated"].tolist() == [z == 3 for z in range(SHAPE[0])]
    np.testing.assert_array_equal(np.delete(filled.image, 3, 0), np.delete(textured(), 3, 0))
    assert filled.image[3].min() > 0


@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.99])
def test_a_truncated_stack_is_named_and_its_whole_slices_stay_exact(
    reader: Reader, sample: ReaderSample, tmp_path: Path, fraction: float
) -> None:
    if sample.write_stack is None:
        pytest.skip(f"{reader.name} holds one slice per file")
    path = tmp_path / f"stack{sample.suffix}"
    sample.write_stack(path, textured())
    truncate(path, fraction)
    with pytest.raises(BadSlicesError, match="truncated"):
        open_stack(path, GIVEN)
    for z, file in enumerate(reader.inspect(path).slices):
        if not file.fault:
            np.testing.assert_array_equal(read_pixels(reader, file), textured()[z])


def test_a_file_that_shrinks_after_its_inspection_is_a_bad_slice(
    reader: Reader, sample: ReaderSample, tmp_path: Path
) -> None:
    path = tmp_path / f"slice{sample.suffix}"
    sample.write_slice(path, textured()[0])
    (file,) = reader.inspect(path).slices
    truncate(path, 0.5)
    with pytest.raises(BadSlicesError, match=rf"^{path.name}: "):
        read_pixels(reader, file)


def test_a_file_that_is_not_there_is_an_error_of_the_system(reader: Reader, sample: ReaderSample) -> None:
    with pytest.raises(FileNotFoundError):
        reader.inspect(Path(f"nowhere{sample.suffix}"))


def test_the_digest_follows_content_and_not_times(folder: Path, tmp_path: Path) -> None:
    digest = source_digest(folder)
    path = sorted(folder.iterdir())[3]
    os.utime(path, ns=(1, 1))
    shutil.copytree(folder, tmp_path / "copy")
    assert source_digest(folder) == source_digest(tmp_path / "copy") == digest
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert source_digest(folder) != digest


def test_a_whole_acquisition_is_ingested(reader: Reader, folder: Path) -> None:
    path = sorted(folder.iterdir())[2]
    acquired = read_stack(folder, GIVEN)
    np.testing.assert_array_equal(acquired.image, textured())
    assert (acquired.spacing_nm, acquired.image.dtype) == (SPACING_NM, textured().dtype)
    assert acquired.table["file"].tolist() == sorted(file.name for file in folder.iterdir())
    path.unlink()
    report = survey_stack(folder, IngestParameters())
    assert [problem.found.split(":")[0] for problem in report.problems] == [
        "slice number missing",
        "no voxel size",
    ]
    assert {"container", "compression", "bits", "metadata"} <= set(report.stack.metadata)
    filled = read_stack(folder, FILLING)
    expected = (textured()[1].astype(int) + textured()[3]) / 2
    np.testing.assert_allclose(filled.image[2], expected, atol=0.51)


def test_a_reader_counts_only_while_it_is_registered(tmp_path: Path) -> None:
    np.save(tmp_path / "slice_0000.npy", textured()[0])
    assert reader_for(tmp_path / "slice_0000.npy") is None
    with pytest.raises(
        NoSlicesError, match=r"no slice of a known format among its 1 files; expected slices ending in \.tif"
    ):
        open_stack(tmp_path, GIVEN)
    READERS.append(NpyReader())
    try:
        assert open_stack(tmp_path, GIVEN).shape == (1, *SHAPE[1:])
        with pytest.raises(
            NoSlicesError, match=r"expected a folder of slices, or one file of several \(TIFF.*, NPY"
        ):
            open_stack(tmp_path / "nowhere", GIVEN)
    finally:
        READERS.pop()


def test_of_two_formats_in_a_folder_the_first_registered_is_read(tmp_path: Path) -> None:
    for z in range(3):
        SAMPLES["TIFF"].write_slice(tmp_path / f"slice_{z}.tif", textured()[z])
        np.save(tmp_path / f"slice_{z}.npy", textured()[z])
    READERS.append(NpyReader())
    try:
        assert read_stack(tmp_path, GIVEN).table["file"].tolist() == [f"slice_{z}.tif" for z in range(3)]
    finally:
        READERS.pop()


def test_the_table_of_formats_names_the_endings_that_are_read() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "formats.md").read_text().splitlines()
    rows = {cells[1].strip(): cells[2] for line in lines if len(cells := line.split("|")) == 7}
    for reader in READERS:
        endings = re.findall(r"`(\.[\w.]+)`", rows[reader.name])
        assert set(reader.suffixes) <= set(endings)
        assert [ending for ending in endings if not reader.can_read(Path(f"slice{ending}"))] == []
    assert {reader.name for reader in FOLDER_READERS} <= {*rows, "precomputed"}
    assert "neuroglancer precomputed" in rows
