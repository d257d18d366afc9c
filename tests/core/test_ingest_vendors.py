"""Metadata of instruments in TIFF files and beside them. The texts are made up after the sources that the docs name."""

import json
import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.errors import AcquisitionError, BadSlicesError, MissingSpacingError
from spherovem_core.ingest import (
    open_stack,
    read_stack,
    source_digest,
    survey_stack,
    vendor_texts,
    with_grey_scale,
)
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import RegionOfInterest

DEFAULT = IngestParameters()
GIVEN = IngestParameters(spacing_nm=SPACING_NM)
FILLED = IngestParameters(on_bad_slice="interpolate", max_filled_slices=2)
FILLING = GIVEN.model_copy(update={"on_bad_slice": "interpolate"})
TESCAN = (
    "[MAIN]\r\nCompany=TESCAN\r\nImageStripSize={strip}\r\nMagnification=20e3\r\nPixelSizeX={x}\r\nPixelSizeY={y}\r\n"
    "PixelSizeZ=99e-9\r\n[SEM]\r\nHV=5e3\r\n"
)
ATLAS = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\r\n<Fibics version="1.2">'
    "<Image><Width>{width}</Width><Height>40</Height></Image>"
    '<Scan><FOV_X units="um">0.64</FOV_X><FOV_Y units="um">0.4</FOV_Y>{steps}</Scan></Fibics>'
)


def pixel_nm(stack: SliceStack) -> tuple[float, ...]:
    """Return the pixel size; the slice thickness comes from acquisition.json."""
    assert stack.spacing_nm[0] == 50
    return stack.spacing_nm[1:]


def describe(folder: Path) -> None:
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, null, null]}')


def write_tagged(folder: Path, tag: int, kind: int, value: Any, **options: Any) -> Path:
    """Write slices with a private tag, and the slice thickness in acquisition.json."""
    tags = [(tag, kind, len(value), value, True)]
    write_slices(folder, options.pop("volume", textured()), extratags=tags, **options)
    describe(folder)
    return folder


@pytest.mark.parametrize(
    "value",
    [
        TESCAN.format(strip=0, x="12e-9", y="10E-9"),
        "\x01\x00\x10thumb\x00\r\n" + TESCAN.format(strip=0, x="0.000000012", y=" 1e-08"),
    ],
    ids=["text alone", "after other data"],
)
@pytest.mark.parametrize("kind", [2, 7])
def test_the_pixel_size_in_the_tag_of_tescan(tmp_path: Path, value: str, kind: int) -> None:
    content: Any = value.encode("latin-1") if kind == 7 else value.replace("\x00", "")
    stack = open_stack(write_tagged(tmp_path, 50431, kind, content), DEFAULT)
    assert pixel_nm(stack) == pytest.approx((10, 12))
    assert stack.spacing_origin == "z: acquisition.json; y, x: TESCAN metadata"
    assert stack.metadata["metadata"] == "TESCAN"


@pytest.mark.parametrize("strip", [0, 12, 40, 400])
def test_the_strip_of_tescan_is_cut_off_unless_it_would_leave_nothing(tmp_path: Path, strip: int) -> None:
    text = TESCAN.format(strip=strip, x="10e-9", y="10e-9").encode()
    stack = open_stack(write_tagged(tmp_path, 50431, 7, text), DEFAULT)
    assert stack.shape[1] == (28 if strip == 12 else 40)


@pytest.mark.parametrize("name", ["slice_{:04d}-tif.hdr", "slice_{:04d}.hdr", "SLICE_{:04d}-TIF.HDR"])
def test_the_hdr_file_of_tescan(tmp_path: Path, name: str) -> None:
    write_slices(tmp_path, textured())
    for z in range(7):
        text = TESCAN.format(strip=5, x="12e-9", y="10e-9") + "[3DTomo]\r\nCrossSectionAngle=90\r\n"
        (tmp_path / name.format(z)).write_text(text)
    stack = open_stack(tmp_path, DEFAULT)
    assert stack.spacing_nm == pytest.approx((99, 10, 12))
    assert stack.shape == (7, 35, 64)
    np.testing.assert_array_equal(stack.read_slice(3), textured()[3, :35])


