"""Files beside the slices: those named as a further slice are a fault, all others are passed over."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile
from ingest_samples import SPACING_NM, textured, write_slices

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest import open_stack
from spherovem_core.parameters import IngestParameters

GIVEN = IngestParameters(spacing_nm=SPACING_NM)
COUNT = len(textured())


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere.tif")


def a_copy(path: Path) -> None:
    path.write_bytes(b"II*\0")


UNREAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "slice_0007.tif.part": (a_copy, "incomplete copy of a slice"),
    "slice_0007.tif.filepart": (a_copy, "incomplete copy of a slice"),
    "slice_0007.tif.crdownload": (a_copy, "incomplete copy of a slice"),
    ".slice_0007.tif.Xy12ab": (a_copy, "incomplete copy of a slice"),
    "slice_0007.jpg": (a_copy, r"no slice with its number in their format \(TIFF\)"),
    "Slice_0007.png": (a_copy, "no slice with its number in their format"),
    "slice_0007.tif.gz": (a_copy, "no slice with its number in their format"),
    "slice_0007": (a_copy, "no slice with its number in their format"),
    "slice_7.txt": (a_copy, "no slice with its number in their format"),
    "slice_0007.tif": (Path.mkdir, "is a folder named like the slices"),
    "slice_0008.tif": (a_link_to_nowhere, "is a link to a file that is not there"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_named_as_a_further_slice_and_not_read_is_a_fault(tmp_path: Path, name: str) -> None:
    folder = write_slices(tmp_path / "run", textured())
    write, words = UNREAD[name]
    write(folder / name)
    with pytest.raises(BadSlicesError, match=f"{name}: .*{words}.*move it out of the folder"):
        open_stack(folder, GIVEN)
    listed = ", ".join(f'"slice_{z:04d}.tif"' for z in range(COUNT))
    (folder / "acquisition.json").write_text(f'{{"files": [{listed}]}}')
    assert open_stack(folder, GIVEN).shape[0] == COUNT


def test_a_first_slice_beside_copies_on_their_way_is_no_stack(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "run", textured()[:1])
    a_copy(folder / "slice_0001.tif.part")
    with pytest.raises(BadSlicesError, match=r"slice_0001\.tif\.part: is an incomplete copy"):
        open_stack(folder, GIVEN)


@pytest.mark.parametrize(
    "name",
    [
        "slice_0003.jpg",
        "slice_0003.txt",
        "slice_0003.tif.xml",
        "slice_3.log",
        "slice_0003.tif.part",
        "slice_20240301.log",
        "run_0007.log",
        "overview_0007.jpg",
        "log.txt",
        "._slice_0007.tif",
        ".DS_Store",
        "Thumbs.db",
    ],
)
def test_files_of_slices_that_are_there_and_others_are_passed_over(tmp_path: Path, name: str) -> None:
    folder = write_slices(tmp_path / "run", textured())
    (folder / name).write_bytes(b"x")
    assert open_stack(folder, GIVEN).shape[0] == COUNT


def test_another_series_is_no_further_slice(tmp_path: Path) -> None:
    for channel in (0, 1):
        for z, values in enumerate(textured()[: COUNT - channel]):
            tifffile.imwrite(tmp_path / f"s_{z + channel:03d}_ch{channel}.tif", values, metadata=None)
    chosen = GIVEN.model_copy(update={"series": "ch0"})
    assert open_stack(tmp_path, chosen).shape[0] == COUNT
    (tmp_path / "s_009_ch0.jpg").write_bytes(b"x")
    with pytest.raises(BadSlicesError, match=r"s_009_ch0\.jpg: is named like the slices"):
        open_stack(tmp_path, chosen)
