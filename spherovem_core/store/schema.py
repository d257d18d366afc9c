"""What a results folder holds: every array, table and file with its meaning.

The documentation's reference is made from it, and a test compares it with what a run wrote.
"""

from dataclasses import dataclass

from spherovem_core.store.columns import (
    CELL_COLUMNS,
    NANOPARTICLE_COLUMNS,
    NUCLEUS_COLUMNS,
    RADIAL_COLUMNS,
    RIPLEY_COLUMNS,
    SLICE_COLUMNS,
    Column,
)
from spherovem_core.store.layout import (
    DENOISED,
    DISTANCE,
    NANOPARTICLES,
    OBJECT_KINDS,
    POSTERIOR,
    RAW,
    REGISTERED,
    flows_group,
    labels_group,
    stage_table_path,
    table_path,
)
from spherovem_core.store.spec import Content


@dataclass(frozen=True)
class TableDescription:
    """One Parquet table; `row` says what a row is."""

    path: str
    row: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class FileDescription:
    """A file or folder that is neither array nor main table."""

    path: str
    meaning: str


@dataclass(frozen=True)
class ArrayDescription:
    """One multiscale group of the volume; `types` are the element types that it may have."""

    group: str
    content: Content
    axes: str
    types: tuple[str, ...]
    unit: str
    meaning: str


ARRAYS = (
    ArrayDescription(
        RAW, "image", "z y x", ("uint8", "uint16"), "grey value", "The slices as acquired, bad ones filled."
    ),
    ArrayDescription(
        DENOISED,
        "image",
        "z y x",
        ("uint8",),
        "grey value",
        "Denoised slices; 0 and 255 are two percentiles of the denoised stack.",
    ),
    ArrayDescription(
        REGISTERED,
        "image",
        "z y x",
        ("uint8",),
        "grey value",
        "Denoised slices in one frame, cropped to what all of them show.",
    ),
    *(
        ArrayDescription(
            labels_group(kind),
            "label",
            "z y x",
            ("uint32",),
            "label",
            f"One number for each of the {kind}, 0 elsewhere; on the level of the registered image that mask_spacing_nm chooses.",
        )
        for kind in OBJECT_KINDS
    ),
    ArrayDescription(
        NANOPARTICLES,
        "label",
        "z y x",
        ("uint32",),
        "label",
        "One number a nanoparticle, 0 elsewhere; at full resolution.",
    ),
    *(
        ArrayDescription(
            flows_group(kind),
            "field",
            "c z y x",
            ("float16",),
            "",
            f"What the network says of {kind}: flow along z, y and x, and the logit of the cell probability.",
        )
        for kind in OBJECT_KINDS
    ),
    ArrayDescription(
        POSTERIOR,
        "field",
        "z y x",
        ("float16",),
        "",
        "Probability that a voxel is nanoparticle, before any smoothing.",
    ),
    ArrayDescription(
        DISTANCE,
        "field",
        "z y x",
        ("float32",),
        "µm",
        "Distance to the nearest nucleus of the same cell: 0 within it, NaN outside cells and in cells with no nucleus.",
    ),
)

TABLES = (
    TableDescription(table_path("cells"), "a cell", CELL_COLUMNS),
    TableDescription(table_path("nuclei"), "a nucleus", NUCLEUS_COLUMNS),
    TableDescription(table_path("nanoparticles"), "a nanoparticle", NANOPARTICLE_COLUMNS),
    TableDescription(table_path("slices"), "a slice of the acquisition", SLICE_COLUMNS),
    TableDescription(
        stage_table_path("space-radial"),
        "a cell with a nucleus and a bin of distance that it reaches into",
        RADIAL_COLUMNS,
    ),
    TableDescription(stage_table_path("space-ripley"), "a radius", RIPLEY_COLUMNS),
)

FILES = (
    FileDescription(
        "report.html", "What was done and what came out, with pictures and warnings; needs no network."
    ),
    FileDescription(
        "provenance.json",
        "Parameters, versions, device, seconds and peak memory of every stage; written last.",
    ),
    FileDescription(
        "models/mixture.json", "The mixture of intensities that nanoparticles were told apart with."
    ),
    FileDescription("models/n2v-*/", "The denoising network of this acquisition: checkpoint and loss curve."),
    FileDescription(
        "meshes/cells/, meshes/nuclei/", "Surfaces with curvatures as PLY, where shape.write_meshes is on."
    ),
    FileDescription("tables/stages/", "Tables that one stage leaves for another."),
    FileDescription(
        ".spherovem/", "Ledgers, locks, records and provisional arrays: what a killed run needs to go on."
    ),
)
