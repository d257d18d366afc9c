"""The shape table: invariances, agreement with other programs, real labels, labels that cannot be measured."""

import doctest
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import trimesh
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shape_solids import ellipsoid, torus
from skimage.measure import regionprops

from spherovem_core.errors import DeadlineError, ParameterError
from spherovem_core.parameters import ShapeParameters
from spherovem_core.shape import measure, measure_labels

UNEQUAL = (50.0, 10.0, 10.0)
# fmt: off
DESIGN = [
    "label", "bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1", "centroid_z_um",
    "centroid_y_um", "centroid_x_um", "voxel_count", "volume_um3", "surface_area_um2", "sphericity",
    "equivalent_diameter_um", "mean_curvature_mean_per_um", "mean_curvature_std_per_um",
    "gaussian_curvature_mean_per_um2", "gaussian_curvature_std_per_um2", "shape_index_mean",
    "shape_index_std", "curvedness_mean_per_um", "curvedness_std_per_um", "fractal_dimension",
    "fractal_r2", "inertia_1_um2", "inertia_2_um2", "inertia_3_um2", "truncated_fraction", "shape_note",
]
# fmt: on
POSITION = ("label", "bbox", "centroid")


def without_position(frame):
    """Drop the columns that depend on a label's position or number."""
    columns = [c for c in frame.columns if not c.startswith(POSITION) and c != "shape_note"]
    return frame[columns].reset_index(drop=True)


def scene(seed=0):
    """Make balls of all sizes from one voxel up, some cut by the border."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 70, 80), np.uint32)
    z, y, x = np.ogrid[:24, :70, :80]
    for label, radius in enumerate([260, 200, 180, 150, 120, 90, 60, 30, 10, 4], start=1):
        centre = rng.random(3) * labels.shape
        square = ((z - centre[0]) * 50) ** 2 + ((y - centre[1]) * 10) ** 2 + ((x - centre[2]) * 10) ** 2
        labels[(square <= radius**2) & (labels == 0)] = 3 * label
    return labels


@pytest.fixture(scope="module")
def table():
    return measure_labels(scene(), UNEQUAL)


def test_columns_follow_the_design(table):
    more = [c for c in table.columns if c not in DESIGN]
    assert all("scale" in c or c.startswith(("fractal_", "harmonic_power_", "solidity")) for c in more)
    assert set(DESIGN) <= set(table.columns)
    assert table.label.dtype == np.uint32
    assert list(table.label) == sorted(np.unique(scene())[1:])


def test_voxel_measures_equal_scikit_image(table):
    regions = regionprops(scene(), spacing=UNEQUAL)
    for row, region in zip(table.itertuples(), regions, strict=True):
        assert (row.bbox_z0, row.bbox_y0, row.bbox_x0, row.bbox_z1, row.bbox_y1, row.bbox_x1) == region.bbox
        assert row.voxel_count == region.num_pixels
        centroid = (row.centroid_z_um, row.centroid_y_um, row.centroid_x_um)
        np.testing.assert_allclose(centroid, np.array(region.centroid) / 1000, rtol=1e-9)
        moments = np.array([row.inertia_1_um2, row.inertia_2_um2, row.inertia_3_um2])
        np.testing.assert_allclose(
            moments, np.sort(np.maximum(region.inertia_tensor_eigvals, 0))[::-1] / 1e6, rtol=1e-6, atol=1e-9
        )


def test_origin_moves_centroids_only(table):
    moved = measure_labels(scene(), UNEQUAL, origin_nm=(1000.0, 2000.0, 3000.0))
    pd.testing.assert_series_equal(moved.centroid_y_um, table.centroid_y_um + 2)
    pd.testing.assert_frame_equal(without_position(moved), without_position(table))


def test_permuting_labels_permutes_rows(table):
    labels = scene()
    names = np.arange(labels.max() + 1, dtype=np.uint32)
    names[1:] = np.random.default_rng(1).permutation(names[1:]) + 4_000_000_000
    renamed = measure_labels(names[labels] * (labels > 0), UNEQUAL)
    order = np.argsort(names[table.label])
    pd.testing.assert_frame_equal(without_position(renamed), without_position(table.iloc[order]))


def test_scaling_the_spacing_scales_lengths(table):
    scaled = measure_labels(scene(), (150.0, 30.0, 30.0))
    powers = {"um3": 3, "um2": 2, "um": 1, "per_um": -1, "per_um2": -2}
    for column in without_position(table).columns:
        unit = next((u for u in ("per_um2", "per_um", "um3", "um2", "um") if column.endswith("_" + u)), None)
        expected = table[column] * 3.0 ** powers.get(unit, 0)
        # float32 distances round differently: a crossing may move by 1e-6 cells.
        np.testing.assert_allclose(scaled[column], expected, rtol=2e-3, err_msg=column)


@pytest.mark.parametrize("axes", [(2, 1), (0, 2)])
@pytest.mark.parametrize(("spacing", "close"), [((10.0, 10.0, 10.0), 1e-4), (UNEQUAL, 0.01)])
def test_rotation_by_90_degrees_changes_nothing(axes, spacing, close):
    """A rotated grid may gather other voxels in its cells, and the tube's lattice always begins at another point."""
    labels = np.pad(scene(), 2)
    upright = without_position(measure_labels(labels, spacing))
    spacing = np.array(spacing)
    spacing[list(axes)] = spacing[list(axes)[::-1]]
    turned = measure_labels(np.ascontiguousarray(np.rot90(labels, axes=axes)), tuple(spacing))
    for column in upright.columns:
        # The hull is that of points that are chosen by direction.
        tolerance = 0.01 if column.startswith(("fractal_", "solidity")) else close
        np.testing.assert_allclose(
            turned[column], upright[column], rtol=tolerance, atol=tolerance, err_msg=column
        )


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_executors_change_nothing(table, pool, tmp_path):
    stored = zarr.create_array(
        str(tmp_path / "labels"), shape=(24, 70, 80), chunks=(8, 32, 32), dtype="uint32"
    )
    stored[:] = scene()
    with pool(2) as executor:
        found = measure_labels(stored, UNEQUAL, executor=executor)
    pd.testing.assert_frame_equal(found, table)


