"""Evaluation of a segmentation: two label files are compared, scores go to the Prefect UI and to files."""

import logging
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.errors import ParameterError, StoreNotWritableError
from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison, stage_digest
from spherovem_core.segmentation.evaluation import Evaluation, evaluate_labels
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import Layout, package_versions, write_json, write_table
from spherovem_core.store.label_files import open_label_volume
from tasks.artifacts import show_figures, show_table
from tasks.policies import retry_policy
from tasks.progress import report_progress

NAME, VERSION = "evaluate", 1
DOCUMENT = "evaluation.json"

logger = logging.getLogger(__name__)


@task(
    name=NAME,
    version=str(VERSION),
    task_run_name="evaluate {comparison.out.name}",
    # Label files carry no digest that is cheap to read: a second evaluation costs less than a wrong answer.
    cache_policy=NO_CACHE,
    **retry_policy(),
    tags=["cpu"],
)
def evaluate(
    comparison: Comparison,
    parameters: EvaluationParameters = EvaluationParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, float | None]:
    """Compare two label files in a flow run and show the figures as artifacts."""
    name = comparison.out.name
    with (
        report_progress(f"evaluate {name}") as progress,
        ThreadPoolExecutor(execution.worker_count) as executor,
    ):
        run = Execution("cpu", executor, execution.worker_count, None, progress)
        evaluation = evaluate_files(comparison, parameters, run)
    figures = without_nan(evaluation.figures)
    show_figures(f"evaluation {name}", figures, f"{comparison.predicted} against {comparison.truth}")
    show_table(
        f"evaluation {name} thresholds",
        as_rows(evaluation.thresholds),
        "Scores by intersection over union",
    )
    return figures


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
    digest = stage_digest(NAME, VERSION, document, ())
    write_table(layout, "true_objects.parquet", evaluation.true_objects, digest)
    write_table(layout, "predicted_objects.parquet", evaluation.predicted_objects, digest)
    write_json(layout.path(DOCUMENT), document | as_document(evaluation) | {"packages": package_versions()})
    return evaluation


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return figures and thresholds for a JSON document, which has no NaN."""
    return {
        "figures": without_nan(evaluation.figures),
        "thresholds": as_rows(evaluation.thresholds),
    }


def as_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON objects."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    """Return figures with None in place of NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


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
