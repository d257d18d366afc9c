"""A tiny acquisition that runs through all stages in well under a minute."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.process_acquisition import process_acquisition
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition

ARRAYS = (
    "raw",
    "denoised",
    "registered",
    "registered/labels/cells",
    "registered/labels/nuclei",
    "specimen",
    "registered/labels/nanoparticles",
    "flows/cells",
    "flows/nuclei",
    "nanoparticle_posterior",
    "distance_to_nucleus",
)
DISCARDED = ("denoised", "flows/cells", "flows/nuclei")
"""Arrays that lean storage, the default, discards by the end of the run."""
KEPT = tuple(group for group in ARRAYS if group not in DISCARDED)
STEPS = (
    "ingest",
    "denoising",
    "registration",
    "flows cells",
    "flows nuclei",
    "masks cells",
    "masks nuclei",
    "specimen",
    "nanoparticles",
    "shape cells",
    "shape nuclei",
    "spatial",
    "review cells",
    "review nuclei",
    "review nanoparticles",
    "output",
)
States = Callable[[Any, int], dict[str, str]]


@dataclass(frozen=True)
class Finished:
    """A run of the demo on a tiny phantom."""

    acquisition: Acquisition
    figures: dict[str, float]


def run(
    acquisition: Acquisition,
    parameters: PipelineParameters,
    task_states: States,
    count: int = len(STEPS),
    **options: Any,
) -> set[str]:
    """Run the flow, expect so many tasks, and return the titles of the steps that were computed."""
    state = process_acquisition(
        acquisition, parameters, ExecutionSettings(device="cpu", workers=1), return_state=True, **options
    )
    assert state.is_completed(), state
    states = task_states(state.state_details.flow_run_id, count)
    own = {name.rpartition(" of ")[0]: value for name, value in states.items()}
    assert set(own) <= set(STEPS)
    assert set(own.values()) <= {"Cached", "Completed"}
    return {name for name, value in own.items() if value == "Completed"}
