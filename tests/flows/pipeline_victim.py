"""A process that runs the whole pipeline and may be killed; imported once by a fork server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import prefect.settings
import torch
from tiny_pipeline import TINY

import tasks.stage
from deployments.command_line.parameter_values import build_parameters
from flows.pipeline import run_pipeline as _loads_every_stage  # noqa: F401
from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.references import Acquisition


def process(acquisition: Acquisition, server: str, journal: Path, begun: Event) -> None:
    """Run the flow, and write down when a stage begins to compute and when it has."""
    torch.set_num_threads(1)
    tasks.stage._stage_run = _noted(tasks.stage._stage_run, journal)  # type: ignore[assignment]
    updates = {
        prefect.settings.PREFECT_API_URL: server,
        prefect.settings.PREFECT_HOME: journal.parent / "prefect",
        prefect.settings.PREFECT_LOGGING_TO_API_ENABLED: False,
        prefect.settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with prefect.settings.temporary_settings(updates):
        begun.set()
        process_acquisition(acquisition, build_parameters([TINY]), ExecutionSettings(device="cpu", workers=1))


def _noted(stage_run: Any, journal: Path) -> Any:
    @contextmanager
    def noting(plan: Any, settings: Any, title: str, *rest: Any) -> Iterator[Any]:
        note(journal, "begin", title)
        with stage_run(plan, settings, title, *rest) as run:
            report = run.execution.progress

            def note_progress(done: int, total: int) -> None:
                note(journal, "step", title, done / max(total, 1))
                report(done, total)

            run.execution = replace(run.execution, progress=note_progress)
            yield run
        note(journal, "end", title)

    return noting


def note(journal: Path, what: str, title: str, share: float = 0.0) -> None:
    """Append a line, in one write."""
    with journal.open("a") as file:
        file.write(f"{what}\t{title}\t{share}\n")


def notes(journal: Path) -> list[tuple[str, str, float]]:
    """What has been written down: begin, step or end, title, and how far a step is."""
    if not journal.exists():
        return []
    lines = (line.split("\t") for line in journal.read_text().splitlines())
    return [(what, title, float(share)) for what, title, share in lines]
