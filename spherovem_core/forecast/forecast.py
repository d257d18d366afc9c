"""Disk, memory and time that the unfinished steps of a run will need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spherovem_core.execution import ExecutionSettings
from spherovem_core.forecast.rates import known_rates
from spherovem_core.references import ArtifactRef
from spherovem_core.steps.left_out import LEAST_FRACTION
from spherovem_core.store import Layout
from spherovem_core.workflow import (
    ArrayOutput,
    GpuLibrary,
    OutputSize,
    Pipeline,
    RunRequest,
    SourceVolume,
    Step,
    StepPlan,
    plan_step,
)
from spherovem_core.workflow.demand import find_demand, is_computed, lazy_arrays

GB = 1e9
PROCESS_BYTES = 1_600_000_000
"""A process that has loaded Prefect, torch and the stages; 1.57 GB at the end of the demo's first stage."""

ABSENT = "none"
"""Variant of a step whose kind of objects was left out."""

ResolveDevice = Callable[[GpuLibrary | None, str], str]


CORRECTED_FRACTION = 0.1
"""Time to apply corrections to labels that are there, as a fraction of that to compute them: 12 of 258 s for nanoparticles of the
demo, 0.1 to 0.6 of 10 s for its cells."""


@dataclass(frozen=True)
class ForecastRow:
    """Needs of one step.

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
    freed_bytes
        On disk no longer when it is done: arrays of earlier steps that lean storage discards then.
    lazy_bytes, lazy_passing_bytes
        On disk until the end of the run, and while they are computed, if the step asks for discarded arrays that it reads only
        for objects which it has not seen before.
    """

    title: str
    stored_bytes: int
    passing_bytes: int
    seconds: float | None
    freed_bytes: int = 0
    lazy_bytes: int = 0
    lazy_passing_bytes: int = 0


