"""`measure_space` on label volumes in memory: equal to the blocked computation, and its example runs."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nanoparticle_scenes import SPACING_NM, Kind, make_scene
from spatial_scenes import SPACING, Labels, random_tissue, rounded_distance

from spherovem_core.blocks import block_grid
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import find_particles
from spherovem_core.parameters import SpatialParameters
from spherovem_core.spatial import (
    Placement,
    distance_step_um,
    grids,
    measure_space,
    positions,
    radial,
    write_space,
)
from spherovem_core.spatial.grids import grid_factors
from spherovem_core.spatial.particle_geometry import measure_geometry
from spherovem_core.store import ArraySpec, ArrayWriter, Layout
from spherovem_core.store.layout import DISTANCE

PARAMETERS = SpatialParameters(radial_bin_um=0.045, ripley_steps=5, ripley_max_um=0.2, null_simulations=19)
FINE = (25.0, 5.0, 5.0)


def labelled_scene() -> tuple[Labels, Labels, Labels]:
    """Make cells, nuclei, and 40 particles on a grid twice as fine."""
    cells, nuclei = random_tissue((10, 24, 30), 2)
    particles = np.zeros(tuple(2 * n for n in cells.shape), np.uint32)
    corners = np.random.default_rng(9).integers(0, np.array(particles.shape) - 4, (40, 3))
    for label, (z, y, x) in enumerate(corners, 1):
        particles[z : z + 3, y : y + 4, x : x + 4] = label
    return cells, nuclei, particles


def test_volumes_in_memory_give_the_same_results_as_blocks_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, nuclei, particles = labelled_scene()
    whole = measure_space(cells, nuclei, particles, SPACING, PARAMETERS, factors=(2, 2, 2))
    for module in (grids, radial):
        monkeypatch.setattr(module, "BLOCK_EDGE", 8)
    shards = ((8, 8, 8), (8, 8, 8))
    spec = ArraySpec(DISTANCE, "field", cells.shape, np.dtype("float32"), *shards, SPACING)
    writer = ArrayWriter(Layout(tmp_path), spec, "digest")
    with ThreadPoolExecutor(2) as executor:
        blocked = write_space(
            cells,
            nuclei,
            particles,
            measure_geometry(particles, FINE),
            Placement(SPACING, (12.5, 2.5, 2.5)),
            Placement(FINE),
            writer,
            writer.stored,
            block_grid(cells.shape, (8, 8, 8)),
            PARAMETERS,
            Execution(executor=executor, workers=2),
        )
    np.testing.assert_array_equal(whole.distance[:], blocked.distance[:])
    np.testing.assert_array_equal(whole.distance[:], rounded_distance(nuclei, cells))
    for name in ("cells", "nuclei", "radial", "clustering", "enrichment", "tests"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(blocked, name), check_exact=True)
    # A mean distance is a sum over blocks in float64.
    pd.testing.assert_frame_equal(whole.nanoparticles, blocked.nanoparticles, rtol=1e-12)
    assert whole.nanoparticles["distance_to_nucleus_um"].notna().any()
    assert (whole.cells["nanoparticle_count"] > 0).any()


def test_table_of_the_particles_may_be_left_out() -> None:
    found = find_particles(make_scene((12, 128, 128), (Kind(6, 180.0),)).image, SPACING_NM)
    assert len(found.table) > 3
    geometry = measure_geometry(found.labels, SPACING_NM)
    # The stage's volumes come from the signal, those of labels from whole voxels.
    volumes = ["volume_um3", "equivalent_diameter_um"]
    places = [name for name in geometry.columns if name not in volumes]
    pd.testing.assert_frame_equal(found.table[places], geometry[places])
    table = found.table.assign(**{name: geometry[name] for name in volumes})
    cells = np.full(found.labels.shape, 4, np.uint32)
    nuclei = np.zeros_like(cells)
    nuclei[2:5, 20:40, 20:40] = 1
    given = measure_space(cells, nuclei, found.labels, SPACING_NM, particle_table=table)
    measured = measure_space(cells, nuclei, found.labels, SPACING_NM)
    pd.testing.assert_frame_equal(given.cells, measured.cells)
    pd.testing.assert_frame_equal(given.nanoparticles[measured.nanoparticles.columns], measured.nanoparticles)
    assert "confidence" in given.nanoparticles


def test_coarser_cells_move_no_centroid() -> None:
    fine_cells = np.zeros((4, 8, 40), np.uint32)
    fine_cells[:, :, :36] = 5
    nuclei, particles = np.zeros_like(fine_cells), np.zeros_like(fine_cells)
    nuclei[:, :, :4] = 1
    particles[2, 4, 20] = 1
    coarse = (slice(None), slice(None, None, 2), slice(None, None, 2))
    found = measure_space(
        fine_cells[coarse], nuclei[coarse], particles, (50.0, 20.0, 20.0), factors=(1, 2, 2)
    )
    # Fine voxel 20 lies in coarse voxel 10; the last coarse voxel of the nucleus is 1.
    assert found.nanoparticles["distance_to_nucleus_centroid_um"].tolist() == pytest.approx(
        [9 * 0.02], abs=distance_step_um((50.0, 20.0, 20.0)) / 2
    )
    assert found.nanoparticles["centroid_x_um"].tolist() == [pytest.approx(0.2)]


def test_voxel_sizes_must_be_whole_multiples() -> None:
    assert grid_factors((50.0, 10.0, 10.0), (50.0, 20.0, 40.0)) == (1, 2, 4)
    with pytest.raises(ShapeMismatchError, match=r"not whole multiples.*one pyramid"):
        grid_factors((50.0, 10.0, 10.0), (50.0, 25.0, 20.0))


def test_example_of_the_documentation_runs() -> None:
    result = doctest.testmod(positions)
    assert result.attempted > 0
    assert result.failed == 0
