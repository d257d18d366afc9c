"""The one list of the pipeline's steps.

Order, status, forecast, cache, preflight, report chapters, documentation and command line are derived from it. To add a step,
write a module in `spherovem_core.steps` that ends in ``STEPS``, and name it here.
"""

from functools import lru_cache
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from spherovem_core.overrides import in_todays_names
from spherovem_core.parameters import PipelineParameters
from spherovem_core.stages import STAGE_NAMES
from spherovem_core.steps.named_kinds import named_steps
from spherovem_core.store import Layout, read_json
from spherovem_core.workflow.pipeline import Pipeline

MODULES = (
    "ingest",
    "denoising",
    "registration",
    "segmentation",
    "nanoparticles",
    "shape",
    "spatial",
    "review",
    "output",
)
"""Modules of `spherovem_core.steps`, in the order in which their steps run."""

PIPELINE = Pipeline(
    tuple(step for name in MODULES for step in import_module(f"spherovem_core.steps.{name}").STEPS)
)


def pipeline_for(parameters: PipelineParameters) -> Pipeline:
    """Return the pipeline with the steps of the further kinds of objects that the parameters name."""
    return _with_kinds(tuple(sorted(parameters.segmentation.others)))


def pipeline_of_results(folder: Path) -> Pipeline:
    """Return the pipeline of a finished acquisition, by the parameters in its provenance."""
    provenance = read_json(Layout(folder).provenance) or {}
    try:
        return pipeline_for(PipelineParameters.model_validate(in_todays_names(provenance["parameters"])))
    except (KeyError, ValidationError):
        return PIPELINE


@lru_cache(maxsize=16)
def _with_kinds(names: tuple[str, ...]) -> Pipeline:
    if not names:
        return PIPELINE
    steps = [*PIPELINE.steps, *(step for name in names for step in named_steps(name))]
    return Pipeline(sorted(steps, key=lambda step: STAGE_NAMES.index(step.stage)))