@dataclass(frozen=True)
class Forecast:
    """Needs of the steps that are not complete yet.

    Attributes
    ----------
    rows
        One per step, in their order.
    present_bytes
        Bytes already on disk that the steps will replace or continue.
    memory_bytes
        Peak of the process; a network of its own size on a GPU is not counted.
    rates
        Origin of the rates.
    """

    rows: tuple[ForecastRow, ...]
    present_bytes: int
    memory_bytes: int
    rates: str

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk when the run is done."""
        return sum(row.stored_bytes - row.freed_bytes for row in self.rows)

    @property
    def needed_bytes(self) -> int:
        """Free space that the run needs beyond what lies there already, at the step that needs most."""
        most = stored = 0
        for row in self.rows:
            most = max(most, stored + row.lazy_bytes + row.lazy_passing_bytes)
            stored += row.lazy_bytes
            most = max(most, stored + row.stored_bytes + row.passing_bytes)
            stored += row.stored_bytes - row.freed_bytes
        return max(0, most - self.present_bytes)

    @property
    def seconds(self) -> float:
        """Seconds of the steps whose rate is known."""
        return sum(row.seconds or 0.0 for row in self.rows)

    @property
    def unmeasured(self) -> list[str]:
        """Steps whose rate is not known."""
        return [row.title for row in self.rows if row.seconds is None]

    def __str__(self) -> str:
        """Format the forecast in one line for the log."""
        if not self.rows:
            return "everything is complete on disk"
        time = _duration(self.seconds) + (f" and {', '.join(self.unmeasured)}" if self.unmeasured else "")
        return (
            f"steps to compute: {len(self.rows)}, about {self.needed_bytes / GB:.2f} GB of disk, "
            f"{self.memory_bytes / GB:.1f} GB of memory, {time} ({self.rates})"
        )

    def markdown(self) -> str:
        """Return a table for the Prefect UI."""
        lines = [str(self), "", "| step | disk (MB) | time |", "|---|---:|---:|"]
        lines += [
            f"| {row.title} | {row.stored_bytes / 1e6:.1f} | "
            f"{'not measured yet' if row.seconds is None else _duration(row.seconds)} |"
            for row in self.rows
        ]
        return "\n".join(lines)


def forecast_steps(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: Mapping[str, Mapping[str, str]],
    taken: Mapping[str, ArtifactRef],
    settings: ExecutionSettings,
    resolve_device: ResolveDevice,
) -> Forecast:
    """Estimate the disk, memory and time of the steps that are not complete on disk.

    Parameters
    ----------
    external
        Digests of what each step reads outside the results folder, by the step's name.
    taken
        Main outputs of the steps before, by name.
    resolve_device
        Names the device on which a step with this library computes under the setting.

    Raises
    ------
    SpheroVemError
        If the acquisition cannot be opened.
    """
    todo = steps_to_compute(pipeline, request, steps, external, taken)
    if not todo:
        return Forecast((), 0, 0, "")
    volume = _source_volume(pipeline, request, external, taken)
    rates = known_rates(pipeline, request.acquisition.results_root, settings.worker_count)
    freed = _freed_bytes(pipeline, todo, volume, request) if settings.storage == "lean" else {}
    rows, memory = [], 0
    for plan in todo:
        step = plan.step
        device = resolve_device(step.gpu_library(plan.parameters), settings.device)
        size = step.cost.size(volume, request.parameters)
        work = step.cost.work(volume, request.parameters)
        seconds = rates.estimate(step, device, request.parameters, work)
        if seconds is not None and plan.is_corrected and is_computed(plan.automatic):
            seconds *= CORRECTED_FRACTION
        absent = ": none given" if step.cost.variant(request.parameters) == ABSENT else ""
        title, left = f"{step.title}{absent}", freed.get(step.name, 0)
        lazy = _lazy_sizes(pipeline, todo, plan, volume, request)
        rows.append(
            ForecastRow(
                title,
                size.stored_bytes,
                size.passing_bytes,
                seconds,
                left,
                sum(each.stored_bytes for each in lazy),
                max((each.passing_bytes for each in lazy), default=0),
            )
        )
    for step in pipeline.steps:
        memory = max(memory, step.cost.memory(volume, request.parameters, settings))
    present = _present_bytes(request.acquisition.folder, [plan.step for plan in todo])
    return Forecast(tuple(rows), present, PROCESS_BYTES + memory, rates.origin)


def _lazy_sizes(
    pipeline: Pipeline,
    todo: Sequence[StepPlan[Any]],
    plan: StepPlan[Any],
    volume: SourceVolume,
    request: RunRequest,
) -> list[OutputSize]:
    """Return the sizes of the steps that a step may ask for, because arrays that it reads only if it has to were discarded."""
    names = {each.step.name for each in todo}
    wanted = lazy_arrays(plan.layout, pipeline, plan.step)
    return [pipeline.step(name).cost.size(volume, request.parameters) for name in wanted if name not in names]


def _freed_bytes(
    pipeline: Pipeline, todo: Sequence[StepPlan[Any]], volume: SourceVolume, request: RunRequest
) -> dict[str, int]:
    """Return the bytes that lean storage discards after each step, by its name: those of arrays that it is the last to read."""
    freed: dict[str, int] = {}
    computed = [plan.step for plan in todo]
    # A run that stops early or sees a region only discards nothing.
    if computed[-1] is not pipeline.steps[-1] or not request.region.is_whole:
        return freed
    for step in computed:
        readers = [each for each in pipeline.steps if any(output in each.inputs for output in step.transient)]
        size = step.cost.size(volume, request.parameters)
        is_worth = size.plain_bytes >= LEAST_FRACTION * volume.voxels * volume.itemsize
        if readers and is_worth:
            last = [each for each in (step, *readers) if each in computed][-1]
            freed[last.name] = freed.get(last.name, 0) + size.stored_bytes
    return freed


def steps_to_compute(
    pipeline: Pipeline,
    request: RunRequest,
    steps: Sequence[Step[Any]],
    external: Mapping[str, Mapping[str, str]],
    taken: Mapping[str, ArtifactRef],
) -> list[StepPlan[Any]]:
    """Plan the steps whose outputs are not complete on disk, and those whose discarded arrays are needed for these.

    Digests are known before anything is computed.
    """
    return find_demand(pipeline, request, steps, external, taken).todo


def _source_volume(
    pipeline: Pipeline,
    request: RunRequest,
    external: Mapping[str, Mapping[str, str]],
    taken: Mapping[str, ArtifactRef],
) -> SourceVolume:
    """Return the raw image's size, from disk where it is complete, else from the headers of the acquired files."""
    from spherovem_core.ingest import open_stack

    first = pipeline.steps[0]
    raw = taken.get(first.name) or plan_step(pipeline, first, request, external[first.name], {}).find()
    if raw is None:
        stack = open_stack(request.acquisition.source, request.parameters.ingest, region=request.region)
        return SourceVolume(stack.shape, stack.dtype.itemsize, stack.spacing_nm)
    depth, height, width = raw.shape
    return SourceVolume((depth, height, width), 2 if raw.dtype == "uint16" else 1, raw.spacing_nm)


def _present_bytes(folder: Path, steps: Sequence[Step[Any]]) -> int:
    """Count the bytes that lie where steps will write: of an array all levels, and the labels on it, each file once."""
    layout = Layout(folder)
    files = set[Path]()
    for output in (output for step in steps for output in step.outputs):
        place = layout.path(output.path)
        place = place.parent if isinstance(output, ArrayOutput) else place
        files.update(place.rglob("*") if place.is_dir() else [place])
    return sum(path.stat().st_size for path in files if path.is_file())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
