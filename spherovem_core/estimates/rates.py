"""Seconds a unit of work: measured by earlier runs on this machine, or else by the demo on two cores."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spherovem_core.estimates.sizes import SourceVolume
from spherovem_core.estimates.work import work_units
from spherovem_core.parameters import PipelineParameters
from spherovem_core.store import Layout, read_json

NEWEST_RUNS = 8
OBJECT_STAGES = {"predict_flows": "flows_{kind}", "segment_masks": "{kind}", "measure_shape": "shape_{kind}"}
OTHER_STAGES = {
    "ingest": "ingest",
    "denoise": "denoise",
    "register": "register",
    "segment_nanoparticles": "nanoparticles",
    "measure_space": "space",
}
"""Of the output no run knows more than the seconds before its provenance was written."""

Key = tuple[str, str, str]
"""Step, ``cpu`` or ``cuda``, and the network where the step uses one."""

SHIPPED_SECONDS: Mapping[Key, float] = {
    ("ingest", "cpu", ""): 0.13,
    ("denoise", "cpu", ""): 7.0,
    ("register", "cpu", ""): 2.7,
    ("flows_cells", "cpu", "phantom-compact"): 12.8,
    ("flows_nuclei", "cpu", "phantom-compact"): 13.5,
    ("cells", "cpu", ""): 2.8,
    ("nuclei", "cpu", ""): 1.3,
    ("nanoparticles", "cpu", ""): 0.74,
    ("shape_cells", "cpu", ""): 1.9,
    ("shape_nuclei", "cpu", ""): 0.13,
    ("space", "cpu", ""): 1.4,
    ("output", "cpu", ""): 12.0,
}
"""Seconds by the provenance (the output: the log) of a run of ``spherovem demo`` on two cores, over its work units."""


@dataclass(frozen=True)
class Rates:
    """Seconds a unit of work, and where they are from."""

    seconds: Mapping[Key, float]
    run_count: int

    def find(self, step: str, device: str, network: str) -> float | None:
        """Rate of a step; None where nothing of the kind was ever measured."""
        key = step, device.partition(":")[0], network if step.startswith("flows_") else ""
        return self.seconds.get(key, SHIPPED_SECONDS.get(key))

    @property
    def origin(self) -> str:
        """Where the rates are from, in words."""
        if self.run_count:
            return f"rates of earlier runs beside this one ({self.run_count}), else of the demo on two cores"
        return "rates of the demo on two cores, until a run has finished here"


def known_rates(results_root: Path) -> Rates:
    """Rates by the provenance of the newest finished runs below a results root; damaged files are passed over."""
    newest = sorted(results_root.glob("*/provenance.json"), key=_age)[:NEWEST_RUNS]
    seconds: dict[Key, float] = defaultdict(float)
    work: dict[Key, float] = defaultdict(float)
    count = 0
    for path in newest:
        try:
            measured = _measured(read_json(path) or {}, Layout(path.parent))
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


def _measured(provenance: Mapping[str, Any], layout: Layout) -> dict[Key, tuple[float, float]]:
    """Seconds and work of each step of a finished run."""
    parameters = PipelineParameters.model_validate(provenance["parameters"])
    raw = provenance["artifacts"]["ingest"]
    depth, height, width = raw["shape"]
    dz, dy, dx = raw["spacing_nm"]
    volume = SourceVolume((depth, height, width), 2 if raw["dtype"] == "uint16" else 1, (dz, dy, dx))
    work = work_units(volume, parameters)
    found = {}
    for entry in provenance["stages"]:
        name, kind = entry["stage"], entry["parameters"].get("kind", "")
        if name not in OTHER_STAGES and name not in OBJECT_STAGES:
            continue
        step = OBJECT_STAGES[name].format(kind=kind) if name in OBJECT_STAGES else OTHER_STAGES[name]
        network = getattr(parameters, kind).network if name == "predict_flows" else ""
        found[step, entry["device"].partition(":")[0], network] = float(entry["seconds"]), work[step]
    return found