def write_jeol(folder: Path, size: str = "64 34", marker: str = "100nm") -> Path:
    """Write slices of 64 by 40 pixels of which the lowest six rows are a databar by the text files."""
    write_slices(folder, textured())
    for z in range(7):
        (folder / f"slice_{z:04d}.txt").write_text(
            f"$CM_FORMAT JEOL/SEM\n$CM_MAG 30000\n$CM_FULL_SIZE {size}\n$$SM_MICRON_BAR 10\n$$SM_MICRON_MARKER {marker}\n"
        )
    describe(folder)
    return folder


@pytest.mark.parametrize("marker", ["100nm", "0.1um", "0.1 µm", "1e-4mm"])
def test_the_text_file_of_jeol(tmp_path: Path, marker: str) -> None:
    stack = open_stack(write_jeol(tmp_path, marker=marker), DEFAULT)
    assert pixel_nm(stack) == pytest.approx((10, 10))
    assert stack.shape == (7, 34, 64)
    assert stack.spacing_origin.endswith("JEOL text")


def test_a_text_about_an_image_of_another_size_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(MissingSpacingError, match="pixel size is missing"):
        open_stack(write_jeol(tmp_path, size="1280 960"), DEFAULT)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_the_text_file_of_hitachi(tmp_path: Path, encoding: str) -> None:
    write_slices(tmp_path, textured())
    for z in range(7):
        text = "[SemImageFile]\r\nInstructName=SU8000\r\nDataSize=64x40\r\nPixelSize=12.5\r\nSampleName=µ\r\n"
        (tmp_path / f"slice_{z:04d}.txt").write_bytes(text.encode(encoding))
    describe(tmp_path)
    stack = open_stack(tmp_path, DEFAULT)
    assert pixel_nm(stack) == pytest.approx((12.5, 12.5))
    assert stack.shape == (7, 40, 64)


def test_the_mdoc_of_a_stack_and_of_a_series(tmp_path: Path) -> None:
    stack = tmp_path / "stack"
    stack.mkdir()
    tifffile.imwrite(stack / "a.tif", textured(), metadata=None)
    text = "PixelSpacing = 46.2\nImageFile = a.tif\nImageSize = 64 40\n\n[ZValue = 0]\nPixelSpacing = 46.2\n"
    (stack / "a.tif.mdoc").write_text(text)
    describe(stack)
    assert pixel_nm(open_stack(stack / "a.tif", DEFAULT)) == pytest.approx((4.62, 4.62))
    series = write_slices(tmp_path / "series", textured())
    describe(series)
    document = series / "run.mdoc"
    document.write_text("PixelSpacing = 30\nImageFile = overview.mrc\n")
    with pytest.raises(MissingSpacingError):
        open_stack(series, DEFAULT)
    document.write_text(
        "ImageSeries = 1\n" + "".join(f"[Image = slice_{z:04d}.tif]\nPixelSpacing = 30\n" for z in range(7))
    )
    assert pixel_nm(open_stack(series, DEFAULT)) == pytest.approx((3, 3))


def test_a_tilt_series_is_no_stack_of_slices(tmp_path: Path) -> None:
    stack = tmp_path / "a.tif"
    tifffile.imwrite(stack, textured(), metadata=None)
    describe(tmp_path)

    def write(tilts: Sequence[float]) -> None:
        sections = (f"[ZValue = {z}]\nTiltAngle = {tilt}\n" for z, tilt in enumerate(tilts))
        (tmp_path / "a.tif.mdoc").write_text("PixelSpacing = 46.2\nImageSize = 64 40\n" + "".join(sections))

    write([-0.01, 0.02, 0.0, 0.01, 0.01, 0.0, -0.03])
    assert open_stack(stack, DEFAULT).shape[0] == 7
    write(range(-60, 80, 20))
    with pytest.raises(BadSlicesError, match="tilts from -60 to 60 degrees: a tilt series shows one place"):
        open_stack(stack, DEFAULT)
    (tmp_path / "a.tif").unlink()
    write_slices(tmp_path, textured())
    for z in range(7):
        text = f"PixelSpacing = 46.2\nImageSize = 64 40\n\n[ZValue = 0]\nTiltAngle = {20 * z - 60}\n"
        (tmp_path / f"slice_{z:04d}.tif.mdoc").write_text(text)
    with pytest.raises(BadSlicesError, match="a tilt series"):
        open_stack(tmp_path, DEFAULT)