def test_large_labels_are_measured_on_a_coarser_grid(monkeypatch):
    """A small limit stands for a label that fills a large volume."""
    solid = ellipsoid((900.0, 700.0, 500.0), UNEQUAL, np.random.default_rng(0))
    fine = measure_labels(solid.labels, UNEQUAL).iloc[0]
    monkeypatch.setattr("spherovem_core.shape.smoothing_scales.MAX_CELLS", 6000)
    monkeypatch.setattr("spherovem_core.shape.label_grid.SLAB_BYTES", 1 << 16)
    coarse = measure_labels(solid.labels, UNEQUAL).iloc[0]
    assert "times coarser" in coarse.shape_note
    assert coarse.surface_area_um2 == pytest.approx(fine.surface_area_um2, rel=0.01)
    assert coarse.mean_curvature_mean_per_um == pytest.approx(fine.mean_curvature_mean_per_um, rel=0.01)


def test_thickness_of_slabs_changes_nothing(table, monkeypatch):
    monkeypatch.setattr("spherovem_core.shape.label_grid.SLAB_BYTES", 1)
    pd.testing.assert_frame_equal(measure_labels(scene(), UNEQUAL), table)


def test_mesh_agrees_with_the_table(tmp_path):
    """Areas, dihedral angles and angle defects of triangles are independent of the derivatives and the quadrature."""
    solid = torus(900.0, 400.0, (50.0, 50.0, 50.0), np.random.default_rng(2))
    parameters = ShapeParameters(write_meshes=True)
    row = measure_labels(
        solid.labels, solid.spacing_nm, parameters, mesh_folder=tmp_path / "meshes", origin_nm=(0, 0, 5000)
    ).iloc[0]
    mesh = trimesh.load(tmp_path / "meshes" / "000001.ply", process=False)
    assert mesh.is_watertight
    assert mesh.euler_number == 0
    assert mesh.area == pytest.approx(row.surface_area_um2, rel=0.01)
    assert mesh.volume == pytest.approx(row.volume_um3, rel=0.01)
    np.testing.assert_allclose(
        mesh.center_mass, [row.centroid_x_um, row.centroid_y_um, row.centroid_z_um], atol=0.005
    )
    edges = mesh.vertices[mesh.face_adjacency_edges]
    angles = mesh.face_adjacency_angles * np.where(mesh.face_adjacency_convex, 0.5, -0.5)
    total_mean = (np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1) * angles).sum()
    assert total_mean / mesh.area == pytest.approx(row.mean_curvature_mean_per_um, rel=0.02)
    values = mesh.metadata["_ply_raw"]["vertex"]["data"]
    weight = np.zeros(len(mesh.vertices))
    np.add.at(weight, mesh.faces.ravel(), np.repeat(mesh.area_faces / 3, 3))
    mean = np.average(values["mean_curvature"], weights=weight)
    assert mean == pytest.approx(row.mean_curvature_mean_per_um, rel=0.01)
    assert np.average(values["shape_index"], weights=weight) == pytest.approx(row.shape_index_mean, abs=0.03)
    defects = trimesh.curvature.discrete_gaussian_curvature_measure(mesh, mesh.vertices, 0.0)
    assert np.corrcoef(defects / weight, values["gaussian_curvature"])[0, 1] > 0.5


