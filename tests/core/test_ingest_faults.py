"""Bad acquisitions: one error names every problem, or the bad slices are filled."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SHAPE, SPACING_NM, textured, truncate, write_slices

from spherovem_core.blocks import MemorySink
from spherovem_core.errors import AcquisitionError, BadSlicesError
from spherovem_core.execution import Execution
from spherovem_core.ingest import ingest_stack, open_stack, read_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
FILLING = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_slices(tmp_path / "run", textured())


def rewrite(folder: Path, z: int, values: Any, **options: Any) -> None:
    tifffile.imwrite(folder / f"slice_{z:04d}.tif", values, metadata=None, **options)


def ingest(folder: Path, parameters: IngestParameters) -> tuple[Any, Any]:
    stack = open_stack(folder, parameters)
    array = np.zeros(stack.shape, stack.dtype)
    return ingest_stack(stack, MemorySink(array), Execution()), array


@pytest.mark.parametrize("parameters", [GIVEN, FILLING])
@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (textured((40, 60)), {}, r"slice_0002\.tif: 40 × 60 pixels, the other 6 slices have 40 × 64"),
        (textured((40, 64), "uint16"), {}, r"slice_0002\.tif: pixels of type uint16, .* have uint8"),
        (
            textured((40, 64, 3)),
            {"photometric": "rgb"},
            r"slice_0002\.tif: colour, 3 samples per pixel; expected",
        ),
        (np.ones((40, 64), "c8"), {}, r"slice_0002\.tif: pixels of type complex64; expected"),
        (np.ones((40, 64), "f4"), {}, r"slice_0002\.tif: pixels of type float32, .* have uint8"),
        (textured((40, 64)), {"photometric": "palette", "colormap": textured((3, 256), "uint16")}, "palette"),
        (
            textured((40, 64)),
            {"extratags": [(274, 3, 1, 3, True)]},
            r"slice_0002\.tif: its orientation .* is 3",
        ),
        (textured((40, 64)), {"subfiletype": 1}, r"slice_0002\.tif: holds nothing but masks and previews"),
        (textured((2, 40, 64)), {}, r"slice_0002\.tif: 2 images in one file among others"),
    ],
)
def test_a_slice_of_another_kind_is_refused(
    folder: Path, values: Any, options: dict[str, Any], message: str, parameters: IngestParameters
) -> None:
    rewrite(folder, 2, values, **options)
    with pytest.raises(BadSlicesError, match=message):
        open_stack(folder, parameters)


def test_missing_slice_numbers_are_named(folder: Path) -> None:
    for z in (2, 4, 5):
        (folder / f"slice_{z:04d}.tif").unlink()
    with pytest.raises(
        BadSlicesError, match=r"3 slice numbers missing: 2, 4, 5\n.*on_bad_slice = interpolate"
    ):
        open_stack(folder, GIVEN)


def test_a_slice_number_that_occurs_twice_is_refused(folder: Path) -> None:
    (folder / "slice_3.tiff").write_bytes((folder / "slice_0003.tif").read_bytes())
    with pytest.raises(
        BadSlicesError, match=r"slice number 3 is there twice: slice_0003.tif, slice_3.tiff; move"
    ):
        open_stack(folder, FILLING)


def test_a_file_named_unlike_the_slices_is_refused(folder: Path) -> None:
    (folder / "overview.tif").write_bytes((folder / "slice_0003.tif").read_bytes())
    with pytest.raises(BadSlicesError, match=r"overview\.tif: is not named like the other slices"):
        open_stack(folder, GIVEN)


def test_another_slice_count_than_in_the_description_is_refused(folder: Path) -> None:
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, 10, 12], "slice_count": 9}')
    with pytest.raises(BadSlicesError, match="slice_count = 9, but the numbers run from 0 to 6, 7 slices"):
        open_stack(folder, FILLING)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_named_or_filled(folder: Path, compression: str | None, fraction: float) -> None:
    rewrite(folder, 3, textured()[3], compression=compression, rowsperstrip=8)
    truncate(folder / "slice_0003.tif", fraction)
    with pytest.raises(BadSlicesError, match=r"slice_0003\.tif: truncated"):
        open_stack(folder, GIVEN)
    table, array = ingest(folder, FILLING)
    assert table["truncated"].tolist() == [z == 3 for z in range(7)]
    np.testing.assert_array_equal(np.delete(array, 3, 0), np.delete(textured(), 3, 0))


@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}, {"compression": "deflate"}])
@pytest.mark.parametrize("fraction", [0.2, 0.9])
def test_a_truncated_multi_page_file_is_refused(
    tmp_path: Path, options: dict[str, Any], fraction: float
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, textured(), **options)
    truncate(path, fraction)
    with pytest.raises(BadSlicesError, match="truncated"):
        open_stack(path, GIVEN)


@pytest.mark.parametrize("shift", [0, 7])
def test_a_copy_that_got_its_size_at_once_and_was_not_finished_is_truncated(
    tmp_path: Path, shift: int
) -> None:
    folder = write_slices(tmp_path / "run", textured((7, 90, 110)))
    path = folder / "slice_0002.tif"
    content = path.read_bytes()
    path.write_bytes(content[: 4096 + shift] + bytes(len(content) - 4096 - shift))
    if shift:
        # No copy ends there: rows that an alignment left empty are no damage.
        assert open_stack(folder, GIVEN).read_as_acquired(2).flag == ""
        return
    with pytest.raises(BadSlicesError, match=r"slice_0002\.tif: truncated, nothing but zeros from byte 4096"):
        read_stack(folder, GIVEN)


def test_damage_inside_compressed_data_is_found_in_the_pass(folder: Path) -> None:
    rewrite(folder, 5, textured()[5], compression="deflate", rowsperstrip=40)
    path = folder / "slice_0005.tif"
    content = bytearray(path.read_bytes())
    content[-900:-100] = bytes(800)
    path.write_bytes(content)
    assert not open_stack(folder, GIVEN).truncated.any()
    with pytest.raises(BadSlicesError, match=r"slice_0005\.tif: cannot be decoded"):
        ingest(folder, GIVEN)
    assert ingest(folder, FILLING)[0].query("truncated")["z"].tolist() == [5]


def test_blank_and_saturated_slices_are_flagged(folder: Path) -> None:
    blank = np.zeros(SHAPE[1:], "uint8")
    blank[0, :2] = 7  # 2 of 2560 pixels: under the thousandth that blank_fraction leaves
    rewrite(folder, 1, blank)
    rewrite(folder, 4, np.full(SHAPE[1:], 255, "uint8"))
    written = MemorySink(np.zeros(SHAPE, "uint8"))
    with pytest.raises(BadSlicesError) as raised:
        ingest_stack(open_stack(folder, GIVEN), written, Execution())
    assert "slice_0001.tif: blank, 99.92% of its pixels are 0" in str(raised.value)
    assert "slice_0004.tif: saturated, 100.00% of its pixels are 255" in str(raised.value)
    table, _ = ingest(folder, FILLING)
    assert table.query("blank")["z"].tolist() == [1]
    assert table.query("saturated")["z"].tolist() == [4]
    assert table.loc[4, "intensity_mean"] == 255.0


def test_one_error_names_all_problems(folder: Path) -> None:
    """Problems of the pixels are named beside those of the files and of the spacing."""
    (folder / "slice_0001.tif").unlink()
    truncate(folder / "slice_0002.tif")
    rewrite(folder, 4, textured((40, 64, 3)), photometric="rgb")
    rewrite(folder, 5, np.zeros(SHAPE[1:], "uint8"))
    with pytest.raises(BadSlicesError) as raised:
        open_stack(folder, IngestParameters())
    text = str(raised.value)
    assert text.startswith("run: 5 problems:")
    for part in ("missing: 1\n", "slice_0002.tif: truncated", "slice_0004.tif: colour"):
        assert part in text
    assert "slice_0005.tif: blank" in text
    assert "no voxel size" in text


def test_without_name_all_no_slice_is_decoded(folder: Path) -> None:
    truncate(folder / "slice_0001.tif")
    rewrite(folder, 4, np.zeros(SHAPE[1:], np.uint8))
    with pytest.raises(BadSlicesError, match=r"slice_0004\.tif: blank"):
        open_stack(folder, GIVEN)
    with pytest.raises(BadSlicesError, match=r"slice_0001\.tif") as raised:
        open_stack(folder, GIVEN, name_all=False)
    assert "slice_0004" not in str(raised.value)


def test_the_same_problem_of_many_files_is_one_line(folder: Path) -> None:
    for z in range(7):
        rewrite(folder, z, textured((40, 64, 3)), photometric="rgb")
    with pytest.raises(
        BadSlicesError, match=r"^run: slice_0000\.tif, .*slice_0005\.tif and 1 more: colour[^\n]*$"
    ):
        open_stack(folder, GIVEN)


def test_bad_slices_are_filled_from_their_neighbours(folder: Path) -> None:
    volume = textured().astype(float)
    (folder / "slice_0002.tif").unlink()
    rewrite(folder, 3, np.zeros(SHAPE[1:], "uint8"))
    truncate(folder / "slice_0006.tif")
    table, array = ingest(folder, FILLING)
    # Two thirds of slice 1 and one of slice 4, rounded to whole grey values.
    np.testing.assert_allclose(array[2], volume[1] + (volume[4] - volume[1]) / 3, atol=0.51)
    np.testing.assert_allclose(array[3], volume[1] + (volume[4] - volume[1]) * 2 / 3, atol=0.51)
    np.testing.assert_array_equal(array[6], volume[5])
    np.testing.assert_array_equal(array[[0, 1, 4, 5]], volume[[0, 1, 4, 5]])
    assert table["missing"].tolist() == [z == 2 for z in range(7)]
    assert table["file"][2] == ""
    assert table["intensity_mean"].isna().tolist() == [z in (2, 6) for z in range(7)]


def test_a_long_run_is_not_filled(folder: Path) -> None:
    parameters = FILLING.model_copy(update={"max_filled_slices": 2})
    for z in (2, 3, 4):
        rewrite(folder, z, np.zeros(SHAPE[1:], "uint8"))
    with pytest.raises(BadSlicesError, match="slices 2 to 4 are bad, more than 2 in a row"):
        ingest(folder, parameters)
    for z in (2, 3, 4):
        (folder / f"slice_{z:04d}.tif").unlink()
    with pytest.raises(BadSlicesError, match="slices 2 to 4 are missing or truncated"):
        open_stack(folder, parameters)
    assert ingest(folder, FILLING)[0]["missing"].sum() == 3


def test_a_long_run_in_a_long_stack_names_no_good_slice(tmp_path: Path) -> None:
    volume = textured((30, 8, 16))
    volume[8:20] = 0
    folder = write_slices(tmp_path, volume)
    with pytest.raises(BadSlicesError) as error:
        ingest(folder, FILLING)
    named = [
        tuple(map(int, found)) for found in re.findall(r"slices (\d+) to (\d+) are bad", str(error.value))
    ]
    assert named
    assert all(first >= 8 and last <= 19 for first, last in named)


def test_a_stack_of_bad_slices_is_refused(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, np.zeros((3, 8, 16), "uint8"))
    with pytest.raises(AcquisitionError, match="slices 0 to 2 are bad, and there is no good slice"):
        ingest(folder, FILLING)