@pytest.mark.parametrize("inner", [{"image": {"hfw": 1e-6}}, {"hfw": 1e-6}], ids=["version 3", "version 1"])
def test_the_json_of_open_fibsem(tmp_path: Path, inner: dict[str, Any]) -> None:
    metadata = {**inner, "version": "v3", "pixel_size": {"x": 12e-9, "y": 10e-9}, "microscope_state": {}}
    for z, values in enumerate(textured()):
        tifffile.imwrite(tmp_path / f"slice_{z}.tif", values, metadata=metadata)
    describe(tmp_path)
    stack = open_stack(tmp_path, DEFAULT)
    assert pixel_nm(stack) == pytest.approx((10, 12))
    assert "OpenFIBSEM" in stack.spacing_origin


def test_other_json_is_not_that_of_open_fibsem(tmp_path: Path) -> None:
    for text in ('{"pixel_size": 3}', '{"pixel_size": {"x": 1, "y": 1}}', '{"pixel_size"', "[" * 10**5):
        tifffile.imwrite(tmp_path / "slice.tif", textured()[0], description=text, metadata=None)
        describe(tmp_path)
        with pytest.raises(MissingSpacingError, match="pixel size is missing"):
            open_stack(tmp_path / "slice.tif", DEFAULT)


STEPS = "<Ux>{:g}</Ux><Uy>{:g}</Uy><Vx>{:g}</Vx><Vy>{:g}</Vy>"


@pytest.mark.parametrize(
    ("steps", "yx_nm"),
    [
        (STEPS.format(0.012, 0, 0, -0.01), (10, 12)),
        (STEPS.format(0.006, 0.008, 0.008, -0.006), (10, 10)),
        ("", (10, 10)),
    ],
    ids=["straight", "turned scan", "field of view"],
)
def test_the_tag_of_atlas(tmp_path: Path, steps: str, yx_nm: tuple[float, float]) -> None:
    folder = write_tagged(tmp_path, 51023, 2, ATLAS.format(width=64, steps=steps))
    assert pixel_nm(open_stack(folder, DEFAULT)) == pytest.approx(yx_nm)


def test_the_tag_of_atlas_in_a_binned_copy_does_not_count(tmp_path: Path) -> None:
    folder = write_tagged(tmp_path, 51023, 2, ATLAS.format(width=128, steps=STEPS.format(0.01, 0, 0, 0.01)))
    with pytest.raises(MissingSpacingError, match="pixel size is missing"):
        open_stack(folder, DEFAULT)


BINNED = "speak of an image of {}, the file has 40 × 64: it was binned, cropped or resized since"
FEI = "[Scan]\r\nPixelWidth=1e-8\r\nPixelHeight=1e-8\r\n[Image]\r\nResolutionX={}\r\nResolutionY={}\r\n"


@pytest.mark.parametrize(("columns", "rows", "kept"), [(64, 40, 40), (64, 33, 33), (128, 80, 0), (32, 20, 0)])
def test_fei_metadata_of_an_image_of_another_width_do_not_count(
    tmp_path: Path, columns: int, rows: int, kept: int
) -> None:
    folder = write_tagged(tmp_path, 34682, 2, FEI.format(columns, rows))
    if kept:
        stack = open_stack(folder, DEFAULT)
        assert (pixel_nm(stack), stack.shape[1]) == ((10, 10), kept)
    else:
        with pytest.raises(MissingSpacingError, match=f"FEI metadata {BINNED.format(f'{columns} columns')}"):
            open_stack(folder, DEFAULT)
        # A databar by such metadata would be most of the image.
        assert open_stack(folder, GIVEN).shape[1] == 40