def test_mesh_is_open_where_the_border_cuts(tmp_path):
    z, y, x = np.ogrid[:12, :60, :60]
    half = (((z + 0.5) * 50) ** 2 + ((y - 30) * 10) ** 2 + ((x - 30) * 10) ** 2 <= 250**2).astype(np.uint32)
    measure_labels(half, UNEQUAL, ShapeParameters(write_meshes=True), mesh_folder=tmp_path)
    mesh = trimesh.load(tmp_path / "000001.ply", process=False)
    assert not mesh.is_watertight
    assert mesh.euler_number == 1
    assert mesh.vertices[:, 2].min() > -0.026


def test_note_gives_the_reason_for_small_and_thin_labels(table):
    small = table[table.voxel_count < 64]
    assert len(small) > 0
    assert (small.shape_note == "fewer than 64 voxels").all()
    assert small.surface_area_um2.isna().all()
    assert (small.volume_um3 > 0).all()
    sheet = np.zeros((9, 40, 40), np.uint32)
    sheet[4] = 7
    sheet[2, 3, :] = 9
    found = measure_labels(sheet, UNEQUAL, ShapeParameters(min_voxels=1))
    assert found.shape_note.str.contains("thinner than the smoothing of 50 to 50 nm").all()
    assert found.sphericity.isna().all()


def test_volume_without_labels_gives_an_empty_table():
    found = measure_labels(np.zeros((5, 6, 7), np.uint32), UNEQUAL)
    assert len(found) == 0
    assert set(DESIGN) <= set(found.columns)


def test_label_that_fills_the_volume_has_no_surface_inside():
    row = measure_labels(np.ones((6, 30, 30), np.uint32), UNEQUAL).iloc[0]
    assert row.truncated_fraction == 1 or np.isnan(row.truncated_fraction)
    assert row.volume_um3 == pytest.approx(0.027)


def test_bad_parameters_are_refused():
    labels = np.zeros((5, 6, 7), np.uint32)
    with pytest.raises(
        ParameterError, match=r"less than the largest voxel side of 50 nm; give that much or more"
    ):
        measure_labels(labels, UNEQUAL, ShapeParameters(smoothing_nm=20))
    with pytest.raises(ParameterError, match="pass mesh_folder"):
        measure_labels(labels, UNEQUAL, ShapeParameters(write_meshes=True))


def fail_at_label(monkeypatch, label, error):
    """Make the measurement of one label's surface raise an error."""
    describe = measure.describe_surface

    def describe_or_fail(labels, box, *rest):
        if box.label == label:
            raise error
        return describe(labels, box, *rest)

    monkeypatch.setattr(measure, "describe_surface", describe_or_fail)


def test_label_that_arithmetic_fails_on_spoils_no_other(table, monkeypatch):
    fail_at_label(monkeypatch, 6, ZeroDivisionError("float division by zero"))
    found = measure_labels(scene(), UNEQUAL)
    assert found.shape_note[found.label == 6].item() == "ZeroDivisionError: float division by zero"
    assert found.surface_area_um2[found.label == 6].isna().all()
    pd.testing.assert_frame_equal(found[found.label != 6], table[table.label != 6])


