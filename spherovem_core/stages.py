"""Names and order of the eight stages."""

from collections.abc import Mapping
from typing import Literal, get_args

from spherovem_core.errors import ParameterError

StageName = Literal[
    "ingest", "denoising", "registration", "segmentation", "nanoparticles", "shape", "spatial", "output"
]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
FIRST_STAGE: StageName = "ingest"
LAST_STAGE: StageName = "output"

STAGE_SUMMARIES: Mapping[StageName, str] = {
    "ingest": "Read and check the slices, find the voxel size, write the raw image as OME-Zarr 0.5.",
    "denoising": "Measure the noise, train a network on the acquisition itself and denoise every slice.",
    "registration": "Align neighbouring slices, warp each once, crop to the common field of view.",
    "segmentation": "Segment cells and nuclei with a Cellpose network: flows, then masks.",
    "nanoparticles": "Mask the specimen, tell particles from other objects, split clumps, label particles.",
    "shape": "Measure volume, area, sphericity, curvature and fractal dimension of every cell and nucleus.",
    "spatial": "Measure the distance to the nucleus, and assign nuclei and particles to their cells.",
    "output": "Rank the objects that are probably wrong, write the Parquet tables, the report and the provenance.",
}
"""One sentence per stage, for the documentation."""


def stages_between(start_at: StageName, stop_after: StageName) -> tuple[StageName, ...]:
    """Return the stages of a run from one to another, both included.

    Raises
    ------
    ParameterError
        If the run would stop before it starts.
    """
    first, last = STAGE_NAMES.index(start_at), STAGE_NAMES.index(stop_after)
    if last < first:
        raise ParameterError(
            f"start_at is {start_at} and stop_after {stop_after}, which comes before it; "
            f"the order is {', '.join(STAGE_NAMES)}"
        )
    return STAGE_NAMES[first : last + 1]
