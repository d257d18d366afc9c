"""Compare a segmentation with its truth."""

from prefect import flow

from flows.failures import with_remedy_first
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.references import Comparison


@flow(name="evaluate-segmentation", flow_run_name="{comparison.out.name}")
@with_remedy_first
def evaluate_segmentation(
    comparison: Comparison,
    parameters: EvaluationParameters = EvaluationParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, float | None]:
    """Compare predicted labels with true ones, on volumes of any size.

    Parameters
    ----------
    comparison
        The two segmentations, and the folder for the scores.
    parameters
        Conditions under which objects match, and which of them count.
    execution
        Its workers are threads that read; changes no result.

    Returns
    -------
    dict
        The figures, as `spherovem_core.segmentation.evaluation.Evaluation` names them.
    """
    # Imported here so that a deployment which only looks at the flow's signature does not wait for the stage's imports.
    from tasks.evaluate import evaluate

    return evaluate(comparison, parameters, execution)
