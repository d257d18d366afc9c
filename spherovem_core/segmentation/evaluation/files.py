"""Evaluation of label files: two are compared, the scores go to a folder."""

import math
import tempfile
from pathlib import Path

from spherovem_core.errors import ParameterError, StoreNotWritableError
from spherovem_core.execution import Execution
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison, step_digest
from spherovem_core.segmentation.evaluation.documents import as_document
from spherovem_core.segmentation.evaluation.evaluate import evaluate_labels
from spherovem_core.segmentation.evaluation.summary import Evaluation
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, package_versions, write_json, write_table
from spherovem_core.store.label_files import open_label_volume

NAME, VERSION = "evaluate", 1
DOCUMENT = "evaluation.json"


def evaluate_files(
    comparison: Comparison, parameters: EvaluationParameters, execution: Execution
) -> Evaluation:
    """Compare two label files and write ``evaluation.json``, ``true_objects.parquet`` and ``predicted_objects.parquet``.

    The JSON document is written last. A killed run starts again; files of an earlier one stay until then.

    Parameters
    ----------
    comparison
        Label files that `open_label_volume` can read, and the folder for the three files.
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
    ):
        spacing = agreed_spacing(comparison, truth.spacing_nm, predicted.spacing_nm)
        evaluation = evaluate_labels(truth, predicted, spacing, parameters, execution)
    document = {
        "predicted": comparison.predicted,
        "truth": comparison.truth,
        "spacing_nm": list(spacing),
        "parameters": parameters.model_dump(mode="json"),
    }
    digest = step_digest(NAME, VERSION, document, ())
    write_table(layout, "true_objects.parquet", evaluation.true_objects, digest)
    write_table(layout, "predicted_objects.parquet", evaluation.predicted_objects, digest)
    write_json(layout.path(DOCUMENT), document | as_document(evaluation) | {"packages": package_versions()})
    return evaluation


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
