"""Seconds per unit of work: measured by earlier runs below the same results root, or else by the demo on two cores."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, read_json
from spherovem_core.workflow import Pipeline, SourceVolume, Step
from spherovem_core.workflow.step import JOURNAL

NEWEST_RUNS = 8

Key = tuple[str, str, str]
"""Step, ``cpu`` or ``cuda``, and the variant of its cost, such as a network."""


@dataclass(frozen=True)
class Rates:
    """Seconds per unit of work, and their origin."""

    seconds: Mapping[Key, float]
    run_count: int

    def find(self, step: Step[Any], device: str, parameters: PipelineParameters) -> float | None:
        """Return the rate of a step; None where nothing of the kind was ever measured."""
        library, variant = device.partition(":")[0], step.cost.variant(parameters)
        known = self.seconds.get((step.name, library, variant))
        if known is None and library == "cpu":
            known = step.cost.seconds.get(variant)
        return known

    @property
    def origin(self) -> str:
        """Origin of the rates, in words."""
        if self.run_count:
            return f"rates of earlier runs beside this one ({self.run_count}), else of the demo on two cores"
        return "rates of the demo on two cores, until a run has finished here"


def known_rates(pipeline: Pipeline, results_root: Path) -> Rates:
    """Read the rates of the newest finished runs below a results root; damaged files are passed over."""
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
            seconds[key] += spent
            work[key] += done
    return Rates({key: seconds[key] / work[key] for key in seconds}, count)


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
