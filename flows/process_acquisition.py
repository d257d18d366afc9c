"""The parent flow: all eight stages on one acquisition."""

from prefect import flow

from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef


@flow(name="process-acquisition", flow_run_name="{acquisition.name}")
def process_acquisition(
    acquisition: Acquisition,
    parameters: PipelineParameters = PipelineParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
) -> dict[str, ArtifactRef]:
    """Turn one acquisition into arrays, tables and a report.

    Finished stages come from the cache, a half-done one goes on where it stopped. A second run of the same
    acquisition waits for the first.

    Parameters
    ----------
    acquisition
        Where the microscope wrote it and where the results go.
    parameters
        What changes the results.
    execution
        How the stages run; changes no result.

    Returns
    -------
    dict
        Reference to the main output of each stage, by the stage's name.
    """
    # Imported here so that a deployment which only looks at the flow's signature does not wait for the stages' imports.
    from flows.pipeline import run_pipeline

    return run_pipeline(acquisition, parameters, execution)
