"""Databars that no metadata state: found in the pixels, and told from borders and copies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from spherovem_core.errors import AcquisitionError
from spherovem_core.ingest import open_stack, read_stack, survey_stack
from spherovem_core.ingest.lettering import count_databar_rows, find_lettering
from spherovem_core.parameters import IngestParameters, PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.steps.ingest import INGEST
from spherovem_core.workflow import RunRequest

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
ROWS = 12


def with_bar(volume: NDArray[Any], white: int, *, counter: bool = False) -> NDArray[Any]:
    """Cover the lower end of each slice with a black bar, white letters on it, and digits that count."""
    out = volume.copy()
    out[:, -ROWS:] = 10
    out[:, -ROWS] = white
    out[:, -ROWS + 4 : -4, 6:30:4] = white
    for z in range(len(out) if counter else 0):
        out[z, -ROWS + 4 : -4, 40 + z] = white
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("counter", [False, True], ids=["the same", "with a counter"])
def test_a_databar_is_cut_off(tmp_path: Path, dtype: str, counter: bool) -> None:
    volume = textured((9, 80, 64), dtype)
    folder = write_slices(tmp_path, with_bar(volume, int(0.9 * np.iinfo(dtype).max), counter=counter))
    stack = survey_stack(folder, GIVEN).stack
    assert (stack.metadata["databar_rows"], stack.metadata["databar_origin"]) == (ROWS, "pixels")
    np.testing.assert_array_equal(read_stack(folder, GIVEN).image, volume[:, :-ROWS])


def test_databar_rows_0_keep_it(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, with_bar(textured((9, 80, 64)), 240))
    stack = survey_stack(folder, GIVEN.model_copy(update={"databar_rows": 0})).stack
    assert stack.shape == (9, 80, 64)
    assert "databar_origin" not in stack.metadata


def test_a_border_without_lettering_belongs_to_the_image(tmp_path: Path) -> None:
    volume = textured((9, 80, 64))
    volume[:, -ROWS:] = 0
    assert survey_stack(write_slices(tmp_path, volume), GIVEN).stack.shape == volume.shape


@pytest.mark.parametrize("count", [1, 9], ids=["one slice", "copies of one slice"])
def test_slices_that_show_no_difference_have_no_databar(tmp_path: Path, count: int) -> None:
    volume = np.repeat(with_bar(textured((1, 80, 64)), 240), count, axis=0)
    assert survey_stack(write_slices(tmp_path, volume), GIVEN).stack.shape == volume.shape


def test_a_damaged_slice_does_not_hide_the_databar(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, with_bar(textured((9, 80, 64)), 240))
    first = folder / "slice_0000.tif"
    first.write_bytes(first.read_bytes()[:2000])
    report = survey_stack(folder, GIVEN)
    assert report.stack.shape == (9, 80 - ROWS, 64)
    assert report.problems


def test_results_without_its_databar_do_not_count(tmp_path: Path) -> None:
    plain = write_slices(tmp_path / "plain", textured((9, 80, 64)))
    barred = write_slices(tmp_path / "barred", with_bar(textured((9, 80, 64)), 240))

    def external(source: Path, rows: int | None) -> Mapping[str, str]:
        parameters = PipelineParameters(ingest=IngestParameters(databar_rows=rows))
        return INGEST.external(
            RunRequest(Acquisition(name=source.name, source=source, results_root=tmp_path), parameters)
        )

    assert external(plain, None).keys() == {"source"}
    assert external(barred, None)["databar"] == f"{ROWS} rows"
    assert external(barred, ROWS).keys() == {"source"}


TEXT = "HV 5.00 kV  WD 4.1 mm  HFW 12.8 um  mag 10 000 x  det TLD"
BAR = 28


def lettered(width: int, z: int, ground: int = 0, ink: int = 255, rows: int = BAR) -> NDArray[np.uint8]:
    """Draw a databar with two lines, the second with a clock and a frame number, and a scale bar."""
    image = Image.new("L", (width, rows), ground)
    pen = ImageDraw.Draw(image)
    pen.text((4, 2), TEXT, fill=ink)
    if rows >= BAR:
        pen.text((4, rows - 12), f"Helios 650  12:{z:02d}:{z * 37 % 60:02d}  frame {z:05d}", fill=ink)
    pen.rectangle((width - 90, rows // 2 - 1, width - 20, rows // 2 + 1), fill=ink)
    return np.asarray(image)


def tissue(seed: int = 0, slices: int = 9) -> NDArray[np.uint8]:
    """Make noisy blobs that change from slice to slice, 200 by 480 pixels."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.standard_normal((slices, 200, 480)), (0, 6, 6))
    return np.clip(128 + 35 * blobs / blobs.std() + rng.normal(0, 8, blobs.shape), 0, 255).astype(np.uint8)