@pytest.mark.parametrize("reduced", [None, {"left": 0.0, "top": 0.0, "width": 0.5, "height": 0.5}])
def test_open_fibsem_metadata_of_a_larger_image_count_for_a_reduced_area_alone(
    tmp_path: Path, reduced: dict[str, float] | None
) -> None:
    metadata = {
        "image": {"resolution": [128, 80], "hfw": 1.28e-6, "reduced_area": reduced},
        "pixel_size": {"x": 12e-9, "y": 10e-9},
        "microscope_state": {},
    }
    for z, values in enumerate(textured()):
        tifffile.imwrite(tmp_path / f"slice_{z}.tif", values, metadata=metadata)
    describe(tmp_path)
    if reduced:
        assert pixel_nm(open_stack(tmp_path, DEFAULT)) == pytest.approx((10, 12))
    else:
        with pytest.raises(MissingSpacingError, match=f"OpenFIBSEM metadata {BINNED.format('128 columns')}"):
            open_stack(tmp_path, DEFAULT)


def test_ome_metadata_of_an_image_of_another_size_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="128" SizeY="80" SizeC="1" SizeZ="7" SizeT="1" PhysicalSizeX="0.01" '
        'PhysicalSizeY="0.01" PhysicalSizeZ="0.05"/></Image></OME>'
    )
    tifffile.imwrite(path, textured(), description=text, metadata=None, photometric="minisblack")
    with pytest.raises(MissingSpacingError, match=f"OME metadata {BINNED.format('80 × 128 pixels')}"):
        open_stack(path, DEFAULT)
    assert open_stack(path, GIVEN).spacing_nm == SPACING_NM


def zeiss_pages(shared_data: Path, path: Path, places: Sequence[int], old: bytes, new: bytes) -> Path:
    """Copy the real Zeiss file of two pages, slices 2 and 5, with a text of some pages changed."""
    content = bytearray((shared_data / "tiff_vendor" / "ZEISS_SEM_multipage.tif").read_bytes())
    found = [match.start() for match in re.finditer(re.escape(old), content)]
    assert len(found) == 2
    assert len(old) == len(new)
    for place in places:
        content[found[place] : found[place] + len(new)] = new
    path.write_bytes(content)
    return path


def test_a_change_of_magnification_within_a_file_is_refused(shared_data: Path, tmp_path: Path) -> None:
    path = zeiss_pages(
        shared_data, tmp_path / "a.tif", [1], b"Image Pixel Size = 12.33 nm", b"Image Pixel Size = 24.66 nm"
    )
    with pytest.raises(
        AcquisitionError, match=r"page 2: voxel size \(60, 24.66, 24.66\) nm, on its first page"
    ):
        open_stack(path, FILLED)
    excluded = FILLED.model_copy(update={"exclude_slices": ("5: zoomed",)})
    assert (
        survey_stack(path, FILLED.model_copy(update={"spacing_nm": SPACING_NM})).stack.spacing_nm
        == SPACING_NM
    )
    assert not any("magnification" in problem.found for problem in survey_stack(path, excluded).problems)


def test_zeiss_metadata_of_an_image_of_another_width_do_not_count(shared_data: Path, tmp_path: Path) -> None:
    path = zeiss_pages(shared_data, tmp_path / "a.tif", [0, 1], b"2048 * 1536", b"4096 * 3072")
    with pytest.raises(
        AcquisitionError, match="Zeiss metadata speak of an image of 4096 columns, the file has 1536 × 2048"
    ):
        open_stack(path, FILLED)


