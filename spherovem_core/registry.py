"""The one list of the pipeline's steps.

Order, status, forecast, cache, preflight, report chapters, documentation and command line are derived from it. Adding a step is a
module and a line here.
"""

from spherovem_core.steps import (
    denoising,
    ingest,
    nanoparticles,
    output,
    registration,
    segmentation,
    shape,
    spatial,
)
from spherovem_core.workflow.pipeline import Pipeline

PIPELINE = Pipeline(
    (
        ingest.INGEST,
        denoising.DENOISING,
        registration.REGISTRATION,
        segmentation.FLOWS_CELLS,
        segmentation.FLOWS_NUCLEI,
        segmentation.MASKS_CELLS,
        segmentation.MASKS_NUCLEI,
        nanoparticles.NANOPARTICLES,
        shape.SHAPE_CELLS,
        shape.SHAPE_NUCLEI,
        spatial.SPATIAL,
        output.OUTPUT,
    )
)