def covered(draw: Any = lettered, **options: Any) -> NDArray[np.uint8]:
    volume = tissue()
    for z, image in enumerate(volume):
        image[-BAR:] = draw(480, z, **options)
    return volume


def overlaid(above: int = 0) -> NDArray[np.uint8]:
    """Put a box with lettering over a third of the width, some rows above the edge."""
    volume = tissue()
    for z, image in enumerate(volume):
        image[200 - BAR - above : 200 - above, :160] = lettered(480, z)[:, :160]
    return volume


def shaded(width: int, z: int) -> NDArray[np.uint8]:
    return np.maximum(lettered(width, z), np.linspace(0, 80, width).astype(np.uint8))


def noisy(width: int, z: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(z).normal(0, 2, (BAR, width))
    return np.clip(lettered(width, z, 40, 230) + noise, 0, 255).astype(np.uint8)


CERTAIN = {
    "black": covered(),
    "white": covered(ground=255, ink=0),
    "grey": covered(ground=90),
    "faint": covered(ground=30, ink=130),
    "12 bits": covered().astype(np.uint16) * 16,
    "int16": covered().astype(np.int16) * 10 - 900,
    "float32": (covered() / 255).astype(np.float32),
}


@pytest.mark.parametrize("kind", CERTAIN)
def test_a_databar_of_any_ground_and_type_is_cut_off(tmp_path: Path, kind: str) -> None:
    report = survey_stack(write_slices(tmp_path, CERTAIN[kind]), GIVEN)
    assert report.stack.shape == (9, 200 - BAR, 480)
    assert report.problems == ()


LIKELY = {
    "shaded ground": (covered(shaded), BAR),
    "noise": (covered(noisy), BAR),
    "box": (overlaid(), BAR),
    "box above the edge": (overlaid(10), BAR + 10),
}


@pytest.mark.parametrize("kind", LIKELY)
def test_what_is_likely_to_be_a_databar_is_asked_about(tmp_path: Path, kind: str) -> None:
    volume, rows = LIKELY[kind]
    folder = write_slices(tmp_path, volume)
    with pytest.raises(
        AcquisitionError,
        match=rf"rows \d+ to \d+ of 200 hold lettering.*lower end; set ingest\.databar_rows = {rows} .*databar_rows = 0",
    ):
        open_stack(folder, GIVEN)
    for answer in (0, rows):
        assert open_stack(folder, GIVEN.model_copy(update={"databar_rows": answer})).shape[1] == 200 - answer


@pytest.mark.parametrize("quality", [75, 90])
def test_lossy_compression_blurs_a_databar_so_that_it_is_asked_about(tmp_path: Path, quality: int) -> None:
    """The blocks of JPEG mix rows of the databar and of the tissue: which row is the first is not certain."""
    options = {"compression": "jpeg", "compressionargs": {"level": quality}}
    folder = write_slices(tmp_path, covered(), photometric="minisblack", **options)
    with pytest.raises(AcquisitionError, match=r"lettering.*ingest\.databar_rows = (2[6-9]|3[0-2]) to cut"):
        open_stack(folder, GIVEN)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_databar_at_the_top_is_asked_about_and_cut_off_on_demand(tmp_path: Path, dtype: str) -> None:
    volume = covered()[:, ::-1].astype(dtype)
    for z, image in enumerate(volume):
        image[:BAR] = lettered(480, z)
    folder = write_slices(tmp_path, volume)
    with pytest.raises(AcquisitionError, match=r"upper end; set ingest\.databar_top_rows = 28 .*= 0 to keep"):
        open_stack(folder, GIVEN)
    parameters = GIVEN.model_copy(update={"databar_top_rows": BAR})
    stack = open_stack(folder, parameters)
    assert (stack.metadata["databar_rows"], stack.metadata["databar_top_rows"]) == (0, BAR)
    whole = read_stack(folder, parameters).image
    np.testing.assert_array_equal(whole, volume[:, BAR:])
    region = RegionOfInterest(z_start=2, y_start=5, y_stop=50, x_start=7)
    np.testing.assert_array_equal(
        read_stack(folder, parameters, region=region).image, volume[2:, BAR + 5 : BAR + 50, 7:]
    )
    assert read_stack(folder, GIVEN.model_copy(update={"databar_top_rows": 0})).image.shape == volume.shape


def ramp(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    lines = np.cumsum(rng.normal(0, 0.15, (60, 480)), axis=0) + 3 * rng.standard_normal(480)
    return np.asarray(ndimage.gaussian_filter1d(lines, 1.0, axis=1))


def border(name: str, seed: int) -> NDArray[np.uint8]:
    """Make a stack whose lowest rows are no databar although they stay, or nearly."""
    rng = np.random.default_rng(seed)
    volume = tissue(seed)
    blobs = ndimage.gaussian_filter(rng.standard_normal((60, 480 + 60)), 4)
    y, x = np.mgrid[:200, :480]
    for z, image in enumerate(volume):
        low = image[-60:]
        noise = rng.normal(0, 1, low.shape)
        values: NDArray[Any] = low
        if name == "padding":
            values = np.zeros_like(low)
        elif name == "corners of an aligned stack":
            image[y > 170 + 0.1 * x] = 0
            continue
        elif name == "flat resin":
            values = 100 + noise
        elif name == "flat resin with hot pixels":
            values = np.where(np.random.default_rng(seed).random(low.shape) < 0.02, 255, 100 + noise)
        elif name == "curtains":
            values = 100 + 60 * (np.random.default_rng(seed).standard_normal(480) > 0.8) + noise
        elif name == "curtains that bend":
            values = 100 + 70 * (ramp(seed) > 1.5) + 2 * noise
        elif name == "saturated resin":
            values = np.where(blobs[:, :480] > 0.3 * blobs.std(), 255, low)
        elif name == "drifting deposit":
            shifted = blobs[:, 3 * z : 3 * z + 480]
            values = np.where(shifted > 0.3 * blobs.std(), 300, -50) + 20 * noise
        elif name == "dust":
            values = np.where(blobs[:, :480] > 1.5 * blobs.std(), 0, low)
        elif name == "frame":
            image[-3:] = image[:3] = 255
            image[:, -3:] = image[:, :3] = 255
            continue
        image[-60:] = np.clip(values, 0, 255)
    return volume


BORDERS = [
    "padding",
    "corners of an aligned stack",
    "flat resin",
    "flat resin with hot pixels",
    "curtains",
    "curtains that bend",
    "saturated resin",
    "drifting deposit",
    "dust",
    "frame",
    "plain",
]


def ends(volume: NDArray[Any]) -> list[list[NDArray[Any]]]:
    """Cut a quarter off either end of four slices, the outermost row last."""
    height = volume.shape[1] // 4
    chosen = volume[np.linspace(0, len(volume) - 1, 4).astype(int)]
    return [list(chosen[:, -height:]), list(chosen[:, height - 1 :: -1])]


@pytest.mark.parametrize("name", BORDERS)
def test_borders_are_no_databars(name: str) -> None:
    for seed in range(4):
        for strips in ends(border(name, seed)):
            assert count_databar_rows(strips) == 0
            assert find_lettering(strips) is None


@pytest.mark.parametrize("data", ["fibsem_drosophila/slices", "sstem_vnc"])
def test_real_slices_have_no_databar(shared_data: Path, data: str) -> None:
    volume = np.stack([tifffile.imread(path) for path in sorted((shared_data / data).glob("*.tif"))])
    crops = [
        volume,
        volume[:, :180],
        volume[:, 60:, :200],
        volume[::2],
        volume[:4],
        np.rot90(volume, 1, (1, 2)),
    ]
    smooth = ndimage.gaussian_filter(volume[::4].astype(np.float32), (0, 2, 2))
    harsh = np.clip((volume[::4].astype(np.float32) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    for crop in (*crops, smooth, harsh):
        for strips in ends(crop):
            assert count_databar_rows(strips) == 0
            assert find_lettering(strips) is None
