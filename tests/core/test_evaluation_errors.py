"""The worst errors of an evaluation, and their picture."""

import io
from pathlib import Path

import numpy as np
import pytest
from evaluation_scenes import SPACING, disturbed, patchwork, solid
from matplotlib.image import imread

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison
from spherovem_core.segmentation.evaluation import evaluate_files, evaluate_labels
from spherovem_core.segmentation.evaluation.error_pictures import FIRST, SECOND, SIDE_PX, ErrorPictures
from spherovem_core.segmentation.evaluation.worst_errors import WorstError

PARAMETERS = EvaluationParameters(boundary_error=False, worst_errors=3)
SHAPE = (12, 60, 150)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Three objects in a row: the first two are found as one, and the third in two pieces."""
    z, y, x = np.indices(SHAPE)
    inside = (z > 1) & (z < 10) & (y > 10) & (y < 50)
    truth = solid(inside & (x >= 10) & (x < 30)) + solid(inside & (x >= 30) & (x < 60), 2)
    truth += solid(inside & (x >= 70) & (x < 130), 3)
    found = solid(inside & (x >= 10) & (x < 60), 7)
    found += solid(inside & (x >= 70) & (x < 120), 8) + solid(inside & (x >= 120) & (x < 130), 9)
    return truth, found


def errors_of(truth: ArrayLike, found: ArrayLike, count: int = 3) -> tuple[WorstError, ...]:
    parameters = PARAMETERS.model_copy(update={"worst_errors": count})
    return evaluate_labels(truth, found, SPACING, parameters).worst_errors


def test_errors_are_at_the_contact_of_their_parts() -> None:
    merger, split = errors_of(*scene())
    assert (merger.error, merger.label, merger.parts, merger.voxels) == ("merger", 7, (2, 1), 8 * 39 * 20)
    assert merger.place[2] == 29
    assert abs(merger.place[1] - 30) <= 1
    assert (split.error, split.label, split.parts, split.voxels) == ("split", 3, (8, 9), 8 * 39 * 10)
    assert split.place[2] == 120


def test_the_largest_errors_come_first() -> None:
    truth = patchwork(1)
    found = disturbed(truth, 2)
    some = errors_of(truth, found, 2)
    more = errors_of(truth, found, 4)
    assert [error.error for error in more] == ["merger"] * 4 + ["split"] * 4
    for error in ("merger", "split"):
        sizes = [one.voxels for one in more if one.error == error]
        assert sizes == sorted(sizes, reverse=True)
        assert [one for one in some if one.error == error] == [one for one in more if one.error == error][:2]
    assert errors_of(truth, found, 0) == errors_of(truth, truth) == ()
    for error in more:
        own, other = (found, truth) if error.error == "merger" else (truth, found)
        assert (own[error.place], other[error.place]) == (error.label, error.parts[1])


def test_a_small_contact_in_a_large_object_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, found = scene()
    # A bridge of a few voxels, far from the middle of both objects, in blocks of which most show no contact.
    truth[:, :, 30:34] = 0
    truth[4:6, 45:48, 30:32], truth[4:6, 45:48, 32:34] = 1, 2
    monkeypatch.setattr("spherovem_core.segmentation.evaluation.worst_errors.BLOCK_SIDE", 5)
    merger = errors_of(truth, found)[0]
    assert merger.place[0] in (4, 5)
    assert merger.place[1] in (45, 46, 47)
    assert merger.place[2] == 31


def test_the_picture_tints_both_parts_in_all_planes() -> None:
    truth, found = scene()
    image = np.full(SHAPE, 100, np.uint8)
    image[:, ::2] = 200
    pictures = ErrorPictures(truth, found, SPACING, image)
    for error in errors_of(truth, found):
        for plane in ((1, 2), (0, 2)):
            colours, (y, _) = pictures.plane(error, plane)
            assert colours.shape == (2 * SIDE_PX, 2 * SIDE_PX, 3)
            assert 0 <= y < 2 * SIDE_PX
            greener, pinker = (_tinted(colours, tint) for tint in (FIRST, SECOND))
            # The larger part is the first one; z is drawn to scale, five pixels a slice.
            assert greener > 1.2 * pinker > 0
    picture = imread(io.BytesIO(pictures.draw(errors_of(truth, found))))
    assert picture.std() > 0.1


def _tinted(colours: np.ndarray, tint: tuple[int, int, int]) -> int:
    """Count pixels that are grey but for a tint of this colour."""
    found = np.zeros(colours.shape[:2], bool)
    for grey in (0, 255):
        expected = (0.7 * grey + 0.3 * np.array(tint)).astype(np.uint8)
        found |= (np.abs(colours.astype(int) - expected) <= 1).all(axis=2)
    return int(found.sum())


def test_a_section_is_drawn_without_an_image() -> None:
    truth, found = (labels[5] for labels in scene())
    errors = errors_of(truth, found)
    assert [error.place[0] for error in errors] == [0, 0]
    assert ErrorPictures(truth, found, SPACING).draw(errors).startswith(b"\x89PNG")


def test_files_take_the_level_of_an_image_and_drop_an_old_picture(tmp_path: Path) -> None:
    truth, found = scene()
    for name, labels in (("truth", truth), ("found", found)):
        np.save(tmp_path / f"{name}.npy", labels)
    for level, factor in enumerate((1, 2)):
        import zarr

        zarr.create_array(
            tmp_path / "image.zarr" / str(level), data=np.ones([factor * n for n in SHAPE], np.uint8)
        )

    def evaluate(predicted: str, image: str | None) -> None:
        comparison = Comparison(
            predicted=str(tmp_path / predicted),
            truth=str(tmp_path / "truth.npy"),
            out=tmp_path / "out",
            spacing_nm=SPACING,
            image=None if image is None else str(tmp_path / image),
        )
        evaluate_files(comparison, PARAMETERS, Execution())

    evaluate("found.npy", "image.zarr")
    assert (tmp_path / "out" / "worst_errors.png").is_file()
    with pytest.raises(ShapeMismatchError, match="give an image on the grid of the labels"):
        evaluate("found.npy", "image.zarr/1")
    evaluate("truth.npy", None)
    assert not (tmp_path / "out" / "worst_errors.png").exists()
