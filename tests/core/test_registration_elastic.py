"""Elastic refinement: planted fields are removed, tissue that changes with depth is not moved."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elastic_scenes import Bent, bend_stack
from numpy.typing import NDArray

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Alignment, Rectangle, apply_alignment, register_stack, warp_slice
from spherovem_core.registration.affine import IDENTITY, compose, rotation_matrix, shift_matrix
from spherovem_core.registration.elastic_fields import ElasticFields, smallest_jacobian
from spherovem_core.registration.elastic_mesh import Mesh
from spherovem_core.registration.elastic_pairs import LocalMotion
from spherovem_core.registration.elastic_refinement import covered_rectangle
from spherovem_core.registration.elastic_solution import limit_folds, solve_fields
from spherovem_core.registration.elastic_warp import LocalField
from spherovem_core.registration.interpolation_kernels import interpolation_table
from spherovem_core.registration.warping_torch import row_sampler

SHAPE = (180, 200)
ELASTIC = RegistrationParameters(refinement="elastic")


@pytest.fixture(scope="module")
def bent() -> Bent:
    return bend_stack(10, SHAPE, 5.0)


@pytest.fixture(scope="module")
def refined(bent: Bent) -> tuple[Alignment, dict[str, Any]]:
    ledger: dict[str, Any] = {}
    return register_stack(bent.slices, ELASTIC, ledger=ledger), ledger


def test_planted_fields_of_5_px_are_removed(bent: Bent, refined: tuple[Alignment, dict[str, Any]]) -> None:
    alignment, ledger = refined
    plain = register_stack(bent.slices, RegistrationParameters(), ledger=ledger)
    assert plain.fields is None
    np.testing.assert_array_equal(plain.transforms, alignment.transforms)
    assert bent.jitter_px(plain).max() > 1.8
    assert bent.jitter_px(alignment).max() < 0.5
    table = alignment.table
    assert (table["elastic_rms_px"] > 0.5).all()
    assert (table["elastic_max_px"] > table["elastic_rms_px"]).all()
    assert not table["elastic_limited"].any()


def test_stacks_without_local_jitter_get_no_field() -> None:
    still = bend_stack(10, SHAPE, 0.0, seed=1)
    alignment = register_stack(still.slices, ELASTIC)
    assert alignment.fields is not None
    assert not alignment.fields.nodes.any()
    assert (alignment.table["elastic_max_px"] == 0.0).all()
    plain = register_stack(still.slices)
    assert alignment.crop == plain.crop
    np.testing.assert_array_equal(
        apply_alignment(still.slices, alignment), apply_alignment(still.slices, plain)
    )


def test_tissue_beside_resin_is_refined() -> None:
    half = bend_stack(10, SHAPE, 5.0, seed=2, resin=True)
    alignment = register_stack(half.slices, ELASTIC)
    assert alignment.fields is not None
    left = replace(alignment, crop=alignment.crop._replace(x1=80))
    assert half.jitter_px(left).max() < 0.8


def test_ledger_and_executor_change_no_bit(bent: Bent, refined: tuple[Alignment, dict[str, Any]]) -> None:
    alignment, ledger = refined
    half = {key: ledger[key] for key in list(ledger)[::2]}
    with ThreadPoolExecutor(2) as executor:
        again = register_stack(
            bent.slices, ELASTIC, Execution(device="cpu", executor=executor, workers=2), ledger=half
        )
    assert alignment.fields is not None
    assert again.fields is not None
    np.testing.assert_array_equal(alignment.fields.nodes, again.fields.nodes)
    assert again.crop == alignment.crop


def test_bad_slices_get_no_field(bent: Bent) -> None:
    slices = bent.slices.copy()
    slices[4] = 0
    alignment = register_stack(slices, ELASTIC, bad_slices=[4])
    assert alignment.fields is not None
    assert alignment.fields.of_slice(4) is None
    assert alignment.fields.of_slice(5) is not None


def test_what_every_slice_covers_is_kept(refined: tuple[Alignment, dict[str, Any]]) -> None:
    alignment, _ = refined
    white = np.full((10, *SHAPE), 255, np.uint8)
    white[:, [0, -1]] = white[:, :, [0, -1]] = 0
    warped = apply_alignment(white, alignment, RegistrationParameters(interpolation="linear"))
    # Beyond the slice its edge, which is black here, would be repeated over more than a pixel.
    assert (warped[:, 1:-1, 1:-1] > 0).all()


def field_of(mesh: Mesh) -> NDArray[np.float32]:
    y, x = np.meshgrid(*mesh.positions(), indexing="ij")
    return np.stack([0.02 * x - 1.0, 0.01 * y + 0.03 * x], -1).astype(np.float32)


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_a_field_warps_as_the_map_that_it_is(interpolation: str) -> None:
    """A linear field on a map is another map; both samplers agree with it."""
    rng = np.random.default_rng(0)
    image = rng.normal(100.0, 30.0, (70, 83)).astype(np.float32)
    crop = Rectangle(6, 60, 8, 70)
    slanted = compose(shift_matrix(1.3, -0.7), rotation_matrix(2.0, image.shape))
    mesh = Mesh.over(Rectangle(0, 70, 0, 83))
    field = LocalField(mesh, field_of(mesh))
    together = compose(slanted, np.array([[1.0, 0.02, -1.0], [0.01, 1.03, 0.0]]))
    expected = warp_slice(image, together, crop, interpolation)
    found = warp_slice(image, slanted, crop, interpolation, field=field)
    inner = (slice(10, -10), slice(12, -12))
    # The spline is mirrored at the ends of the mesh, which bends a linear field near them; positions are rounded.
    np.testing.assert_allclose(found[inner], expected[inner], atol=1.0)
    matrix = compose(slanted, shift_matrix(crop.y0, crop.x0))
    sample = row_sampler(
        image, matrix, interpolation_table(interpolation), crop.shape[1], "cpu", field.on(crop)
    )
    in_torch = np.concatenate([sample(range(20)), sample(range(20, crop.shape[0]))])
    np.testing.assert_allclose(in_torch, found, atol=0.3)


def test_mesh_interpolates_its_nodes_and_smooth_fields() -> None:
    mesh = Mesh.over(Rectangle(5, 205, -3, 297))
    y, x = mesh.positions()
    assert (y[0], y[-1], x[0], x[-1]) == (5.0, 204.0, -3.0, 296.0)
    nodes = np.sin(y[:, None] / 40.0) * np.cos(x[None] / 50.0)
    down, along = mesh.interpolation(y, x)
    np.testing.assert_allclose(down @ nodes @ along.T, nodes, atol=1e-12)
    fine_y, fine_x = np.arange(50.0, 160.0), np.arange(45.0, 250.0)
    down, along = mesh.interpolation(fine_y, fine_x)
    true = np.sin(fine_y[:, None] / 40.0) * np.cos(fine_x[None] / 50.0)
    np.testing.assert_allclose(down @ nodes @ along.T, true, atol=2e-3)


def test_slow_local_change_is_tissue_and_jitter_is_not() -> None:
    """Exact pairs of a field that grows steadily with depth, with and without jitter on top."""
    mesh = Mesh.over(Rectangle(0, 2000, 0, 2000))
    rng = np.random.default_rng(3)
    y, x = np.meshgrid(*(np.linspace(0.0, 1.0, n) for n in (mesh.rows, mesh.columns)), indexing="ij")
    shape = np.stack([np.cos(3 * np.pi * y) * np.cos(2 * np.pi * x), np.cos(4 * np.pi * x)], -1)
    amounts = rng.normal(0.0, 2.0, 24)
    for jitter, limit in ((0.0, 1e-9), (1.0, 0.4)):
        places = np.array([(0.3 * z + jitter * amounts[z]) * shape for z in range(24)])
        motions = {}
        for z in range(23):
            noise = rng.normal(0.0, 0.1, shape.shape)
            motions[z, z + 1] = LocalMotion(
                places[z + 1] - places[z] + noise, np.ones(shape.shape[:2]), 0.5, 0.9
            )
        still = ElasticFields(mesh, np.zeros(places.shape, np.float32))
        fields = solve_fields(motions, range(24), still)
        left = places - fields.nodes if jitter else fields.nodes
        bend = left[1:-1] - 0.5 * (left[:-2] + left[2:])
        assert np.sqrt((bend**2).sum(-1).mean((1, 2))).max() < limit


def test_folds_are_scaled_down_and_named() -> None:
    mesh = Mesh.over(Rectangle(0, 100, 0, 100))
    y, _ = np.meshgrid(*mesh.positions(), indexing="ij")
    steep = np.stack([-14.0 * np.sin(y / 9.0), 0.0 * y], -1)
    nodes = np.stack([0.1 * steep, steep]).astype(np.float32)
    assert smallest_jacobian(mesh, steep) < 0.0
    fields, folded = limit_folds(ElasticFields(mesh, nodes))
    assert folded == [1]
    assert smallest_jacobian(mesh, fields.nodes[1]) > 0.0
    np.testing.assert_array_equal(fields.nodes[0], nodes[0])


def test_crop_shrinks_where_a_field_leads_out_of_the_slice() -> None:
    whole = Rectangle(0, 100, 0, 120)
    mesh = Mesh.over(whole)
    nodes = np.zeros((2, mesh.rows, mesh.columns, 2), np.float32)
    nodes[1, ..., 0] = 3.4
    transforms = np.stack([IDENTITY, IDENTITY])
    crop = covered_rectangle(ElasticFields(mesh, nodes), transforms, whole, (100, 120))
    assert crop == Rectangle(0, 96, 0, 120)


def test_fields_are_stored_and_read(tmp_path: Path, refined: tuple[Alignment, dict[str, Any]]) -> None:
    fields = refined[0].fields
    assert fields is not None
    path = tmp_path / "models" / "elastic_fields.npz"
    fields.save(path)
    read = ElasticFields.load(path)
    assert read.mesh == fields.mesh
    np.testing.assert_array_equal(read.nodes, fields.nodes)
    first = path.read_bytes()
    fields.save(path)
    assert path.read_bytes() == first
