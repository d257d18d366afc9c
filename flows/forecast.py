"""Forecast of a run: announced before its first step, and refused where the disk cannot hold the results."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spherovem_core.errors import StoreNotWritableError
from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast import Forecast, forecast_steps
from spherovem_core.references import ArtifactRef
from spherovem_core.workflow import Pipeline, RunRequest, Step
from spherovem_core.workflow.demand import External
from tasks.artifacts import show_markdown
from tasks.devices import resolve_device

logger = logging.getLogger(__name__)

GB = 1e9


def show_forecast(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: External,
    taken: Mapping[str, ArtifactRef],
    execution: ExecutionSettings,
) -> Forecast:
    """Log and show the disk, memory and time that the run needs.

    Raises
    ------
    StoreNotWritableError
        If the disk cannot hold what will be written.
    SpheroVemError
        If the acquisition cannot be opened.
    """
    forecast = forecast_steps(pipeline, request, steps, external, taken, execution, resolve_device)
    name = request.acquisition.name
    logger.info("%s: %s", name, forecast)
    show_markdown(f"forecast {name}", forecast.markdown(), "Disk, memory and time that the run needs")
    check_disk(request.acquisition.folder, forecast)
    return forecast


def check_disk(folder: Path, forecast: Forecast) -> None:
    """Refuse a run whose results the disk cannot hold.

    Raises
    ------
    StoreNotWritableError
        Names the needed and the free space, and the largest outputs.
    """
    free = shutil.disk_usage(folder).free
    if forecast.needed_bytes <= free:
        return
    largest = sorted(forecast.rows, key=lambda row: row.stored_bytes, reverse=True)[:3]
    most = ", ".join(f"{row.title} {row.stored_bytes / GB:.2f} GB" for row in largest)
    raise StoreNotWritableError(
        f"{folder}: the results need about {forecast.needed_bytes / GB:.2f} GB more ({most}), and "
        f"{free / GB:.2f} GB are free; free or add disk space, choose another results root, or try a region first (roi)"
    )
