"""A run of the parent flow in this process."""

import logging
from pathlib import Path

from deployments.command_line.arguments import reading_arguments
from deployments.server.configured import server_is_configured
from deployments.server.embedded import prepare_run
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName

logger = logging.getLogger(__name__)


def run_flow(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
) -> None:
    """Check the inputs before Prefect starts, then run the parent flow in this process.

    Where everything is complete on disk and no Prefect server is configured that would show the run, there is no run: to start a
    server takes longer than to look.

    Raises
    ------
    BadArgumentsError
        If a parameter cannot be used.
    SpheroVemError
        If the check or a stage fails, or no Prefect server can be started.
    """
    from flows.finished_steps import is_finished
    from flows.preflight import check_run

    with reading_arguments():
        external = check_run(acquisition, parameters, execution, start_at, stop_after, roi)
    if not server_is_configured() and is_finished(
        acquisition, parameters, execution, external, start_at, stop_after, roi
    ):
        logger.info("%s: everything is complete on disk", acquisition.name)
        return
    logger.info(
        "%s: starting; the first lines take a while where no Prefect server runs yet", acquisition.name
    )
    prepare_run()
    from flows.process_acquisition import process_acquisition

    process_acquisition(acquisition, parameters, execution, start_at, stop_after, roi)


def print_results(folder: Path) -> None:
    """Print the paths of the results that exist."""
    for title, name in (
        ("volume", "volume.zarr"),
        ("tables", "tables"),
        ("report", "report.html"),
        ("provenance", "provenance.json"),
    ):
        if (folder / name).exists():
            print(f"{title + ':':<12} {folder / name}")