@pytest.mark.parametrize("error", [TypeError, ValueError, IndexError, AttributeError, MemoryError])
def test_programming_error_in_a_measurement_stops_the_run(monkeypatch, error):
    fail_at_label(monkeypatch, 6, error("wrong"))
    with pytest.raises(error, match="wrong"):
        measure_labels(scene(), UNEQUAL)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_any_label_is_measured_without_an_error(seed):
    """Noise, boxes, sheets, lines and blobs of any size and spacing, many of them cut by the border."""
    rng = np.random.default_rng(seed)
    shape, spacing = rng.integers(1, 28, 3), tuple(rng.choice([1.0, 5.0, 10.0, 50.0, 120.0], 3))
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0, 3, 3))
    labels = ndimage.label(noise > rng.uniform(-1, 1) * noise.std())[0].astype(np.uint32)
    labels[tuple(slice(int(rng.integers(0, n)), None) for n in shape)] = labels.max() + 1
    found = measure_labels(labels, spacing, ShapeParameters(min_voxels=1))
    assert not found.shape_note.str.contains("Error").any()
    measured = found[found.shape_note == ""]
    assert (measured.surface_area_um2 > 0).all()
    assert np.isfinite(measured[["sphericity", "mean_curvature_mean_per_um", "shape_index_mean"]]).all(
        axis=None
    )


def test_example_of_the_documentation_runs():
    outcome = doctest.testmod(measure)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_error_of_progress_stops_between_labels():
    def stop(done, total):
        raise DeadlineError(f"{done} of {total}")

    with pytest.raises(DeadlineError, match="1 of"):
        measure_labels(scene(), UNEQUAL, progress=stop)


@pytest.mark.slow
def test_total_gaussian_curvature_of_neurites_gives_their_euler_number(shared_data, tmp_path):
    """trimesh counts the Euler number of each closed body's surface."""
    labels = np.load(shared_data / "fibsem_drosophila" / "bodies.npz")["labels"].astype(np.uint32)
    spacing = (10.0, 10.0, 10.0)
    found = measure_labels(labels, spacing, ShapeParameters(write_meshes=True), mesh_folder=tmp_path)
    names, counts = np.unique(labels[labels > 0], return_counts=True)
    assert list(found.label) == list(names)
    np.testing.assert_allclose(found.volume_um3, counts * 1e-6)
    measured = found.surface_area_um2.notna()
    reasons = found.shape_note[~measured]
    assert reasons.str.match(r"fewer than 64 voxels|mostly thinner").all()
    assert reasons.str.match("mostly thinner").sum() <= 3
    closed = found[measured & (found.truncated_fraction == 0)]
    assert len(closed) > 40
    differences = []
    for row in closed.itertuples():
        mesh = trimesh.load(tmp_path / f"{row.label:06d}.ply", process=False)
        assert mesh.is_watertight
        total_gaussian = row.gaussian_curvature_mean_per_um2 * row.surface_area_um2
        differences.append(abs(total_gaussian / (2 * np.pi) - mesh.euler_number))
    assert np.median(differences) < 0.05
    assert np.quantile(differences, 0.9) < 0.12


MEASURE = """
import numpy as np
from spherovem_core.shape import measure_labels
grid = np.meshgrid(np.arange(20) * 50.0, np.arange(50) * 20.0, np.arange(50) * 20.0, indexing="ij")
away = [(axis - centre) ** 2 for axis, centre in zip(grid, (480.0, 470.0, 530.0))]
table = measure_labels((sum(away) < 350.0**2).astype("uint32"), (50, 20, 20))
print([value.hex() for value in table.select_dtypes(float).iloc[0]])
"""


@pytest.mark.slow
def test_the_process_that_compiles_measures_the_same_as_those_after_it(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MEASURE]
    first, second = (subprocess.check_output(command, env=environment, text=True) for _ in range(2))
    assert list(tmp_path.rglob("surface._fill_crossings*.nbc"))
    assert first == second
