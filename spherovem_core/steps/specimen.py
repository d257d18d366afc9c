"""Specimen mask, the first step of stage 5: which part of the volume is tissue."""

from spherovem_core.blocks import block_grid
from spherovem_core.execution import ExecutionSettings
from spherovem_core.parameters import PipelineParameters, SpecimenParameters
from spherovem_core.parameters.specimen import specimen_part
from spherovem_core.report.chapter import Chapter
from spherovem_core.steps.ingest import SLICES, filled_slices
from spherovem_core.steps.registration import REGISTERED
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
from spherovem_core.workflow.cost import image_work, pyramid_voxels
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
        source, grid, run.parameters, tiles, run.execution, bad_slices=filled_slices(run)
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
            "tissue_structure": evidence.tissue,
            "resin_structure": evidence.resin,
        },
    )
    run.finish(writer)
    figures = {f"{name} (fraction)": fraction for name, fraction in fractions.items()}
    return Quality("Specimen mask", figures, SPECIMEN, "Specimen mask in the middle slice")


def _tile_count(volume: SourceVolume, parameters: PipelineParameters) -> int:
    from spherovem_core.nanoparticles.specimen.tiles import tile_grid

    grid = tile_grid(volume.shape, volume.spacing_nm, parameters.nanoparticles.specimen_spacing_nm)
    return pyramid_voxels(grid.shape, grid.spacing_nm)


def _size(volume: SourceVolume, parameters: PipelineParameters) -> OutputSize:
    tiles = _tile_count(volume, parameters)
    return OutputSize.compressed(tiles, STORED_FRACTION, passing=12 * tiles)


def _memory(volume: SourceVolume, parameters: PipelineParameters, settings: ExecutionSettings) -> int:
    _, height, width = volume.shape
    workers = settings.worker_count
    return TILE_BYTES * _tile_count(volume, parameters) + SLICE_BYTES * workers * height * width


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
    cost=Cost(image_work, _size, _memory, seconds={"": 0.05}),
    provisional="specimen",
    chapter=_chapter,
)
