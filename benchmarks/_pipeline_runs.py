"""Runs of the pipeline as users run it: slices on disk in, arrays and tables out, through the steps of the registry."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from spherovem_core.execution import ExecutionSettings, open_executor
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import StageName
from spherovem_core.store import Layout
from spherovem_core.store.format import mark_format
from spherovem_core.workflow import RunRequest, plan_step
from spherovem_core.workflow.compute import compute_step

PARTICLE_STAGES: tuple[StageName, ...] = ("ingest", "denoising", "registration", "nanoparticles")


def write_slices(image: NDArray[Any], spacing_nm: tuple[float, float, float], folder: Path) -> Path:
    """Write an image as an acquisition: one TIFF per slice, and acquisition.json."""
    folder.mkdir(parents=True)
    for z, plane in enumerate(image):
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", plane, photometric="minisblack", metadata=None)
    description = {
        "name": folder.name,
        "spacing_nm": list(spacing_nm),
        "slice_count": len(image),
        "slice_pattern": "slice_*.tif",
    }
    (folder / "acquisition.json").write_text(json.dumps(description))
    return folder


def run_stages(
    source: Path,
    results_root: Path,
    parameters: PipelineParameters,
    stages: Sequence[StageName] = PARTICLE_STAGES,
    workers: int = 1,
    around: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> tuple[Layout, dict[str, ArtifactRef]]:
    """Run the steps of some stages on an acquisition, without Prefect, each within the context that `around` makes of its name.

    Returns
    -------
    layout
        Results folder.
    done
        Main output of each step, by the step's name.
    """
    acquisition = Acquisition(name=source.name, source=source, results_root=results_root)
    request = RunRequest(acquisition, parameters)
    settings = ExecutionSettings(workers=workers)
    layout = Layout(acquisition.folder)
    layout.ensure_writable()
    mark_format(layout)
    done: dict[str, ArtifactRef] = {}
    with open_executor(settings) as executor:
        for step in PIPELINE.of_stages(stages):
            with around(step.name):
                plan = plan_step(PIPELINE, step, request, step.external(request), done)
                done[step.name] = plan.find() or compute_step(plan, settings, executor)[0]
    return layout, done
