"""The parent flow: all eight stages of one acquisition."""

from prefect import flow

from flows.failures import with_remedy_first
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName


@flow(name="process-acquisition", flow_run_name="{acquisition.name}{roi.suffix}")
@with_remedy_first
def process_acquisition(
    acquisition: Acquisition,
    parameters: PipelineParameters = PipelineParameters(),
    execution: ExecutionSettings = ExecutionSettings(),
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
) -> dict[str, ArtifactRef]:
    """Turn one acquisition into arrays, tables and a report.

    Finished stages come from the cache, an unfinished one continues where it stopped. A second run of the same
    acquisition waits for the first.

    Parameters
    ----------
    acquisition
        Name, source and place of the results.
    parameters
        Parameters of the eight stages; they change the results.
    execution
        Settings of the run; they change no result.
    start_at
        First stage of the run. Those before must be complete on disk, and are taken as they are.
    stop_after
        Last stage of the run.
    roi
        Region of the acquisition that is processed, into a results folder of its own, named after both. Left at zeros,
        all of it.

    Returns
    -------
    dict
        Reference to the main output of each step, by the step's name.

    Raises
    ------
    SpheroVemError
        If something would stop the run later, before anything is computed; or if a step fails.
    """
    # Imported here so that a deployment which only looks at the flow's signature does not wait for the stages' imports.
    from flows.defaults import merge_with_deployment
    from flows.pipeline import run_pipeline
    from spherovem_core.registry import pipeline_for

    parameters = merge_with_deployment("parameters", parameters)
    execution = merge_with_deployment("execution", execution)
    return run_pipeline(
        acquisition, parameters, execution, start_at, stop_after, roi, pipeline_for(parameters)
    )
