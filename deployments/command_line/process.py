"""``spherovem process``: one acquisition, from the command line."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from deployments.command_line.arguments import checked_spacing, reading_arguments
from deployments.command_line.parameter_values import (
    build_parameters,
    explain,
    parse_assignment,
    parse_region,
    read_overrides,
)
from deployments.server.orphans import leave_no_orphans
from deployments.settings import Settings
from spherovem_core.errors import ParameterError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest, crop_acquisition
from spherovem_core.stages import FIRST_STAGE, LAST_STAGE, StageName, stages_between

if TYPE_CHECKING:
    from deployments.command_line.main import Process

logger = logging.getLogger("spherovem_core.process")


def process_source(command: "Process") -> None:
    """Check everything that the command line says, then run the flow and print where the results are."""
    with reading_arguments():
        settings = read_settings()
        parameters = chosen_parameters(command, settings)
        acquisition = chosen_acquisition(command, settings)
        execution = settings.execution(
            device=command.device, executor=command.executor, workers=command.workers
        )
        stages_between(command.start_at, command.stop_after)
        roi = parse_region(command.roi)
        folder = results_folder(acquisition, roi)
    run_flow(acquisition, parameters, execution, command.start_at, command.stop_after, roi)
    print_results(folder)


def read_settings() -> Settings:
    """Settings of this machine; a wrong one is a `ParameterError`."""
    try:
        return Settings()
    except ValidationError as error:
        raise ParameterError(explain(error, Settings)) from error


def chosen_parameters(command: "Process", settings: Settings) -> PipelineParameters:
    """Parameters: the defaults, under the file, under the options, under ``--set``."""
    file = command.parameters or settings.parameters
    overrides: list[dict[str, Any]] = [with_network(settings.network)]
    if file is not None:
        overrides.append(read_overrides(file))
    if command.network is not None:
        overrides.append(with_network(command.network))
    if command.spacing_nm:
        overrides.append({"ingest": {"spacing_nm": checked_spacing(command.spacing_nm)}})
    overrides += [parse_assignment(text) for text in command.set]
    return build_parameters(overrides)


def with_network(network: str) -> dict[str, Any]:
    """Parameters that segment cells and nuclei with one network."""
    return {"cells": {"network": network}, "nuclei": {"network": network}}


def chosen_acquisition(command: "Process", settings: Settings) -> Acquisition:
    """The acquisition: source, name and results root, as absolute paths."""
    results_root = command.results_root or settings.results_root
    if results_root is None:
        raise ParameterError("no results root: give --results-root DIR or set SPHEROVEM_RESULTS_ROOT")
    source = command.source.absolute()
    name = command.name or (source.stem if source.suffix.lower() in (".tif", ".tiff") else source.name)
    try:
        return Acquisition(name=name, source=source, results_root=results_root.absolute())
    except ValidationError as error:
        raise ParameterError(explain(error, Acquisition)) from error


def results_folder(acquisition: Acquisition, roi: RegionOfInterest) -> Path:
    """Where the results of a region go; a name that becomes too long is a `ParameterError`."""
    try:
        return crop_acquisition(acquisition, roi).folder
    except ValidationError as error:
        raise ParameterError(explain(error, Acquisition)) from error


def run_flow(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    execution: ExecutionSettings,
    start_at: StageName = FIRST_STAGE,
    stop_after: StageName = LAST_STAGE,
    roi: RegionOfInterest = WHOLE,
) -> None:
    """Run the parent flow in this process; what can be found wrong beforehand is found before Prefect starts."""
    from flows.preflight import check_before_start

    with reading_arguments():
        own = crop_acquisition(acquisition, roi)
        check_before_start(own, parameters, execution, stages_between(start_at, stop_after))
    leave_no_orphans()
    logger.info(
        "%s: starting; the first lines take a while where no Prefect server runs yet", acquisition.name
    )
    from flows.process_acquisition import process_acquisition

    process_acquisition(acquisition, parameters, execution, start_at, stop_after, roi)


def print_results(folder: Path) -> None:
    """Say where the results are."""
    for title, name in (
        ("volume", "volume.zarr"),
        ("tables", "tables"),
        ("report", "report.html"),
        ("provenance", "provenance.json"),
    ):
        if (folder / name).exists():
            print(f"{title + ':':<12} {folder / name}")
