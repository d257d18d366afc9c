"""Several images, series, channels and times in one TIFF, stacks over several files, and what the metadata say of their order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import open_stack, read_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
VOLUME = textured()
TWO = np.stack([VOLUME, 255 - VOLUME])


def write_in_turn(path: Path, *volumes: Any, names: tuple[str, ...] = (), **options: Any) -> Path:
    with tifffile.TiffWriter(path, **options) as tif:
        for number, volume in enumerate(volumes):
            metadata = {"axes": "ZYX"[-volume.ndim :], **({"Name": names[number]} if names else {})}
            tif.write(volume, metadata=metadata, photometric="minisblack")
    return path


def test_two_images_of_ome_are_named(tmp_path: Path) -> None:
    path = write_in_turn(tmp_path / "two.ome.tif", VOLUME, 255 - VOLUME, names=("BSE", "SE"), ome=True)
    with pytest.raises(BadSlicesError, match=r"2 images in one file: BSE \(7 planes\), SE \(7 planes\)"):
        open_stack(path, GIVEN)
    one_plane_each = write_in_turn(tmp_path / "se_bse.ome.tif", *VOLUME[:2], names=("BSE", "SE"), ome=True)
    with pytest.raises(BadSlicesError, match=r"2 images in one file: BSE \(1 planes\)"):
        open_stack(one_plane_each, GIVEN)


def test_two_series_of_tifffile_are_refused(tmp_path: Path) -> None:
    path = write_in_turn(tmp_path / "two.tif", VOLUME, 255 - VOLUME)
    with pytest.raises(BadSlicesError, match=r"2 series in one file \(7 \+ 7 images\)"):
        open_stack(path, GIVEN)
    with pytest.raises(BadSlicesError, match=r"2 series in one file \(7 \+ 1 images\)"):
        open_stack(write_in_turn(tmp_path / "and_one.tif", VOLUME, VOLUME[0]), GIVEN)


@pytest.mark.parametrize("options", [{}, {"ome": True}])
def test_pages_that_were_written_in_a_loop_are_a_stack(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_in_turn(tmp_path / "loop.tif", *VOLUME, **options)
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, VOLUME)


@pytest.mark.parametrize("options", [{}, {"ome": True}, {"imagej": True}])
@pytest.mark.parametrize(
    ("axes", "words"), [("CZYX", "2 channels"), ("ZCYX", "2 channels"), ("TZYX", "2 time points")]
)
def test_two_axes_are_refused(tmp_path: Path, options: dict[str, Any], axes: str, words: str) -> None:
    if options.get("imagej") and axes == "CZYX":
        pytest.skip("ImageJ orders T, Z, C")
    volume = TWO if axes[0] in "CT" else TWO.swapaxes(0, 1)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack", metadata={"axes": axes}, **options)
    with pytest.raises(
        BadSlicesError, match=rf"stack\.tif: its images are .*{words}.*; expected slices of one channel"
    ):
        open_stack(path, GIVEN)


REFUSED_ALONE = [
    ({"metadata": {"axes": "CYX"}}, 7, "7 channels"),
    ({"metadata": {"axes": "TYX"}}, 7, "7 time points"),
    ({"imagej": True, "metadata": {"axes": "CYX"}}, 2, "2 channels"),
    ({"imagej": True, "metadata": {"axes": "TYX", "finterval": 2.5}}, 7, "7 time points"),
    ({"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": [f"detector {n}" for n in range(7)]}}}, 7, "7 channels"),
    ({"ome": True, "metadata": {"axes": "TYX", "TimeIncrement": 2.5}}, 7, "7 time points"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "planes", "words"), REFUSED_ALONE)
def test_channels_or_times_that_are_no_slices_are_refused(
    tmp_path: Path, options: dict[str, Any], planes: int, words: str
) -> None:
    tifffile.imwrite(tmp_path / "s.tif", VOLUME[:planes], photometric="minisblack", **options)
    with pytest.raises(BadSlicesError, match=f"its images are {words}; expected slices"):
        open_stack(tmp_path / "s.tif", GIVEN)


def test_more_pages_than_declared_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, VOLUME, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffWriter(path, append="force") as tif:
        tif.write(VOLUME[0], metadata=None, photometric="minisblack")
    with pytest.raises(BadSlicesError, match="8 images are there, its metadata speak of 7"):
        open_stack(path, GIVEN)


@pytest.mark.parametrize("declared", [0, 1, 5])
def test_planes_of_one_directory_beyond_the_stated_number_are_refused(tmp_path: Path, declared: int) -> None:
    path = tmp_path / "stack.tif"
    text = "ImageJ=1.54f\n" + (f"images={declared}\nslices={declared}\n" if declared else "min=0.0\n")
    tifffile.imwrite(path, VOLUME[0], description=text, metadata=None, photometric="minisblack")
    with path.open("ab") as file:
        file.write(VOLUME[1:].tobytes())
    with pytest.raises(BadSlicesError, match=f"7 images are there, its metadata speak of {declared or 1}"):
        open_stack(path, GIVEN)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ((0, 1, 2, 3, 4, 5, 5), "pages 6 and 7 stand at place 6"),
        ((0, 1, 2, 3, 4, 5, 9), "page 7 stands at place 10 of 7"),
    ],
)
def test_ome_positions_that_are_no_order_are_refused(
    tmp_path: Path, places: tuple[int, ...], words: str
) -> None:
    path = tmp_path / "stack.ome.tif"

    def write(entries: str) -> None:
        text = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="40" SizeC="1" SizeZ="7" SizeT="1">'
            f"{entries}</Pixels></Image></OME>"
        )
        tifffile.imwrite(path, VOLUME, description=text, metadata=None, photometric="minisblack")

    write("".join(f'<TiffData FirstZ="{z}" IFD="{page}" PlaneCount="1"/>' for page, z in enumerate(places)))
    with pytest.raises(BadSlicesError, match=f"its OME metadata contradict themselves: {words}"):
        open_stack(path, GIVEN)
    write("".join(f'<TiffData IFD="{page}" PlaneCount="1"/>' for page in range(7)))
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, VOLUME)


def test_pyramids_in_sub_directories_are_no_slices(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(VOLUME, subifds=2, metadata={"axes": "ZYX"}, tile=(16, 16), photometric="minisblack")
        for step in (2, 4):
            tif.write(
                VOLUME[:, ::step, ::step],
                subfiletype=1,
                metadata=None,
                tile=(16, 16),
                photometric="minisblack",
            )
    np.testing.assert_array_equal(read_stack(path, GIVEN).image, VOLUME)


def write_ome_files(folder: Path, names: list[str], positions: list[int]) -> Path:
    """Write an OME stack of one file per plane; each file describes all."""
    folder.mkdir()
    entries = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z:032x}</UUID></TiffData>'
        for name, z in zip(names, positions, strict=True)
    )
    for name, z in zip(names, positions, strict=True):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z:032x}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="40" SizeC="1" SizeZ="{len(names)}" '
            f'SizeT="1">{entries}</Pixels></Image></OME>'
        )
        tifffile.imwrite(folder / name, VOLUME[z], description=text, metadata=None, photometric="minisblack")
    return folder


def test_the_first_file_of_several_is_not_the_stack(tmp_path: Path) -> None:
    names = [f"img_{z}.ome.tif" for z in range(7)]
    folder = write_ome_files(tmp_path / "run", names, list(range(7)))
    np.testing.assert_array_equal(read_stack(folder, GIVEN).image, VOLUME)
    with pytest.raises(
        BadSlicesError, match=r"is one of 7 files of a stack \(img_1.*; give the folder"
    ) as raised:
        open_stack(folder / names[0], GIVEN)
    assert "truncated" not in str(raised.value)
    (folder / names[6]).unlink()
    with pytest.raises(
        BadSlicesError, match=r"files of the stack are not there, .*: img_6\.ome\.tif; add them"
    ):
        open_stack(folder, GIVEN)


def test_ome_positions_order_files_whose_names_do_not(tmp_path: Path) -> None:
    names = ["delta", "alpha", "echo", "bravo", "golf", "charlie", "foxtrot"]
    folder = write_ome_files(tmp_path / "run", [f"{name}.ome.tif" for name in names], list(range(7)))
    np.testing.assert_array_equal(read_stack(folder, GIVEN).image, VOLUME)


def test_names_against_ome_positions_are_refused(tmp_path: Path) -> None:
    folder = write_ome_files(tmp_path / "run", [f"img_{z}.ome.tif" for z in range(7)], [0, 1, 2, 3, 6, 5, 4])
    wanted = r"the names give the order img_0.*; the slice index in the metadata gives .*img_2\.ome\.tif …"
    with pytest.raises(BadSlicesError, match=wanted):
        open_stack(folder, GIVEN)


def test_names_against_times_of_acquisition_are_refused(tmp_path: Path) -> None:
    for z in range(7):
        time = f"2024:03:01 09:00:{59 - z:02d}"
        tifffile.imwrite(tmp_path / f"s_{z}.tif", VOLUME[z], datetime=time, metadata=None)
    wanted = (
        r"the names give the order s_0.*; the time of acquisition in the metadata gives s_6\.tif, s_5\.tif"
    )
    with pytest.raises(BadSlicesError, match=wanted):
        open_stack(tmp_path, GIVEN)
    listed = ", ".join(f'"s_{z}.tif"' for z in range(7))
    (tmp_path / "acquisition.json").write_text(f'{{"files": [{listed}]}}')
    np.testing.assert_array_equal(read_stack(tmp_path, GIVEN).image, VOLUME)


def test_times_that_agree_or_are_not_known_of_all_do_not_matter(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "run", VOLUME, datetime="2024:03:01 09:00:00")
    assert open_stack(folder, GIVEN).shape[0] == 7
    tifffile.imwrite(folder / "slice_0000.tif", VOLUME[0], datetime="2025:03:01 09:00:00", metadata=None)
    tifffile.imwrite(folder / "slice_0003.tif", VOLUME[3], metadata=None)
    assert open_stack(folder, GIVEN).shape[0] == 7
