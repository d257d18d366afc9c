"""Evaluation of a segmentation: two label files are compared, scores go to the Prefect UI and to files."""

from concurrent.futures import ThreadPoolExecutor

from prefect import task
from prefect.cache_policies import NO_CACHE

from spherovem_core.execution import Execution, ExecutionSettings
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison
from spherovem_core.segmentation.evaluation import as_rows, evaluate_files, without_nan
from spherovem_core.segmentation.evaluation.files import NAME, PICTURE, VERSION
from tasks.artifacts import show_figures, show_picture, show_table
from tasks.policies import retry_policy
from tasks.progress import report_progress

PICTURE_TITLE = (
    "Worst errors: orange true objects, blue found ones, green both; the two parts are tinted green and pink"
)


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
    show_table(f"evaluation {name} sizes", as_rows(evaluation.sizes), "Scores by size of objects")
    if evaluation.worst_errors:
        picture = (comparison.out / PICTURE).read_bytes()
        show_picture(f"evaluation {name} worst errors", picture, PICTURE_TITLE)
    return figures
