"""What a run will compute and need: said before its first stage, and refused where the disk cannot hold it."""

import logging
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.steps import STEPS, RunInputs, Step
from spherovem_core.errors import StoreNotWritableError
from spherovem_core.estimates import (
    SourceVolume,
    known_rates,
    output_sizes,
    peak_memory_bytes,
    work_units,
)
from spherovem_core.ingest import open_stack
from spherovem_core.references import ArtifactRef
from spherovem_core.stages import StageName
from spherovem_core.store import Layout
from tasks.artifacts import show_markdown
from tasks.devices import resolve_device
from tasks.plans import StagePlan

logger = logging.getLogger("spherovem_core.forecast")

GB = 1e9


@dataclass(frozen=True)
class ForecastRow:
    """What one step will need.

    Attributes
    ----------
    title
        Name of the step.
    stored_bytes
        On disk when it is done.
    passing_bytes
        On disk beside that while it runs.
    seconds
        None where nothing like it was ever measured.
    """

    title: str
    stored_bytes: int
    passing_bytes: int
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What the steps that are not complete yet will need.

    Attributes
    ----------
    rows
        One a step, in their order.
    present_bytes
        On disk already of what the steps will replace or go on with.
    memory_bytes
        Peak of the process.
    rates
        Where the rates are from.
    """

    rows: tuple[ForecastRow, ...]
    present_bytes: int
    memory_bytes: int
    rates: str

    @property
    def stored_bytes(self) -> int:
        """On disk when the run is done."""
        return sum(row.stored_bytes for row in self.rows)

    @property
    def needed_bytes(self) -> int:
        """Free space that the run needs beyond what lies there already."""
        passing = max((row.passing_bytes for row in self.rows), default=0)
        return max(0, self.stored_bytes + passing - self.present_bytes)

    @property
    def seconds(self) -> float:
        """Of the steps whose rate is known."""
        return sum(row.seconds or 0.0 for row in self.rows)

    @property
    def unmeasured(self) -> list[str]:
        """Steps whose rate is not known."""
        return [row.title for row in self.rows if row.seconds is None]

    def __str__(self) -> str:
        """One line for the log."""
        if not self.rows:
            return "everything is complete on disk"
        time = _duration(self.seconds) + (f" and {', '.join(self.unmeasured)}" if self.unmeasured else "")
        return (
            f"steps to compute: {len(self.rows)}, about {self.needed_bytes / GB:.2f} GB of disk, "
            f"{self.memory_bytes / GB:.1f} GB of memory, {time} ({self.rates})"
        )

    def markdown(self) -> str:
        """A table for the Prefect UI."""
        lines = [str(self), "", "| step | disk (MB) | time |", "|---|---:|---:|"]
        lines += [
            f"| {row.title} | {row.stored_bytes / 1e6:.1f} | "
            f"{'not measured yet' if row.seconds is None else _duration(row.seconds)} |"
            for row in self.rows
        ]
        return "\n".join(lines)


def announce(run: RunInputs, stages: Collection[StageName], taken: dict[str, ArtifactRef]) -> Forecast:
    """Log and show what the run will need.

    Parameters
    ----------
    run
        As the steps get it.
    stages
        Stages of the run.
    taken
        Outputs of the stages before.

    Raises
    ------
    StoreNotWritableError
        If the disk cannot hold what will be written.
    SpheroVemError
        If the acquisition cannot be opened.
    """
    forecast = foresee(run, stages, taken)
    name = run.acquisition.name
    logger.info("%s: %s", name, forecast)
    show_markdown(f"forecast {name}", forecast.markdown(), "What the run will need")
    check_disk(run.acquisition.folder, forecast)
    return forecast


def foresee(run: RunInputs, stages: Collection[StageName], taken: dict[str, ArtifactRef]) -> Forecast:
    """Work out what the steps that are not complete on disk will need."""
    todo = steps_to_compute(run, [step for step in STEPS if step.name in stages], taken)
    if not todo:
        return Forecast((), 0, 0, "")
    volume = _source_volume(run, taken)
    sizes, work = output_sizes(volume, run.parameters), work_units(volume, run.parameters)
    rates = known_rates(run.acquisition.results_root)
    rows = []
    for step, plan in todo:
        device = resolve_device(plan.stage.gpu_library, run.execution.device)
        rate = rates.find(step.key, device, _network(step, run))
        size = sizes[step.key]
        seconds = None if rate is None else rate * work[step.key]
        rows.append(ForecastRow(plan.title, size.stored_bytes, size.passing_bytes, seconds))
    present = sum(_bytes_at(run.acquisition.folder, plan) for _, plan in todo)
    return Forecast(tuple(rows), present, peak_memory_bytes(volume, run.parameters), rates.origin)


def steps_to_compute(
    run: RunInputs, steps: Sequence[Step], taken: dict[str, ArtifactRef]
) -> list[tuple[Step, StagePlan]]:
    """Steps whose outputs are not complete on disk; fingerprints are known before anything is computed."""
    done, todo = dict(taken), []
    for step in steps:
        plan = step.plan(run, done)
        found = plan.find()
        if found is None:
            todo.append((step, plan))
        done[step.key] = found or _expected(plan)
    return todo


def check_disk(folder: Path, forecast: Forecast) -> None:
    """Refuse a run whose results the disk cannot hold.

    Raises
    ------
    StoreNotWritableError
        With what is needed, what is free and what takes most.
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


def _source_volume(run: RunInputs, taken: dict[str, ArtifactRef]) -> SourceVolume:
    """The raw image, from disk where it is complete, else from the headers of the acquired files."""
    raw = taken.get("ingest") or STEPS[0].plan(run, {}).find()
    if raw is None:
        stack = open_stack(run.acquisition.source, run.parameters.ingest, region=run.region)
        return SourceVolume(stack.shape, stack.dtype.itemsize, stack.spacing_nm)
    depth, height, width = raw.shape
    return SourceVolume((depth, height, width), 2 if raw.dtype == "uint16" else 1, raw.spacing_nm)


def _network(step: Step, run: RunInputs) -> str:
    kind = step.key.removeprefix("flows_")
    return getattr(run.parameters, kind).network if step.name == "flows" else ""


def _expected(plan: StagePlan) -> ArtifactRef:
    """Reference to what a plan will make; only its place and fingerprint are known."""
    return ArtifactRef(
        store=str(plan.folder),
        path=plan.outputs[0],
        shape=(),
        dtype="",
        spacing_nm=(0.0, 0.0, 0.0),
        digest=plan.digest,
    )


def _bytes_at(folder: Path, plan: StagePlan) -> int:
    """Bytes that lie where a plan will write: of an array all levels, labels that lie below it included."""
    layout = Layout(folder)
    total = 0
    for output in plan.outputs:
        place = layout.path(output)
        place = place.parent if place.name == "0" else place
        files = place.rglob("*") if place.is_dir() else [place]
        total += sum(path.stat().st_size for path in files if path.is_file())
    return total


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
