"""A first look at an acquisition finds what stands out, reads little, and is shown as HTML and PNG."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, truncate
from PIL import Image
from scipy.ndimage import gaussian_filter

from spherovem_core.ingest import survey_stack
from spherovem_core.ingest.overview import look_over, make_contact_sheet, sheet_page, sheet_picture
from spherovem_core.ingest.overview import survey_of_pixels as overview_module
from spherovem_core.ingest.overview.contact_sheet import shrink
from spherovem_core.ingest.overview.sampled_slices import band_starts, sharpness
from spherovem_core.parameters import IngestParameters

DEPTH, SIDE = 60, 160
NOISE = np.random.default_rng(1).normal(size=(DEPTH, SIDE, SIDE)) * 6


def tissue() -> Any:
    values = gaussian_filter(
        np.random.default_rng(0).normal(size=(DEPTH, SIDE, SIDE)), (4, 2, 2), mode="wrap"
    )
    return values / values.std() * 30 + 120


def look(folder: Path, volume: Any, **parameters: Any) -> Any:
    for z, values in enumerate(volume):
        tifffile.imwrite(folder / f"s_{z + 1:03d}.tif", values, metadata=None)
    return survey_stack(folder, IngestParameters(spacing_nm=SPACING_NM, **parameters)).stack


def as_bytes(volume: Any) -> Any:
    return np.clip(np.rint(volume), 0, 255).astype(np.uint8)


def test_what_stands_out_is_named_and_the_rest_is_not(tmp_path: Path) -> None:
    volume = tissue()
    volume[10] = gaussian_filter(volume[10], 2.5)
    volume[15] = volume[15] * 0.6 + 10
    volume[32] = np.roll(volume[32], 25, 0)
    volume[45:] = np.roll(volume[45:], 30, 1)
    stored = as_bytes(volume + NOISE)
    stored[21], stored[51] = stored[20], 0
    stack = look(tmp_path, stored, exclude_slices=("40: fold",))
    (tmp_path / "s_054.tif").unlink()
    truncate(tmp_path / "s_057.tif")
    stack = survey_stack(tmp_path, stack.parameters).stack
    found = look_over(stack)
    assert found.step == 1
    reasons = dict(zip(found.suspicious["number"], found.suspicious["suspicion"], strict=True))
    assert "less sharp" in reasons.pop(11)
    assert reasons.pop(57).startswith("truncated")
    assert reasons.pop(23, "content jumps") == "content jumps", "the next slice is two slices on"
    assert reasons == {
        16: "intensity or contrast jumps",
        22: "repeats slice 21",
        33: "content jumps",
        40: "excluded: fold",
        46: "content jumps",
        52: "blank",
        54: "missing",
    }


def test_nothing_stands_out_of_an_even_stack(tmp_path: Path) -> None:
    assert look_over(look(tmp_path, as_bytes(tissue() + NOISE))).suspicious.empty


def test_sharpness_takes_no_noise_for_detail() -> None:
    plain = [tissue()[0]]
    sharp = sharpness(plain)
    blurred = sharpness([gaussian_filter(plain[0], 3)])
    noise = np.random.default_rng(0).normal(size=plain[0].shape) * 30
    assert blurred < 0.5 * sharp
    assert sharpness([gaussian_filter(plain[0], 3) + noise]) < blurred
    assert np.isnan(sharpness([np.full((16, 50), 3, np.uint8)]))


@pytest.mark.parametrize("rows", [1, 5, 16, 40, 96, 1000])
def test_bands_lie_within_the_slice_and_apart(rows: int) -> None:
    starts = band_starts(rows)
    ends = [start + min(16, rows) for start in starts]
    assert starts[0] >= 0
    assert ends[-1] <= rows
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_a_stack_too_large_for_the_time_is_sampled_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview_module, "FIRST_SLICES", 8)
    stack = look(tmp_path, as_bytes(tissue() + NOISE))
    found = look_over(stack, seconds=0.0)
    assert found.step == 4
    assert found.table["z"].tolist() == list(range(0, DEPTH, 4))
    assert look_over(stack).table["z"].tolist() == list(range(DEPTH))


def test_the_sheet_shows_even_and_suspicious_slices_as_html_and_png(tmp_path: Path) -> None:
    volume = as_bytes(tissue() + NOISE)
    volume[30] = 0
    stack = look(tmp_path, volume)
    (tmp_path / "s_034.tif").unlink()
    stack = survey_stack(tmp_path, stack.parameters).stack
    found = look_over(stack)
    sheet = make_contact_sheet(stack, found)
    numbers = [each.number for each in sheet.thumbnails]
    assert numbers == sorted(set(numbers))
    assert {1, 31, 34, 60} <= set(numbers)
    assert sheet.left_out == 0
    page = sheet_page("<run>", [("Source", "x & y")], found, sheet)
    assert "blank" in page
    assert "&lt;run&gt;" in page
    assert "http-equiv" in page
    assert page.count("data:image/webp") == len(numbers)
    with Image.open(io.BytesIO(sheet_picture("run", found, sheet))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


def test_a_slice_is_shrunk_by_means() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(shrink(values, 3), [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
    assert shrink(np.ones((1, 999)), 100).shape == (1, 99)
