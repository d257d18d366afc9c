"""Finished acquisitions for the tests of the report: arrays from the truth of a phantom, and tables measured on them."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution
from spherovem_core.ingest.intensities import measure_intensities
from spherovem_core.nanoparticles import Particles, find_particles
from spherovem_core.output import (
    build_report,
    uptake_table,
    with_agglomerate_places,
    with_doses,
    with_particle_places,
)
from spherovem_core.parameters import OutputParameters, PipelineParameters
from spherovem_core.registry import PIPELINE
from spherovem_core.report import ReportInputs
from spherovem_core.review.suspects import SEED_COLUMNS, suspect_table
from spherovem_core.shape import measure_labels
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial import (
    Placement,
    contacts_of_cells,
    distance_to_nucleus,
    find_surface,
    measure_contacts,
    measure_depth_of_cells,
    measure_depth_of_particles,
    measure_membrane_gaps,
    measure_space,
)
from spherovem_core.steps.output import report_chapters
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    cube_shards,
    finish_multiscale,
    history_entry,
    pyramid,
    slice_shards,
)
from spherovem_core.store.layout import (
    DENOISED,
    DISTANCE,
    NANOPARTICLES,
    POSTERIOR,
    RAW,
    REGISTERED,
    SPECIMEN,
    labels_group,
)
from spherovem_core.synthetic.phantom import Phantom, make_phantom

CHAPTERS = report_chapters(PIPELINE.chapters())
SPACING_NM = (120.0, 40.0, 40.0)
CROP = (4, 3, 124, 117)
CENTROID = ["centroid_z_um", "centroid_y_um", "centroid_x_um"]
BAD_SLICE = {"missing": 3, "blank": 7, "outlier": 11}


@lru_cache(maxsize=2)
def phantom(particles: bool = True) -> Phantom:
    """Make a small phantom with whole cells."""
    return make_phantom(
        shape=(24, 128, 120),
        spacing_nm=SPACING_NM,
        seed=5,
        cell_diameter_um=2.2,
        nanoparticle_volume_fraction=0.01 if particles else 0.0,
    )


@dataclass(frozen=True)
class Scene:
    """Contents of an acquisition to report on.

    Attributes
    ----------
    flags
        Number of the bad slice, or of several, by the name of the flag.
    """

    particles: bool = True
    cells: bool = True
    nuclei: bool = True
    flags: dict[str, Any] = field(default_factory=lambda: dict(BAD_SLICE))


def finished(folder: Path, scene: Scene = Scene(), image_px: int = 400) -> ReportInputs:
    """Write the arrays of an acquisition and measure its tables like the stages."""
    layout, parameters = Layout(folder), PipelineParameters()
    source = phantom(scene.particles)
    y0, x0, y1, x1 = CROP
    window = (slice(None), slice(y0, y1), slice(x0, x1))
    image = _with_some_noise(source.clean[window])
    particles = find_particles(image, SPACING_NM)
    labels = {
        "cells": source.cells[window] * np.uint32(scene.cells),
        "nuclei": source.nuclei[window] * np.uint32(scene.nuclei),
        "nanoparticles": particles.labels,
    }
    _write(layout, RAW, source.image, spacing_origin="acquisition.json", source={"instrument": "phantom"})
    _write(layout, DENOISED, source.clean, denoising=_denoising(source))
    _write(layout, REGISTERED, image, crop=list(CROP))
    for kind in ("cells", "nuclei"):
        _write(layout, labels_group(kind), labels[kind], content="label")
    # Tiles of the mask are larger than voxels.
    tiles = np.ones_like(image[:, ::4, ::4])
    _write(
        layout,
        SPECIMEN,
        tiles,
        content="label",
        spacing_nm=(120.0, 160.0, 160.0),
        origin_nm=(0.0, 60.0, 60.0),
    )
    _write(layout, NANOPARTICLES, labels["nanoparticles"], content="label")
    distance = distance_to_nucleus(labels["nuclei"], labels["cells"], SPACING_NM)
    _write(layout, DISTANCE, distance, content="field")
    _write(layout, POSTERIOR, particles.posterior, content="field")
    tables = {**_measure(labels, particles, distance), "slices": _slices(source, scene)}
    document = {**json.loads(particles.mixture.to_json()), "history": []}
    tables = {**tables, "suspects_cells": suspects(tables["cells"])}
    return ReportInputs("spheroid <1>", layout, parameters, tables, document, image_px)


def suspects(cells: pd.DataFrame) -> pd.DataFrame:
    """Suspect three cells, two of them more probably wrong than right."""
    rows = cells.head(3).to_dict("records")
    changes = {"operation": "merge", "reason": "large contact", "explanation": "The contact is large."}
    return suspect_table(
        [
            {
                **row,
                **changes,
                **dict.fromkeys(SEED_COLUMNS, 1.0),
                "label": n + 1,
                "other_label": n + 2,
                "score": 1.5 - n,
            }
            for n, row in enumerate(rows)
        ]
    )


def shared(factory: pytest.TempPathFactory) -> tuple[ReportInputs, str]:
    """Make one small acquisition with coarse levels and its report, for all tests that change neither."""
    return _shared(factory.getbasetemp())


@lru_cache(maxsize=1)
def _shared(folder: Path) -> tuple[ReportInputs, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "SMALLEST_LEVEL", 16)
        inputs = finished(folder / "finished-acquisition")
    return inputs, build_report(inputs, provenance(), CHAPTERS)


def provenance() -> dict[str, Any]:
    """Make a provenance document with two steps."""
    entries = [
        history_entry("ingest", "ingest", 1, {}, {"source": "a"}, [], "cpu", 3.25, 210_000_000),
        history_entry("segmentation", "flows_cells", 1, {}, {}, ["b"], "cuda:0", 61.5, 1_900_000_000),
    ]
    return {
        "source": "/landing/spheroid",
        "stages": entries,
        "packages": {"python": "3.11", "numpy": "2.4.6"},
    }


def _write(
    layout: Layout,
    group: str,
    values: NDArray[Any],
    content: Any = "image",
    spacing_nm: SpacingNm = SPACING_NM,
    origin_nm: SpacingNm = (0.0, 0.0, 0.0),
    **details: Any,
) -> None:
    chunks, shards = slice_shards(values.shape) if content == "image" else cube_shards(values.shape)
    spec = ArraySpec(
        group, content, values.shape, values.dtype, chunks, shards, spacing_nm, origin_nm=origin_nm
    )
    writer = ArrayWriter(layout, spec, group)
    for block in block_grid(values.shape, shards):
        writer.write(block, values[block.core])
    finish_multiscale(writer, Execution(), (), **details)


def _with_some_noise(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).normal(0, 4, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _denoising(source: Phantom) -> dict[str, Any]:
    residual = source.image.astype(float) - source.clean
    return {
        "algorithm": "n2v",
        "clipped_fraction": 0.002,
        "loss": {"training": [1.0, 0.5, 0.4], "validation": [1.1, 0.6, 0.55]},
        "survey": {
            "low": 0.0,
            "high": 255.0,
            "noise": {"constant": float(residual.var()), "gain": 0.0, "floor": 1.0},
            "autocorrelation": {"y": [0.01, 0.0, 0.0], "x": [0.02, 0.0, 0.0]},
        },
    }


def _measure(
    labels: dict[str, NDArray[np.uint32]], found: Particles, distance: NDArray[np.float32]
) -> dict[str, pd.DataFrame]:
    cells, nuclei, particles = labels.values()
    space = measure_space(
        cells, nuclei, particles, SPACING_NM, particle_table=found.table.assign(place="specimen")
    )
    contacts = measure_contacts(cells, SPACING_NM, PipelineParameters().spatial.contact_gap_um)
    outside = np.zeros(cells.shape, bool)
    outside[:, :, -3:] = True
    surface = find_surface(outside, Placement(SPACING_NM), Placement(SPACING_NM), cells.shape)
    shapes = {kind: measure_labels(labels[kind], SPACING_NM) for kind in ("cells", "nuclei")}
    own = shapes["cells"].merge(space.cells, on="label", how="left")
    own_labels, places = own["label"].to_numpy(np.uint32), own[CENTROID].to_numpy(float)
    for more in (
        contacts_of_cells(own_labels, contacts),
        measure_depth_of_cells(cells, own_labels, places, Placement(SPACING_NM), surface),
    ):
        own = own.merge(more, on="label", how="left")
    placed = measure_depth_of_particles(measure_membrane_gaps(space.nanoparticles, SPACING_NM), surface)
    placed = with_particle_places(placed, OutputParameters())
    own = with_doses(own, placed)
    return {
        "cells": own,
        "nuclei": shapes["nuclei"].merge(space.nuclei, on="label", how="left"),
        "nanoparticles": placed,
        "contacts": contacts,
        "uptake": uptake_table(own),
        "other_objects": found.others.assign(place="specimen"),
        "agglomerates": with_agglomerate_places(found.agglomerates, placed),
        "radial": space.radial,
        "ripley": space.clustering,
        "enrichment": space.enrichment,
        "tests": space.tests,
    }


def _slices(source: Phantom, scene: Scene) -> pd.DataFrame:
    count = len(source.image)
    found = [measure_intensities(values) for values in source.image]
    table = pd.DataFrame({"file": [f"slice_{z:04d}.tif" for z in range(count)], "z": range(count)})
    for name in ("mean", "std", "p1", "p50", "p99"):
        table[f"intensity_{name}"] = [getattr(intensities, name) for intensities in found]
    for flag in ("missing", "blank", "truncated", "saturated", "excluded", "outlier"):
        table[flag] = np.isin(table["z"], scene.flags.get(flag, []))
    first = table["z"] == 0
    shift = source.transforms[:, :, 2]
    return table.assign(
        residual_mean=0.0,
        residual_std=9.0,
        shift_y_px=shift[:, 0],
        shift_x_px=shift[:, 1],
        rotation_deg=np.degrees(np.arctan2(source.transforms[:, 1, 0], source.transforms[:, 0, 0])),
        similarity_before=np.where(first, np.nan, 0.7),
        pair_similarity=np.where(first, np.nan, 0.95),
        similarity_after=np.where(first, np.nan, 0.94),
        thickness_relative=np.where(first, np.nan, 1.0),
        thickness_uncertainty=np.where(first, np.nan, 0.05),
        thickness_mean_y_px=np.nan,
        thickness_mean_x_px=np.nan,
        thickness_mean_disagreement=np.nan,
        misfit_y_px=np.where(first, np.nan, 0.1),
        misfit_x_px=np.where(first, np.nan, 0.0),
        misfit_px=np.where(first, np.nan, 0.15),
        misfit_uncertainty_px=np.where(first, np.nan, 0.05),
        misfit_steps=np.where(first, np.nan, 1.0),
        lean_y_px=np.where(first, np.nan, 0.1),
        lean_x_px=np.where(first, np.nan, 0.0),
        misfit_deviation_px=np.where(first, np.nan, 0.05),
        uncertainty_px=np.where(first, np.nan, 0.05),
        position_uncertainty_px=0.04,
        fixed_fraction=np.where(first, np.nan, 0.02),
        featureless_fraction=np.where(first, np.nan, 0.1),
        fixed_pattern_grey=0.0,
        trusted=table["z"] != 9,
        bridged=False,
        used=~table["missing"],
        drift_y_px=0.0,
        drift_x_px=0.0,
        jump_y_px=0.0,
        jump_x_px=np.where(table["z"] == 6, 12.5, 0.0),
        jump_rotation_deg=0.0,
        jump_scale=np.where(table["z"] == 8, 0.03, 0.0),
        jump_shear=0.0,
        relative_scale=np.where(table["z"] < 8, 1.0, 1.03),
    )
