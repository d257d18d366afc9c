"""Evaluation of label files: two are compared, the scores go to a folder."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spherovem_core.errors import ParameterError, ShapeMismatchError, StoreNotWritableError
from spherovem_core.execution import Execution
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison, step_digest
from spherovem_core.segmentation.evaluation.documents import as_document
from spherovem_core.segmentation.evaluation.error_pictures import ErrorPictures
from spherovem_core.segmentation.evaluation.evaluate import evaluate_labels
from spherovem_core.segmentation.evaluation.summary import Evaluation
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, package_versions, write_json, write_table
from spherovem_core.store.files import write_bytes
from spherovem_core.store.label_files import LabelVolume, open_label_volume

NAME, VERSION = "evaluate", 1
DOCUMENT, PICTURE = "evaluation.json", "worst_errors.png"


def evaluate_files(
    comparison: Comparison, parameters: EvaluationParameters, execution: Execution
) -> Evaluation:
    """Compare two label files and write ``evaluation.json``, tables and a picture of the worst errors.

    The tables are ``true_objects.parquet``, ``predicted_objects.parquet`` and ``sizes.parquet``. The JSON document is written
    last. A killed run starts again; files of an earlier one stay until then.

    Parameters
    ----------
    comparison
        Label files that `open_label_volume` can read, and the folder for the files; optionally an image for the picture.
    execution
        With an executor of threads, or none.

    Raises
    ------
    SpheroVemError
        If a file cannot be read, the shapes differ, or the voxel size is unknown or contradictory.
    """
    layout = Layout(comparison.out.absolute())
    _ensure_folder(layout.folder)
    with (
        open_label_volume(comparison.truth) as truth,
        open_label_volume(comparison.predicted) as predicted,
        _opened_image(comparison.image, truth.shape) as image,
    ):
        spacing = agreed_spacing(comparison, truth.spacing_nm, predicted.spacing_nm)
        evaluation = evaluate_labels(truth, predicted, spacing, parameters, execution)
        picture = None
        if evaluation.worst_errors:
            picture = ErrorPictures(truth, predicted, spacing, image).draw(evaluation.worst_errors)
    document = {
        "predicted": comparison.predicted,
        "truth": comparison.truth,
        "spacing_nm": list(spacing),
        "parameters": parameters.model_dump(mode="json"),
    }
    digest = step_digest(NAME, VERSION, document, ())
    write_table(layout, "true_objects.parquet", evaluation.true_objects, digest)
    write_table(layout, "predicted_objects.parquet", evaluation.predicted_objects, digest)
    write_table(layout, "sizes.parquet", evaluation.sizes, digest)
    _write_picture(layout.path(PICTURE), picture)
    write_json(layout.path(DOCUMENT), document | as_document(evaluation) | {"packages": package_versions()})
    return evaluation


@contextmanager
def _opened_image(name: str | None, shape: tuple[int, ...]) -> Iterator[LabelVolume | None]:
    """Open the image of a comparison; of an image with several levels, the level with the shape of the labels.

    Raises
    ------
    ShapeMismatchError
        If it lies on another grid than the labels.
    """
    if name is None:
        yield None
        return
    levels = sorted(path for path in Path(name).expanduser().glob("[0-9]*") if path.is_dir())
    found = []
    for level in [str(path) for path in levels] or [name]:
        with open_label_volume(level) as image:
            if tuple(image.shape) == tuple(shape):
                yield image
                return
            found.append(tuple(image.shape))
    raise ShapeMismatchError(
        f"image {name} has shape {', '.join(map(str, found))} and the labels {tuple(shape)}; give an image on the grid of the "
        "labels, such as volume.zarr/registered of the same results folder"
    )


def _write_picture(path: Path, picture: bytes | None) -> None:
    """Write a picture, or delete that of an earlier evaluation."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    write_bytes(path, picture)


def _ensure_folder(folder: Path) -> None:
    """Check before the work that its result can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreNotWritableError(
            f"the folder {folder} cannot be written ({error.strerror or error}); choose another or give write permission"
        ) from error


def agreed_spacing(
    comparison: Comparison, of_truth: SpacingNm | None, of_predicted: SpacingNm | None
) -> SpacingNm:
    """Return the voxel size of both volumes, as given or from the files.

    Raises
    ------
    ParameterError
        If neither file has a voxel size, or the two differ.
    """
    if comparison.spacing_nm is not None:
        return comparison.spacing_nm
    found = of_truth or of_predicted
    if found is None:
        raise ParameterError(
            f"neither {comparison.truth} nor {comparison.predicted} has a voxel size; "
            "give the spacing along z, y and x in nm"
        )
    sides = zip(found, of_predicted or found, strict=True)
    if not all(math.isclose(a, b, rel_tol=1e-3) for a, b in sides):
        raise ParameterError(
            f"{comparison.truth} has voxels of {of_truth} nm and {comparison.predicted} of {of_predicted}; "
            "resample one onto the other, or give the spacing of both"
        )
    return found
