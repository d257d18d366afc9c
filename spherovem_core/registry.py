"""The one list of the pipeline's steps.

Order, status, forecast, cache, preflight, report chapters, documentation and command line are derived from it. To add a step,
write a module in `spherovem_core.steps` that ends in ``STEPS``, and name it here.
"""

from importlib import import_module

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
