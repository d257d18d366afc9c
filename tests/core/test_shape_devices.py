"""Array operations on either device against the compiled loops, and against an ellipsoid's closed form."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from gpu_devices import DEVICES
from shape_solids import ellipsoid, torus

from spherovem_core.shape import measure_labels, smoothed_surface
from spherovem_core.shape.device_surface import sample_surface_on, signed_distance_on
from spherovem_core.shape.label_grid import LabelBox, fill_grid, plan_grid
from spherovem_core.shape.signed_distance import signed_distance
from spherovem_core.shape.surface import sample_surface, undo_smoothing
from spherovem_core.utils.accelerator import accelerator, select_accelerator

UNEQUAL = (50.0, 10.0, 10.0)
CASES = pytest.mark.parametrize(("cell", "smoothing"), [(20.0, 50.0), (50.0, 120.0), (10.0, 50.0)])


def solid_on_grid(cell, smoothing):
    """Make an ellipsoid's occupancy, in cells larger than a voxel along y and x, smaller along z, or both."""
    solid = ellipsoid((700.0, 500.0, 350.0), UNEQUAL, np.random.default_rng(3))
    where = np.nonzero(solid.labels)
    low, high = (tuple(int(f(i)) for i in where) for f in (np.min, np.max))
    box = LabelBox(1, low, tuple(i + 1 for i in high), solid.labels.shape)
    grid = plan_grid(box, UNEQUAL, cell, 4 * smoothing)
    return solid, grid, fill_grid(solid.labels, box, grid)


@pytest.mark.parametrize("device", DEVICES)
@CASES
def test_array_operations_find_the_surface_of_the_loops(device, cell, smoothing):
    _, grid, occupancy = solid_on_grid(cell, smoothing)
    first = grid.centre_of_first_cell(UNEQUAL)
    with accelerator(device) as gpu:
        on_device = signed_distance_on(gpu, occupancy, grid, smoothing)
        found = sample_surface_on(gpu, on_device, grid.spacing_nm, first)
        distance = gpu.to_host(on_device)
    looped = signed_distance(occupancy.copy(), grid, smoothing)
    np.testing.assert_allclose(distance, looped, atol=2e-4 * smoothing)
    expected = sample_surface(distance, grid.spacing_nm, first)
    assert len(found) == len(expected) > 1000
    side = max(grid.spacing_nm)
    np.testing.assert_allclose(found.position, expected.position, atol=1e-3 * side)
    np.testing.assert_allclose(found.normal, expected.normal, atol=1e-4)
    np.testing.assert_allclose(found.area, expected.area, rtol=1e-3, atol=1e-3 * side**2)
    np.testing.assert_allclose(found.mean_curvature, expected.mean_curvature, atol=1e-3 / smoothing)
    np.testing.assert_allclose(
        found.gaussian_curvature, expected.gaussian_curvature, atol=1e-3 / smoothing**2
    )


@pytest.mark.parametrize("device", DEVICES)
def test_array_operations_measure_an_ellipsoid_within_the_limits(device):
    solid, grid, occupancy = solid_on_grid(33.0, 87.5)
    with accelerator(device) as gpu:
        values = signed_distance_on(gpu, occupancy, grid, 87.5)
        surface = sample_surface_on(gpu, values, grid.spacing_nm, grid.centre_of_first_cell(UNEQUAL))
    surface = undo_smoothing(surface, 87.5)
    assert surface.total == pytest.approx(solid.area, rel=0.005)
    assert surface.integrate(surface.mean_curvature) == pytest.approx(solid.total_mean_curvature, rel=0.01)
    assert surface.integrate(surface.gaussian_curvature) == pytest.approx(4 * np.pi, rel=0.02)


@pytest.mark.parametrize("device", DEVICES)
def test_volume_without_a_surface_has_no_points(device):
    _, grid, occupancy = solid_on_grid(50.0, 120.0)
    with accelerator(device) as gpu:
        values = signed_distance_on(gpu, np.zeros_like(occupancy), grid, 120.0)
        assert len(sample_surface_on(gpu, values, grid.spacing_nm, np.zeros(3))) == 0


def count_surfaces_of_array_operations(monkeypatch, gpu):
    """Return a list that grows by one array per surface found by array operations; on the CPU they replace the loops."""
    calls = []

    def sample(found_on, distance, spacing, first):
        calls.append(distance)
        return sample_surface_on(found_on, distance, spacing, first)

    monkeypatch.setattr(smoothed_surface, "sample_surface_on", sample)
    if not gpu.on_gpu:
        monkeypatch.setattr(smoothed_surface, "signed_distance", partial(signed_distance_on, gpu))
        monkeypatch.setattr(smoothed_surface, "sample_surface", partial(sample, gpu))
    return calls


@pytest.mark.parametrize("device", DEVICES)
def test_table_is_the_same_on_every_device(device, monkeypatch):
    """On the CPU the test puts the array operations in the place of the loops, as on a GPU."""
    ring = torus(900.0, 400.0, UNEQUAL, np.random.default_rng(2)).labels
    labels = np.concatenate([ring, 2 * ring[: len(ring) // 2]])
    expected = measure_labels(labels, UNEQUAL)
    calls = count_surfaces_of_array_operations(monkeypatch, select_accelerator(device))
    found = measure_labels(labels, UNEQUAL, device=device)
    assert len(calls) == 8
    pd.testing.assert_frame_equal(found, expected, rtol=2e-3, atol=1e-6)
