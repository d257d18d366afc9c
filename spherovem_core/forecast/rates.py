"""Seconds of steps: by earlier runs below the same results root, or else by the demo on two cores, scaled to this machine."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spherovem_core.forecast.calibration import Kernel, measure_time_factor
from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, read_json
from spherovem_core.workflow import Pipeline, SourceVolume, Step
from spherovem_core.workflow.step import JOURNAL

NEWEST_RUNS = 8
LEAST_OWN_FRACTION = 0.2
"""Fraction of the seconds of a run that counts as work at least, where the fixed seconds of its steps would leave less."""

Key = tuple[str, str, str]
"""Step, ``cpu`` or ``cuda``, and the variant of its cost, such as a network."""

TimeFactor = Callable[[Kernel, int], float]


@dataclass(frozen=True)
class Rates:
    """Seconds per unit of work, and their origin.

    Attributes
    ----------
    seconds
        Rates of earlier runs.
    run_count
        Number of these runs.
    workers
        Threads of the steps that are forecast.
    time_factor
        By how much a step takes longer here than where the shipped rates were measured.
    used_factors
        What `time_factor` returned so far.
    """

    seconds: Mapping[Key, float]
    run_count: int
    workers: int = 2
    time_factor: TimeFactor = measure_time_factor
    used_factors: dict[Kernel, float] = field(default_factory=dict)

    def estimate(
        self, step: Step[Any], device: str, parameters: PipelineParameters, work: float
    ) -> float | None:
        """Return the seconds of a step with this work; None where nothing of the kind was ever measured."""
        library, variant = device.partition(":")[0], step.cost.variant(parameters)
        measured = self.seconds.get((step.name, library, variant))
        if measured is not None:
            return step.cost.fixed_seconds + measured * work
        shipped = step.cost.seconds.get(variant)
        if library != "cpu" or shipped is None:
            return None
        return self._factor(step, parameters) * (step.cost.fixed_seconds + shipped * work)

    def _factor(self, step: Step[Any], parameters: PipelineParameters) -> float:
        is_torch = step.gpu_library(step.parameters(parameters)) == "torch"
        kernel: Kernel = "network" if is_torch else "arrays"
        if kernel not in self.used_factors:
            self.used_factors[kernel] = self.time_factor(kernel, self.workers)
        return self.used_factors[kernel]

    @property
    def origin(self) -> str:
        """Origin of the estimates so far, in words."""
        scaled = ", ".join(f"{factor:.2g} ({kernel})" for kernel, factor in sorted(self.used_factors.items()))
        demo = f"of the demo on two cores{f', times {scaled} as measured here' if scaled else ''}"
        if self.run_count:
            return f"rates of earlier runs beside this one ({self.run_count}), else {demo}"
        return f"rates {demo}, until a run has finished here"


def known_rates(
    pipeline: Pipeline,
    results_root: Path,
    workers: int = 2,
    time_factor: TimeFactor = measure_time_factor,
) -> Rates:
    """Read the rates of the newest finished runs below a results root; damaged files are passed over.

    Parameters
    ----------
    workers
        Threads of the steps that are forecast; earlier runs are taken to have had as many.
    time_factor
        Measures this machine, where nothing was measured by earlier runs.
    """
    newest = sorted(results_root.glob("*/provenance.json"), key=_age)[:NEWEST_RUNS]
    seconds: dict[Key, float] = defaultdict(float)
    work: dict[Key, float] = defaultdict(float)
    count = 0
    for path in newest:
        try:
            measured = _measured(pipeline, read_json(path) or {}, Layout(path.parent))
        except (KeyError, TypeError, ValidationError):
            continue
        count += 1
        for key, (spent, done) in measured.items():
            fixed = pipeline.step(key[0]).cost.fixed_seconds
            seconds[key] += max(spent - fixed, LEAST_OWN_FRACTION * spent)
            work[key] += done
    return Rates({key: seconds[key] / work[key] for key in seconds}, count, workers, time_factor)


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0


def _measured(
    pipeline: Pipeline, provenance: Mapping[str, Any], layout: Layout
) -> dict[Key, tuple[float, float]]:
    """Return seconds and work of each step of a finished run.

    The last step is left out: the provenance that it writes knows only the seconds before. So is the application of corrections.
    """
    parameters = PipelineParameters.model_validate(in_todays_names(provenance["parameters"]))
    raw = provenance["artifacts"]["ingest"]
    depth, height, width = raw["shape"]
    dz, dy, dx = raw["spacing_nm"]
    volume = SourceVolume((depth, height, width), 2 if raw["dtype"] == "uint16" else 1, (dz, dy, dx))
    found = {}
    for entry in provenance["stages"]:
        name = entry["step"]
        if name not in pipeline or name == pipeline.steps[-1].name or JOURNAL in entry.get("external", {}):
            continue
        cost = pipeline.step(name).cost
        key = name, entry["device"].partition(":")[0], cost.variant(parameters)
        found[key] = float(entry["seconds"]), cost.work(volume, parameters)
    return found