def test_the_tag_of_olympus(tmp_path: Path) -> None:
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 9, 1, 2, 120, b"image", 1) + struct.pack(
        "<hhI", 1, 1, 0
    )
    body = struct.pack("<10xhdd8xd2x34s32s", -6, 0.012, 0.010, 1000.0, b"camera", b"")
    folder = write_tagged(tmp_path, 33560, 7, head + body)
    for path in folder.glob("*.tif"):
        content = bytearray(path.read_bytes())
        start = content.index(b"SIS0")
        content[start + 64 : start + 68] = struct.pack("<I", start + 68)
        path.write_bytes(content)
    stack = open_stack(folder, DEFAULT)
    assert pixel_nm(stack) == pytest.approx((10, 12))
    assert stack.metadata["metadata"] == "Olympus SIS"


def test_a_magnification_alone_is_no_pixel_size(tmp_path: Path) -> None:
    """Philips XL: what a magnification means depends on the size of the print."""
    text = "[DatabarData]\r\nszHeader = XL30\r\nMagnification = 5000\r\n[Vector]\r\nMagnification = 5000\r\n"
    folder = write_tagged(tmp_path, 34680, 2, text)
    with pytest.raises(MissingSpacingError, match="pixel size is missing"):
        open_stack(folder, DEFAULT)


PROJECT = (
    '<?xml version="1.0" encoding="utf-8"?><EMProject xmlns="EMProject"><ApplicationId>ASV</ApplicationId>'
    "<ZCutSpacing>{thickness}</ZCutSpacing><Datasets><Dataset><Name>SEM Image</Name>"
    "<LiveAcquisition><ImagesPath>D:\\ASV\\run\\Images\\SEM"
    "</ImagesPath></LiveAcquisition></Dataset></Datasets></EMProject>"
)


@pytest.mark.parametrize("place", ["", "Images/SEM Image", "Images/SEM", "Images/Electron Image"])
def test_the_project_of_auto_slice_and_view(tmp_path: Path, place: str) -> None:
    folder = write_slices(tmp_path / place, textured(), resolution=(1e6, 1e6), resolutionunit="CENTIMETER")
    (tmp_path / "EMproject.emxml").write_text(PROJECT.format(thickness="1.5E-08"), encoding="utf-8")
    parameters = IngestParameters(trust_resolution_tags=True)
    if place.endswith("Electron Image"):
        # A data set of another project.
        with pytest.raises(MissingSpacingError, match="z spacing is missing"):
            open_stack(folder, parameters)
        return
    stack = open_stack(folder, parameters)
    assert stack.spacing_nm == pytest.approx((15, 10, 10))
    assert stack.spacing_origin == "z: Auto Slice & View project; y, x: resolution tags"


@pytest.mark.parametrize(
    "imaging",
    [
        "<Interval>0.02</Interval>",
        "<DefaultAcquisition><Interval><Distance><Interval>0.02</Interval></Distance></Interval></DefaultAcquisition>",
    ],
    ids=["old", "new"],
)
@pytest.mark.parametrize("place", ["", "SE"])
@pytest.mark.parametrize("root", ["", "ATLAS3D-Job"])
def test_the_setup_of_atlas_3d(tmp_path: Path, imaging: str, place: str, root: str) -> None:
    tag = ATLAS.format(width=64, steps=STEPS.format(0.01, 0, 0, -0.01))
    write_slices(tmp_path / place, textured(), extratags=[(51023, 2, 0, tag, True)])
    setup = f"<ATLAS3D-Setup><Settings><Imaging>{imaging}</Imaging></Settings></ATLAS3D-Setup>"
    (tmp_path / "Atlas3D.a3d-setup").write_text(f"<{root}>{setup}</{root}>" if root else setup)
    stack = open_stack(tmp_path / place, DEFAULT)
    assert stack.spacing_nm == pytest.approx((20, 10, 10))
    assert stack.spacing_origin == "z: Atlas 3D setup; y, x: Atlas metadata"


