"""Each part of the pipeline that maps blocks, on a small scene on disk, for any executor."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nanoparticle_scenes import COARSE_NM, Kind, make_scene, store_image
from registration_scenes import make_stack, store_slices
from segmentation_scenes import ideal, packed_cells
from spatial_scenes import SPACING, random_tissue

from spherovem_core.blocks import MemorySink, block_grid
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import write_particles
from spherovem_core.parameters import (
    NanoparticleParameters,
    ObjectParameters,
    RegistrationParameters,
    SpatialParameters,
)
from spherovem_core.registration import register_stack, warp_stack
from spherovem_core.segmentation import MaskInputs, segment_masks
from spherovem_core.segmentation.grid import Grid
from spherovem_core.shape import measure_labels
from spherovem_core.spacing import SpacingNm
from spherovem_core.spatial import (
    assign_parent_cells,
    measure_cells,
    measure_centroids,
    measure_particles,
    radial_distribution,
    write_distance_map,
)
from spherovem_core.store import (
    ArraySpec,
    ArrayWriter,
    Layout,
    cube_shards,
    open_array,
)
from spherovem_core.store.layout import DENOISED, REGISTERED

Results = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part of the pipeline: a function that makes its scene, and one that computes it."""

    prepare: Callable[[Path], None]
    compute: Callable[[Path, Execution], Results]


def same(ours: Results, theirs: Results) -> None:
    """Assert that two results are equal bit for bit."""
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, theirs[name], check_exact=True)
        else:
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def store(folder: Path, name: str, values: np.ndarray, spacing_nm: SpacingNm) -> None:
    """Write an array in cubes of 16 voxels."""
    spec = ArraySpec(name, "label", values.shape, values.dtype, *cube_shards(values.shape, 16), spacing_nm)
    writer = ArrayWriter(Layout(folder), spec, "source")
    for block in block_grid(values.shape, spec.shards):
        writer.write(block, values[block.core])
    writer.commit()


def prepare_registration(folder: Path) -> None:
    store_slices(folder, make_stack(count=6).slices)


def compute_registration(folder: Path, execution: Execution) -> Results:
    source, parameters = open_array(Layout(folder), DENOISED), RegistrationParameters()
    alignment = register_stack(source, parameters, execution)
    warped = np.zeros((source.shape[0], *alignment.crop.shape), np.uint8)
    warp_stack(source, alignment, MemorySink(warped), parameters, execution)
    return {"transforms": alignment.transforms, "slices": warped, "table": alignment.table}


def prepare_nanoparticles(folder: Path) -> None:
    store_image(folder, make_scene((16, 128, 130), (Kind(24, 280.0),), COARSE_NM, gain_drift=0.05).image)


def compute_nanoparticles(folder: Path, execution: Execution) -> Results:
    source = open_array(Layout(folder), REGISTERED)
    sinks = [MemorySink(np.zeros(source.shape, kind)) for kind in (np.float16, np.uint32, np.uint32)]
    tables = write_particles(source, COARSE_NM, NanoparticleParameters(), *sinks, execution, depth=4)
    arrays = {"posterior": sinks[0].array, "labels": sinks[2].array}
    return arrays | {"table": tables.particles, "others": tables.others, "agglomerates": tables.agglomerates}


MASK_SHAPE = (40, 80, 96)


def prepare_masks(folder: Path) -> None:
    flows = ideal(packed_cells(MASK_SHAPE, 24, seed=4)).astype(np.float16)
    spec = ArraySpec("flows", "field", flows.shape, flows.dtype, *cube_shards(flows.shape, 32), SPACING)
    writer = ArrayWriter(Layout(folder), spec, "source")
    for block in block_grid(flows.shape, spec.shards):
        writer.write(block, flows[block.core])
    writer.commit()


def compute_masks(folder: Path, execution: Execution) -> Results:
    grid = Grid(MASK_SHAPE, (20.0, 20.0, 20.0))
    parameters = ObjectParameters(
        min_diameter_um=0.1, flow_error_threshold=1.0, merge_boundary_strength=0.05, expansion_um=0.04
    )
    execution = replace(execution, block_voxels=32, block_halo_voxels=16)
    labels, scratch = (MemorySink(np.zeros(MASK_SHAPE, np.uint32)) for _ in range(2))
    inputs = MaskInputs(open_array(Layout(folder), "flows"), grid, grid)
    count = segment_masks(inputs, scratch, labels, parameters, execution)
    assert count > 10
    return {"labels": labels.array}


TISSUE_SHAPE = (12, 64, 72)


def prepare_tissue(folder: Path) -> None:
    cells, nuclei = random_tissue(TISSUE_SHAPE, seed=5)
    rng = np.random.default_rng(1)
    particles = np.zeros(TISSUE_SHAPE, np.uint32)
    for label, (z, y, x) in enumerate(rng.integers(0, np.array(TISSUE_SHAPE) - 4, (60, 3)), 1):
        particles[z : z + 2, y : y + 3, x : x + 4] = label
    for name, values in {"cells": cells, "nuclei": nuclei, "particles": particles}.items():
        store(folder, name, values, SPACING)


def compute_shape(folder: Path, execution: Execution) -> Results:
    cells = open_array(Layout(folder), "cells")
    return {"cells": measure_labels(cells, SPACING, executor=execution.executor, progress=execution.report)}


def compute_spatial(folder: Path, execution: Execution) -> Results:
    layout, parameters = Layout(folder), SpatialParameters()
    cells, nuclei, particles = (open_array(layout, name) for name in ("cells", "nuclei", "particles"))
    blocks = block_grid(TISSUE_SHAPE, (6, 32, 32))
    sink = MemorySink(np.zeros(TISSUE_SHAPE, np.float32))
    write_distance_map(nuclei, cells, SPACING, sink, blocks, execution)
    distance = sink.array
    found = assign_parent_cells(nuclei, cells, min_fraction=0.2, execution=execution)
    labels = np.unique(particles[:])[1:].astype(np.uint32)
    table = pd.DataFrame({"label": labels, "volume_um3": 1.0})
    table = measure_particles(particles, table, cells, nuclei, distance, parameters, execution)
    table["centroid_z_um"] = table["centroid_y_um"] = table["centroid_x_um"] = 0.3
    return {
        "distance": distance,
        "nuclei": found,
        "particles": measure_centroids(table, cells, distance, SPACING, execution),
        "cells": measure_cells(cells, found, table, SPACING, execution),
        "radial": radial_distribution(particles, cells, distance, SPACING, parameters, execution),
    }


PARTS = {
    "registration": Part(prepare_registration, compute_registration),
    "nanoparticles": Part(prepare_nanoparticles, compute_nanoparticles),
    "masks": Part(prepare_masks, compute_masks),
    "shape": Part(prepare_tissue, compute_shape),
    "spatial": Part(prepare_tissue, compute_spatial),
}
