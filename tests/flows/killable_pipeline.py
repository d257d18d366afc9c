"""Process that runs the whole pipeline and can be killed; a fork server imports it once."""

import time
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import prefect.settings
import torch
from prefect import flow
from tiny_pipeline import TINY

from deployments.run_parameters import build_parameters
from flows.pipeline import run_pipeline
from spherovem_core.execution import ExecutionSettings, StorageMode
from spherovem_core.references import Acquisition
from spherovem_core.registry import PIPELINE
from spherovem_core.workflow import Pipeline, Quality, Step
from spherovem_core.workflow.run import StepRun

SHORTEST_S = 0.3
"""Least duration of a step, so that a kill that is aimed at it comes while it runs."""


def process(
    acquisition: Acquisition, server: str, journal: Path, begun: Event, storage: StorageMode = "lean"
) -> None:
    """Run the pipeline in a flow, and note when a step begins to compute, how far it is, and when it has ended."""
    torch.set_num_threads(1)
    noted = Pipeline([noting(step, journal) for step in PIPELINE.steps])
    updates = {
        prefect.settings.PREFECT_API_URL: server,
        prefect.settings.PREFECT_HOME: journal.parent / "prefect",
        prefect.settings.PREFECT_LOGGING_TO_API_ENABLED: False,
        prefect.settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }

    @flow
    def run() -> None:
        parameters, settings = (
            build_parameters([TINY]),
            ExecutionSettings(device="cpu", workers=1, storage=storage),
        )
        run_pipeline(acquisition, parameters, settings, pipeline=noted)

    with prefect.settings.temporary_settings(updates):
        begun.set()
        run()


def noting(step: Step[Any], journal: Path) -> Step[Any]:
    """Return the step with notes in the journal around its computation."""

    def compute(run: StepRun[Any]) -> Quality:
        note(journal, "begin", step.title)
        report = run.execution.progress

        def note_progress(done: int, total: int) -> None:
            note(journal, "progress", step.title, done / max(total, 1))
            if report is not None:
                report(done, total)

        run.execution = replace(run.execution, progress=note_progress)
        quality = step.compute(run)
        time.sleep(SHORTEST_S)
        note(journal, "end", step.title)
        return quality

    return replace(step, compute=compute)


def note(journal: Path, what: str, title: str, fraction: float = 0.0) -> None:
    """Append a line, in one write."""
    with journal.open("a") as file:
        file.write(f"{what}\t{title}\t{fraction}\n")


def notes(journal: Path) -> list[tuple[str, str, float]]:
    """Read the notes: begin, progress or end, title, and how far the step is."""
    if not journal.exists():
        return []
    lines = (line.split("\t") for line in journal.read_text().splitlines())
    return [(what, title, float(fraction)) for what, title, fraction in lines]