def write_contradiction(folder: Path, ratio: float) -> Path:
    """Write slices whose ImageJ metadata say 10 nm, and the text files beside them a multiple of that."""
    folder.mkdir(exist_ok=True)
    for z, values in enumerate(textured()):
        options = {"resolution": (0.1, 0.1), "metadata": {"unit": "nm"}}
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", values, imagej=True, **options)
        text = TESCAN.format(strip=0, x=f"{ratio * 10}e-9", y=f"{ratio * 10}e-9")
        (folder / f"slice_{z:04d}.hdr").write_text(text)
    describe(folder)
    return folder


def test_sources_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    folder = write_contradiction(tmp_path / "run", 1.02)
    with pytest.raises(
        MissingSpacingError,
        match=r"slice_0000\.tif.*ImageJ metadata and TESCAN metadata contradict each other: "
        r"voxel size \(\?, 10, 10\) nm and \(\?, 10\.2, 10\.2\) nm.*pass spacing_nm",
    ):
        open_stack(folder, DEFAULT)
    assert open_stack(folder, GIVEN).spacing_nm == SPACING_NM
    (folder / "acquisition.json").write_text('{"spacing_nm": [50, 10.2, 10.2]}')
    assert open_stack(folder, DEFAULT).spacing_nm == (50, 10.2, 10.2)


def test_sources_that_agree_to_one_percent_are_taken(tmp_path: Path) -> None:
    stack = open_stack(write_contradiction(tmp_path / "run", 1.005), DEFAULT)
    assert pixel_nm(stack) == pytest.approx((10, 10), rel=1e-6)


def test_contradictions_outside_of_a_region_do_not_count(tmp_path: Path) -> None:
    folder = write_contradiction(tmp_path / "run", 1.0)
    (folder / "slice_0006.hdr").write_text(TESCAN.format(strip=0, x="20e-9", y="20e-9"))
    with pytest.raises(MissingSpacingError, match=r"slice_0006\.tif: ImageJ metadata and TESCAN"):
        open_stack(folder, DEFAULT)
    assert open_stack(folder, DEFAULT, region=RegionOfInterest(z_stop=5)).shape[0] == 5


def test_the_digest_follows_sidecars_and_no_other_texts(tmp_path: Path) -> None:
    folder = write_jeol(tmp_path / "run")
    digest = source_digest(folder)
    (folder / "notes.txt").write_text("fine")
    (folder / "slice_0001.log").write_text("fine")
    assert source_digest(folder) == digest
    sidecar = folder / "slice_0003.txt"
    sidecar.write_text(sidecar.read_text().replace("BAR 10", "BAR 11"))
    assert source_digest(folder) != digest


def test_texts_of_another_kind_or_damaged_ones_state_nothing(tmp_path: Path) -> None:
    write_slices(tmp_path, textured())
    (tmp_path / "slice_0000.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "slice_0001.txt").write_text("the sample was charging")
    (tmp_path / "slice_0002.hdr").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "EMproject.emxml").write_text("<EMProject><ZCutSpacing>1e-8")
    (tmp_path / "run.a3d-setup").write_text("<ATLAS3D-Setup/>")
    stack = open_stack(tmp_path, GIVEN)
    assert stack.shape == (7, 40, 64)
    assert survey_stack(tmp_path, DEFAULT).problems[0].found.startswith("no voxel size")


