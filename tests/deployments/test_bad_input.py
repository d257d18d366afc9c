"""A bad acquisition ends in one message on standard error and leaves nothing that looks complete."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from deployments.command_line.arguments import checked_spacing
from deployments.command_line.main import main
from flows.import_parameters import ImportParameters
from spherovem_core.errors import IncompleteArtifactError, ParameterError
from spherovem_core.parameters import IngestParameters
from spherovem_core.references import Comparison
from spherovem_core.store import Layout, open_array

pytestmark = pytest.mark.usefixtures("prefect_server")

SHAPE = (40, 48)


def good_slices(folder: Path, count: int = 5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for z in range(count):
        write_slice(folder, z, random.integers(0, 255, SHAPE, dtype=np.uint8))


def write_slice(folder: Path, z: int, values: np.ndarray) -> None:
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    tifffile.imwrite(folder / f"slice_{z:04d}.tif", values, photometric=photometric, metadata=None)


def empty(folder: Path) -> None:
    folder.mkdir()


def no_tiff(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("tomorrow")


def two_shapes(folder: Path) -> None:
    good_slices(folder)
    write_slice(folder, 2, np.ones((30, 48), np.uint8))


def two_types(folder: Path) -> None:
    good_slices(folder)
    write_slice(folder, 2, np.ones(SHAPE, np.uint16))


def rgb(folder: Path) -> None:
    good_slices(folder)
    write_slice(folder, 2, np.ones((*SHAPE, 3), np.uint8))


def truncated(folder: Path) -> None:
    good_slices(folder)
    path = folder / "slice_0002.tif"
    path.write_bytes(path.read_bytes()[:900])


def missing_number(folder: Path) -> None:
    good_slices(folder)
    (folder / "slice_0002.tif").unlink()


def blank(folder: Path) -> None:
    good_slices(folder)
    write_slice(folder, 2, np.zeros(SHAPE, np.uint8))


def absent(folder: Path) -> None:
    assert not folder.exists()


SPACING = ("--spacing-nm", "50", "10", "10")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (absent, SPACING, "does not exist"),
        (empty, SPACING, "expected slices ending in .tif"),
        (no_tiff, SPACING, "expected slices ending in .tif"),
        (two_shapes, SPACING, "slice_0002.tif"),
        (two_types, SPACING, "slice_0002.tif"),
        (rgb, SPACING, "slice_0002.tif"),
        (truncated, SPACING, "slice_0002.tif"),
        (blank, SPACING, "slice_0002.tif"),
        (missing_number, SPACING, "2"),
        (good_slices, (), "spacing"),
        (
            good_slices,
            (*SPACING, "--network", "/absent/weights"),
            "network weights /absent/weights do not exist",
        ),
        (
            good_slices,
            (*SPACING, "--set", "denoising.model=/absent.ckpt"),
            "/absent.ckpt, which is not there",
        ),
        (good_slices, (*SPACING, "--device", "cuda:99"), "cuda:99 cannot be used"),
    ],
)
def test_a_bad_acquisition_ends_in_one_message_and_completes_nothing(
    make: Callable[[Path], None],
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, root = tmp_path / "bad one", tmp_path / "results"
    make(source)
    arguments = ["process", source, "--results-root", root, "--network", "phantom-compact", *options]
    code = main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert code == (2 if make is absent else 1)
    assert message in error
    assert error.startswith("spherovem: ")
    assert error.count("spherovem: ") == 1
    # A message about several slices names one per line, and ends with the remedy.
    assert error.count("\n") <= 3, error
    assert "Traceback" not in error
    layout = Layout(root / "bad one")
    assert not layout.provenance.exists()
    assert not list(layout.folder.glob("tables/*.parquet"))
    with pytest.raises(IncompleteArtifactError):
        open_array(layout, "raw")


def test_a_results_root_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good_slices(tmp_path / "source")
    (tmp_path / "results").write_text("a file where a folder should be")
    arguments = ["process", tmp_path / "source", "--results-root", tmp_path / "results", *SPACING]
    code = main([*map(str, arguments), "--network", "phantom-compact"])
    error = capsys.readouterr().err
    assert code == 1
    assert "cannot be written" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("side", [1e308, 1e-9, float("inf"), float("nan"), -1.0])
def test_a_voxel_size_beyond_all_bounds_is_refused_wherever_one_is_stated(side: float) -> None:
    spacing = [side, 10.0, 10.0]
    with pytest.raises(ValidationError):
        IngestParameters.model_validate({"spacing_nm": spacing})
    with pytest.raises(ValidationError):
        ImportParameters.model_validate({"file": "labels.tif", "spacing_nm": spacing})
    with pytest.raises(ValidationError):
        Comparison.model_validate({"predicted": "a", "truth": "b", "out": "c", "spacing_nm": spacing})
    with pytest.raises(ParameterError, match="--spacing-nm: got"):
        checked_spacing(spacing)
