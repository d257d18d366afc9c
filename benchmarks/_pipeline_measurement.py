"""One run of the pipeline, measured step by step in a process of its own.

    python benchmarks/_pipeline_measurement.py SOURCE RESULTS PARAMETERS.json WORKERS WARM_UP_SOURCE [STAGE ...]

A run on a small acquisition comes first, so that imports, compilation and thread pools count for no step. The last line of the
output is JSON.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from _pipeline_runs import run_stages

from spherovem_core.parameters import PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import StageName
from spherovem_core.store import read_json
from spherovem_core.utils.freed_memory import release_free_memory

OWN = Path("/proc/self")


@dataclass
class StepFigures:
    """Time, memory and bytes of one step.

    Attributes
    ----------
    processor_s, wall_s
        Seconds of all threads and child processes, and of the clock.
    peak_bytes
        Highest resident size of the process beyond that after the run on the small acquisition.
    written_bytes
        Passed to the operating system for writing, files that were deleted again included.
    kept_bytes
        By which the results folder grew.
    """

    processor_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    written_bytes: int = 0
    kept_bytes: int = 0


class Meter:
    """Figures of the steps of a run.

    Parameters
    ----------
    results
        Results folder, whose size is read between the steps.
    """

    def __init__(self, results: Path) -> None:
        release_free_memory()
        self.base_bytes = _status("VmRSS")
        self.steps: dict[str, StepFigures] = {}
        self._results = results

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        """Measure a step."""
        release_free_memory()
        # Makes the highest resident size that of this moment.
        (OWN / "clear_refs").write_text("5")
        kept, written = _folder_bytes(self._results), _written_bytes()
        processor, wall = _processor_s(), time.perf_counter()
        yield
        self.steps[step] = StepFigures(
            _processor_s() - processor,
            time.perf_counter() - wall,
            max(0, _status("VmHWM") - self.base_bytes),
            _written_bytes() - written,
            _folder_bytes(self._results) - kept,
        )

    def add_history(self, folder: Path) -> None:
        """Take over higher peaks from the history of the results, which counts child processes too."""
        for entry in (read_json(folder / "provenance.json") or {}).get("stages", []):
            figures = self.steps.get(entry["step"])
            if figures is not None:
                beyond = int(entry["peak_memory_bytes"]) - self.base_bytes
                figures.peak_bytes = max(figures.peak_bytes, beyond)


def _processor_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _status(field: str) -> int:
    text = (OWN / "status").read_text()
    return 1024 * int(text.split(f"{field}:")[1].split()[0])


def _written_bytes() -> int:
    return int((OWN / "io").read_text().split("wchar:")[1].split()[0])


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    source, results, parameters_file, workers, small = sys.argv[1:6]
    parameters = PipelineParameters.model_validate_json(Path(parameters_file).read_text())
    stages: list[StageName] = sys.argv[6:] or list(dict.fromkeys(step.stage for step in PIPELINE.steps))
    run_stages(Path(small), Path(f"{results}-small"), parameters, stages, int(workers))
    meter = Meter(Path(results))
    layout, _ = run_stages(Path(source), Path(results), parameters, stages, int(workers), meter.around)
    meter.add_history(layout.provenance.parent)
    steps = {
        step.name: {
            **asdict(meter.steps[step.name]),
            "gpu": step.gpu_library(step.parameters(parameters)) or "",
        }
        for step in PIPELINE.of_stages(stages)
    }
    print(json.dumps({"base_bytes": meter.base_bytes, "cores": os.cpu_count(), "steps": steps}))


if __name__ == "__main__":
    main()