def test_damaged_texts_never_crash() -> None:
    """Random damage to each kind of text: what it states then is a positive finite length, or nothing."""
    jeol = "$CM_FORMAT JEOL/SEM\n$CM_FULL_SIZE 64 34\n$$SM_MICRON_BAR 10\n$$SM_MICRON_MARKER 100nm\n"
    parsers = {
        TESCAN.format(strip=3, x="1e-8", y="1e-8"): vendor_texts.tescan,
        jeol: vendor_texts.jeol,
        "[SemImageFile]\nDataSize=64x40\nPixelSize=12.5\n": vendor_texts.hitachi,
        "PixelSpacing = 46.2\nImageSize = 64 40\n": vendor_texts.mdoc,
        '{"pixel_size": {"x": 1e-8, "y": 1e-8}, "hfw": 1}': vendor_texts.open_fibsem,
        ATLAS.format(width=64, steps=STEPS.format(0.01, 0, 0, 0.01)): vendor_texts.fibics,
        "<ATLAS3D-Setup><Settings><Imaging><Interval>1</Interval></Imaging></Settings></ATLAS3D-Setup>": vendor_texts.atlas_setup,
        PROJECT.format(thickness=1e-8): vendor_texts.slice_and_view_project,
    }
    chance = random.Random(0)
    pieces = [
        "0",
        "-1",
        "1e400",
        "9" * 5000,
        "nan",
        "\x00",
        "<",
        ">",
        "[",
        "=",
        "\n",
        "{",
        "null",
        "\ud800",
        "1e-320",
    ]
    for text, parse in parsers.items():
        assert parse(text) is not None
        for _ in range(500):
            damaged = text
            for _ in range(chance.randint(1, 3)):
                start = chance.randrange(len(damaged) + 1)
                damaged = damaged[:start] + chance.choice(pieces) + damaged[start + chance.randint(0, 8) :]
            found = parse(damaged)
            sizes = [] if found is None else [found.voxel_size.z_nm, *(found.voxel_size.yx_nm or ())]
            assert all(size is None or (np.isfinite(size) and size > 0) for size in sizes)
            if found is not None:
                assert 0 <= found.databar_rows((40, 64)) < 40


def palette(levels: np.ndarray) -> np.ndarray:
    return np.stack([levels] * 3).astype(np.uint16)


RAMP = np.arange(256)
COLOURED = palette(RAMP * 257)
COLOURED[:, 200:230] = np.array([65535, 0, 0])[:, None]
PALETTES = {
    "steps of 257": (palette(RAMP * 257), False),
    "steps of 256": (palette(RAMP * 256), False),
    "8 bits": (palette(RAMP), False),
    "contrast of the display": (palette(np.clip((RAMP - 60) * 500, 0, 65535)), False),
    "with colours": (COLOURED, False),
    "falling": (palette(65535 - RAMP * 257), True),
}


@pytest.mark.parametrize("name", PALETTES)
def test_grey_palettes_are_read(tmp_path: Path, name: str) -> None:
    levels, inverted = PALETTES[name]
    write_slices(tmp_path, textured(), photometric="palette", colormap=levels)
    expected = 255 - textured() if inverted else textured()
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, expected)


@pytest.mark.parametrize(
    "levels",
    [np.roll(RAMP, 128) * 257, np.zeros(256), np.abs(RAMP - 128) * 500],
    ids=["rolled", "black", "folded"],
)
def test_palettes_that_are_no_order_of_grey_values_are_refused(tmp_path: Path, levels: np.ndarray) -> None:
    write_slices(tmp_path, textured(), photometric="palette", colormap=palette(levels))
    with pytest.raises(BadSlicesError, match="palette colour"):
        open_stack(tmp_path, GIVEN)


def test_every_vendor_file_is_surveyed(shared_data: Path) -> None:
    """None crashes, and each gives its voxel size or a fault that says what is missing."""
    files = sorted((shared_data / "tiff_vendor").glob("*.tif"))
    assert len(files) == 12
    for path in files:
        report = survey_stack(path, DEFAULT)
        texts = [problem.found for problem in report.problems]
        assert any(report.stack.spacing_nm) or any(
            "spacing" in text or "voxel size" in text for text in texts
        )
        assert json.dumps(dict(report.stack.metadata))
        # The image in some of these files has been blanked, so that it is not judged here.
        stack = with_grey_scale(open_stack(path, FILLING))
        first = next(z for z in range(stack.shape[0]) if not stack.missing[z])
        values = stack.read_as_acquired(first).values
        assert values is not None
        whole = tifffile.imread(path, key=0)
        scale = stack.grey_scale
        found = values if scale is None else values * scale.scale + scale.offset
        tolerance = 0 if scale is None else 0.51 * scale.scale
        np.testing.assert_allclose(found, whole[: stack.shape[1]], atol=tolerance)
