"""Stacks of other types than uint8 and uint16: one grey scale for all slices, exact where it can be."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, truncate, write_slices
from numpy.typing import NDArray
from pydantic import ValidationError
from step_runs import run_steps
from tiny_pipeline import TINY

from spherovem_core.errors import AcquisitionError, BadSlicesError
from spherovem_core.execution import Execution
from spherovem_core.ingest import open_stack, read_stack, survey_stack, with_grey_scale
from spherovem_core.ingest.chapter import acquisition_section
from spherovem_core.ingest.grey_scale import GreyScale
from spherovem_core.ingest.overview import look_over, make_contact_sheet
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.parameters import IngestParameters, PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import RAW

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
FILLING = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})
SHAPE = (7, 40, 64)


def values(dtype: str, low: float, high: float) -> NDArray[Any]:
    """Make a stack whose values reach from low to high."""
    volume = np.random.default_rng(1).uniform(low, high, SHAPE)
    volume[2, 3, 4], volume[5, 6, 7] = low, high
    return volume.astype(dtype)


WHOLE_NUMBERS = [
    ("int8", -128, 127, -128),
    ("int8", 3, 90, 0),
    ("int16", -3000, 7000, -3000),
    ("int16", -32768, 32767, -32768),
    ("int16", 0, 4095, 0),
    ("int32", 100_000, 165_535, 100_000),
    ("int32", -5, 65_000, -5),
    ("uint32", 4_294_900_000, 4_294_965_000, 4_294_900_000),
]


@pytest.mark.parametrize(("dtype", "low", "high", "offset"), WHOLE_NUMBERS)
def test_whole_numbers_that_span_less_than_65536_are_kept_exactly(
    tmp_path: Path, dtype: str, low: int, high: int, offset: int
) -> None:
    volume = values(dtype, low, high)
    acquired = read_stack(write_slices(tmp_path, volume), GIVEN)
    assert acquired.image.dtype == np.uint16
    assert acquired.grey_scale == GreyScale(1.0, offset, np.dtype(dtype))
    np.testing.assert_array_equal(acquired.image + np.int64(offset), volume)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_that_hold_whole_numbers_are_kept_exactly(tmp_path: Path, dtype: str) -> None:
    volume = np.rint(values("float64", 0, 255)).astype(dtype)
    acquired = read_stack(write_slices(tmp_path, volume), GIVEN)
    np.testing.assert_array_equal(acquired.image, volume)
    assert acquired.grey_scale == GreyScale(1.0, 0.0, np.dtype(dtype))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", 0.0, 1.0),
        ("float32", -2e-12, 7e-12),
        ("float64", 1e30, 3e30),
        ("float16", -1.5, 2.0),
        ("int32", -2_000_000_000, 2_000_000_000),
        ("uint32", 0, 4_000_000_000),
    ],
)
def test_other_values_are_spread_over_all_grey_values(
    tmp_path: Path, dtype: str, low: float, high: float
) -> None:
    volume = values(dtype, low, high)
    acquired = read_stack(write_slices(tmp_path, volume), GIVEN)
    scale = acquired.grey_scale
    assert scale is not None
    assert (acquired.image.min(), acquired.image.max()) == (0, 65535)
    # Half a level is the rounding; the rest is that of the division.
    error = np.abs(acquired.image * scale.scale + scale.offset - volume.astype(np.float64))
    assert error.max() <= 0.5001 * scale.scale
    order = np.argsort(volume, axis=None)
    assert (np.diff(acquired.image.ravel()[order].astype(int)) >= 0).all()


def test_the_table_holds_the_values_of_the_source(tmp_path: Path) -> None:
    volume = values("float32", -3.0, 5.0)
    table = read_stack(write_slices(tmp_path, volume), GIVEN).table
    flat = volume.reshape(len(volume), -1)
    # Half a grey value is 6e-5.
    np.testing.assert_allclose(table["intensity_mean"], flat.mean(1), atol=1e-4)
    np.testing.assert_allclose(table["intensity_std"], flat.std(1), atol=1e-4)
    np.testing.assert_allclose(table["intensity_p99"], np.percentile(flat, 99, axis=1), atol=1e-4)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_region_is_stored_as_in_a_run_over_the_whole(tmp_path: Path, dtype: str) -> None:
    volume = values(dtype, -3000, 7000)
    folder = write_slices(tmp_path, volume)
    # Slices outside of the region may be bad: they do not count, in a run over the whole neither.
    truncate(folder / "slice_0001.tif")
    region = RegionOfInterest(z_start=3, z_stop=5, y_start=10, y_stop=30, x_start=7)
    whole = read_stack(folder, FILLING)
    part = read_stack(folder, GIVEN, region=region)
    assert part.grey_scale == whole.grey_scale
    np.testing.assert_array_equal(part.image, whole.image[3:5, 10:30, 7:])


def test_the_databar_does_not_count(tmp_path: Path) -> None:
    volume = values("float32", 0.0, 1.0)
    barred = np.concatenate([volume, np.full((len(volume), 9, 64), 1e6, np.float32)], axis=1)
    parameters = GIVEN.model_copy(update={"databar_rows": 9})
    acquired = read_stack(write_slices(tmp_path / "barred", barred), parameters)
    np.testing.assert_array_equal(
        acquired.image, read_stack(write_slices(tmp_path / "plain", volume), GIVEN).image
    )


@pytest.mark.parametrize(
    ("bad", "words"), [((np.nan,), "3 NaN of its"), ((np.nan, np.inf), "3 NaN and 3 infinite of its")]
)
def test_pixels_that_hold_no_number_are_a_fault(tmp_path: Path, bad: tuple[float, ...], words: str) -> None:
    volume = values("float32", 0.0, 1.0)
    for row, value in enumerate(bad):
        volume[4, row, 5:8] = value
    folder = write_slices(tmp_path, volume)
    with pytest.raises(BadSlicesError, match=rf"slice_0004\.tif: {words} 2560 pixels.*export"):
        read_stack(folder, GIVEN)
    filled = read_stack(folder, FILLING)
    assert filled.table["truncated"].tolist() == [z == 4 for z in range(len(volume))]
    middle = (filled.image[3].astype(int) + filled.image[5]) / 2
    np.testing.assert_allclose(filled.image[4], middle, atol=0.51)


def test_a_few_extreme_values_are_asked_about(tmp_path: Path) -> None:
    volume = values("float32", 0.0, 1.0)
    volume[3, 20, 20] = 1e4
    folder = write_slices(tmp_path, volume)
    message = r"10000 \(slice_0003\.tif\).*99\.8 %.*of 65536 grey values.*ingest\.value_range"
    with pytest.raises(AcquisitionError, match=message):
        read_stack(folder, GIVEN)
    acquired = read_stack(folder, GIVEN.model_copy(update={"value_range": (0.0, 1.0)}))
    assert acquired.image[3, 20, 20] == 65535
    inside = np.delete(volume.ravel(), 3 * 40 * 64 + 20 * 64 + 20)
    found = np.delete(acquired.image.ravel(), 3 * 40 * 64 + 20 * 64 + 20)
    np.testing.assert_array_equal(found, np.rint(inside.astype(float) * 65535))


def test_a_chosen_range_must_hold_the_values(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, values("int16", 0, 1000))
    with pytest.raises(BadSlicesError, match=r"% of its values lie beyond value_range \(500, 900\).*widen"):
        read_stack(folder, GIVEN.model_copy(update={"value_range": (500.0, 900.0)}))
    for bad in ((1.0, 1.0), (2.0, 1.0), (0.0, float("inf"))):
        with pytest.raises(ValidationError):
            IngestParameters(value_range=bad)


def test_blank_slices_do_not_widen_the_range(tmp_path: Path) -> None:
    volume = values("float32", 0.0, 1.0)
    volume[3] = -1e30
    filled = read_stack(write_slices(tmp_path, volume), FILLING)
    assert filled.table["blank"].tolist() == [z == 3 for z in range(len(volume))]
    assert filled.grey_scale is not None
    assert filled.grey_scale.scale == pytest.approx(1 / 65535)


def test_the_brightest_value_of_the_source_counts_as_saturated(tmp_path: Path) -> None:
    volume = values("int16", 0, 32767)
    volume[2], volume[4] = 32767, 0
    table = read_stack(write_slices(tmp_path, volume), FILLING).table
    assert table["saturated"].tolist() == [z == 2 for z in range(len(volume))]
    assert table["blank"].tolist() == [z == 4 for z in range(len(volume))]


def test_workers_and_known_ranges_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = open_stack(write_slices(tmp_path, values("float32", -1.0, 1.0)), GIVEN)
    measured: dict[str, Any] = {}
    expected = with_grey_scale(stack, None, measured).grey_scale
    assert with_grey_scale(stack, Execution(workers=3)).grey_scale == expected
    assert sorted(measured) == [stack.slice_name(z) for z in range(stack.shape[0])]
    monkeypatch.setattr("spherovem_core.ingest.value_range.read_window", None)
    assert with_grey_scale(stack, None, measured).grey_scale == expected


def test_a_stack_without_its_grey_scale_is_not_read(tmp_path: Path) -> None:
    stack = open_stack(write_slices(tmp_path, values("float32", -1.0, 1.0)), GIVEN)
    assert (stack.dtype, stack.source_dtype) == (np.uint16, np.float32)
    with pytest.raises(ValueError, match="with_grey_scale"):
        stack.read_slice(0)


def test_uint8_and_uint16_are_never_converted(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16"):
        stack = open_stack(write_slices(tmp_path / dtype, textured(SHAPE, dtype)), GIVEN)
        assert with_grey_scale(stack) is stack
        assert "source_dtype" not in stack.metadata


def test_the_survey_states_the_type_of_the_source(tmp_path: Path) -> None:
    stack = survey_stack(write_slices(tmp_path, values("int32", 0, 9)), GIVEN).stack
    assert (stack.dtype, stack.metadata["source_dtype"]) == (np.uint16, "int32")


def test_conversion_takes_no_value_out_of_order() -> None:
    """Neighbouring floats at the ends of the range stay in order, and the ends themselves are met."""
    scale = GreyScale(0.1, -3.0, np.dtype(np.float32))
    steps = np.linspace(-3.0, -3.0 + 0.1 * 65535, 200_001, dtype=np.float32)[np.newaxis]
    stored = scale.store(steps, "slice")[0].astype(int)
    assert (stored[0], stored[-1]) == (0, 65535)
    assert (np.diff(stored) >= 0).all()


def test_the_stage_keeps_scale_and_offset_and_continues_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = values("float32", -2.0, 6.0)
    source = write_slices(tmp_path / "run", volume)
    acquisition = Acquisition(name="run", source=source, results_root=tmp_path / "results")
    parameters = PipelineParameters.model_validate({**TINY, "ingest": {"spacing_nm": SPACING_NM}})
    read = SliceStack.read_as_acquired

    def stopped(self: SliceStack, z: int) -> Any:
        if z == 4:
            raise KeyboardInterrupt
        return read(self, z)

    monkeypatch.setattr(SliceStack, "read_as_acquired", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_steps(acquisition, parameters, until="ingest")
    monkeypatch.setattr(SliceStack, "read_as_acquired", read)
    # The ranges are known: none is measured again.
    monkeypatch.setattr("spherovem_core.ingest.value_range.measure_range", None)
    run_steps(acquisition, parameters, until="ingest")
    raw = open_array(Layout(acquisition.folder), RAW)
    stated = raw.details["source"]["grey_scale"]
    np.testing.assert_allclose(
        raw[:] * stated["scale"] + stated["offset"], volume, atol=0.51 * stated["scale"]
    )
    assert stated["source_dtype"] == "float32"
    table = pd.read_parquet(Layout(acquisition.folder).tables / "stages" / "slices.parquet")
    section = acquisition_section(
        ReportInputs("run", Layout(acquisition.folder), parameters, {"slices": table}, {}, 64)
    )
    said = dict(section.facts)["Values of the source"]
    assert said.startswith(f"float32, {stated['scale']:.9g} · stored - {-stated['offset']:.9g}")
    np.testing.assert_allclose(table["intensity_mean"], volume.mean(axis=(1, 2)), atol=stated["scale"])


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7}], ids=["in one piece", "in strips"])
def test_white_is_zero_turns_over_the_bits_that_are_used(
    tmp_path: Path, bits: int, options: dict[str, Any]
) -> None:
    volume = np.random.default_rng(0).integers(0, 2**bits, SHAPE).astype(np.uint16)
    for z, image in enumerate(volume):
        tifffile.imwrite(
            tmp_path / f"s_{z}.tif",
            image,
            bitspersample=bits,
            photometric="miniswhite",
            metadata=None,
            **options,
        )
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, 2**bits - 1 - volume)
    region = RegionOfInterest(y_start=11, y_stop=33, x_start=5, x_stop=60)
    part = read_stack(tmp_path, GIVEN, region=region).image
    np.testing.assert_array_equal(part, (2**bits - 1 - volume)[:, 11:33, 5:60])


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_white_is_zero_of_other_types_gives_larger_for_brighter(tmp_path: Path, dtype: str) -> None:
    volume = values(dtype, -100, 100)
    acquired = read_stack(write_slices(tmp_path, volume, photometric="miniswhite"), GIVEN)
    order = np.argsort(-volume.astype(float), axis=None)
    assert (np.diff(acquired.image.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_the_overview_shows_values_of_the_source(tmp_path: Path, dtype: str) -> None:
    volume = values(dtype, -3000, 7000)
    if dtype == "float32":
        volume[2, 20, 30] = np.nan
    volume[5] = 17
    folder = write_slices(tmp_path, volume)
    overview = look_over(survey_stack(folder, GIVEN).stack)
    sheet = make_contact_sheet(survey_stack(folder, GIVEN).stack, overview)
    assert len(sheet.thumbnails) == len(volume)
    table = overview.table
    np.testing.assert_allclose(
        table["intensity_mean"][[0, 1, 3]], volume[[0, 1, 3]].mean((1, 2), np.float64), atol=300
    )
    assert "blank" in table["suspicion"][5]


def test_the_pass_over_the_ranges_shows_its_progress(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "run", textured((24, 20, 30)).astype("float32"))
    seen: list[tuple[int, int]] = []
    stack = open_stack(folder, IngestParameters(spacing_nm=SPACING_NM))
    with_grey_scale(stack, Execution(progress=lambda done, total: seen.append((done, total)), workers=1))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {24}
    assert seen[-1][0] > 12
