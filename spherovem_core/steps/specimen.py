"""Specimen mask, the first step of stage 5: which part of the volume is tissue."""

import math

from spherovem_core.blocks import block_grid
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters, SpecimenParameters
from spherovem_core.parameters.specimen import MOST_TILES, specimen_part
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.steps.registration import REGISTERED, registered_slices
from spherovem_core.store.layout import SPECIMEN as SPECIMEN_GROUP
from spherovem_core.store.ome import level_origin
from spherovem_core.workflow import (
    ArrayOutput,
    Cost,
    DocumentOutput,
    OutputSize,
    Quality,
    SourceVolume,
    Step,
)
from spherovem_core.workflow.cost import image_work
from spherovem_core.workflow.run import StepRun

SPECIMEN = ArrayOutput(
    SPECIMEN_GROUP,
    "label",
    "z y x",
    ("uint8",),
    "",
    "0 outside (resin or empty frame), 1 specimen, 2 lumen (resin that tissue encloses), 3 charging; in voxels of about 120 nm.",
)
SUMMARY = DocumentOutput(
    "models/specimen.json", "Fractions of the specimen mask, and the structure that decided."
)

STORED_FRACTION = 0.05
TILE_BYTES, SLICE_BYTES = 60, 4
"""Bytes per tile of the mask while it is computed, and per voxel of a slice."""


def _compute(run: StepRun[SpecimenParameters]) -> Quality:
    from spherovem_core.nanoparticles.specimen import write_specimen
    from spherovem_core.nanoparticles.specimen.codes import code_fractions
    from spherovem_core.nanoparticles.specimen.tiles import tile_grid

    source = run.open(REGISTERED)
    grid = tile_grid(source.shape, source.spacing_nm, run.parameters.specimen_spacing_nm)
    tiles = run.provisional(grid.planes, "float32", grid.spacing_nm, by_slice=True)
    codes, evidence = write_specimen(
        source,
        grid,
        run.parameters,
        tiles,
        run.execution,
        bad_slices=registered_slices(run).showing(filled_slices(run)),
    )
    origin = level_origin(source.spacing_nm, source.origin_nm, grid.factors)
    writer = run.writer(SPECIMEN, grid.shape, "uint8", grid.spacing_nm, origin_nm=origin)
    for block in writer.pending(block_grid(grid.shape, writer.spec.shards)):
        writer.write(block, codes[block.core])
    fractions = code_fractions(codes)
    run.write_document(
        SUMMARY,
        {
            "fractions": fractions,
            "voxels_per_tile": list(grid.factors),
            "tissue_structure": _number(evidence.tissue),
            "resin_structure": _number(evidence.resin),
        },
    )
    run.finish(writer)
    figures = {f"{name} (fraction)": fraction for name, fraction in fractions.items()}
    return Quality("Specimen mask", figures, SPECIMEN, "Specimen mask in the middle slice")


def _number(value: float) -> float | None:
    """Return a value as JSON has it: None where it was not measured."""
    return None if math.isnan(value) else value


def _tile_count(volume: SourceVolume, parameters: PipelineParameters) -> int:
    """Count the tiles of a volume, were they not limited in number."""
    wanted = parameters.nanoparticles.specimen_spacing_nm
    return round(volume.voxels * math.prod(min(1.0, step / wanted) for step in volume.spacing_nm))


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    tiles = _tile_count(volume, parameters)
    return OutputSize.compressed(tiles, STORED_FRACTION, passing=12 * min(tiles, MOST_TILES))


def _memory(volume: SourceVolume, parameters: PipelineParameters, settings: ExecutionSettings) -> int:
    tiles = min(_tile_count(volume, parameters), MOST_TILES)
    return TILE_BYTES * tiles + SLICE_BYTES * settings.worker_count * math.prod(volume.shape[1:])


def _chapter() -> Chapter:
    from spherovem_core.nanoparticles.specimen.chapter import specimen_section, specimen_warnings

    return Chapter("Specimen", specimen_section, specimen_warnings)


SPECIMEN_STEP = Step(
    name="specimen",
    stage="nanoparticles",
    version=1,
    parameters=lambda parameters: specimen_part(parameters.nanoparticles),
    inputs=(REGISTERED, SLICES),
    outputs=(SPECIMEN, SUMMARY),
    compute=_compute,
    cost=Cost(image_work, _size, _memory, seconds={"": 0.048}, fixed_seconds=0.25),
    provisional="specimen",
    chapter=_chapter,
)
