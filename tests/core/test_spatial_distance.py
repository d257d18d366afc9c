"""Distance to the nucleus: against brute force and closed forms, and the map written block by block."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import edt
import numpy as np
import pytest
from gpu_devices import DEVICES
from spatial_scenes import SPACING, brute_force_distance, random_tissue, rounded_distance
from strict_arrays import STAND_IN

from spherovem_core.blocks import MemorySink, block_grid
from spherovem_core.errors import ShapeMismatchError
from spherovem_core.execution import Execution
from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.spatial import distance_step_um, distance_to_nucleus, write_distance_map
from spherovem_core.spatial.distance import distance_on
from spherovem_core.utils.accelerator import accelerator, select_accelerator


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(4))
def test_distance_equals_brute_force(seed: int, device: str) -> None:
    cells, nuclei = random_tissue((9, 24, 30), seed)
    found = distance_to_nucleus(nuclei, cells, SPACING, device=device)
    expected = brute_force_distance(nuclei, cells, SPACING)
    assert np.isnan(expected[cells > 0]).any()
    # Squared distances in µm² are float32, with seven digits.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("device", DEVICES)
def test_library_transform_in_the_box_of_a_cell_equals_brute_force(device: str) -> None:
    """Test the path that a GPU takes, on both devices."""
    cells, nuclei = random_tissue((9, 24, 30), 5)
    expected = brute_force_distance(nuclei, cells, SPACING)
    boxes, found = collect_label_statistics(cells), np.full(cells.shape, np.nan, np.float32)
    with accelerator(device) as gpu:
        for row, label in enumerate(boxes.labels.tolist()):
            region = boxes.region(row)
            inside = distance_on(gpu, nuclei[region], cells[region], label, SPACING)
            if inside is not None:
                found[region] = np.fmax(found[region], inside)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("device", [STAND_IN])
def test_cell_that_does_not_fit_the_gpu_is_measured_on_the_cpu(
    device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cells, nuclei = random_tissue((9, 24, 30), 1)
    gpu = select_accelerator(device)
    transform = gpu.ndi.distance_transform_edt
    boxes: list[int] = []

    def refuse_large(image: Any, **options: Any) -> Any:
        boxes.append(image.size)
        if image.size > 1500:
            raise MemoryError("Out of memory allocating 9 bytes")
        return transform(image, **options)

    monkeypatch.setattr(gpu.ndi, "distance_transform_edt", refuse_large, raising=False)
    with caplog.at_level("INFO"):
        found = distance_to_nucleus(nuclei, cells, SPACING, device=device)
    np.testing.assert_allclose(found, brute_force_distance(nuclei, cells, SPACING), atol=1e-5)
    assert min(boxes) <= 1500 < max(boxes)
    assert "does not fit cuda:99 and is measured on the CPU" in caplog.text


def test_distance_in_a_large_cell_equals_edt() -> None:
    """Compare at the size of real cells, for which brute force takes too long."""
    shape = (40, 150, 170)
    z, y, x = np.indices(shape)
    cells = ((z - 20) ** 2 / 18**2 + (y - 70) ** 2 / 65**2 + (x - 80) ** 2 / 78**2 < 1).astype(np.uint32) * 6
    cells[15:18, 60:90, 140:] = 0
    nuclei = (25 * (z - 15) ** 2 + (y - 50) ** 2 + (x - 60) ** 2 < 30**2).astype(np.uint32)
    nuclei[30:34, 100:110, 100:120] = 2
    expected = edt.edt((nuclei == 0) | (cells == 0), anisotropy=(0.05, 0.01, 0.01))
    found = distance_to_nucleus(nuclei, cells, SPACING, workers=2)
    np.testing.assert_allclose(found[cells > 0], expected[cells > 0], atol=1e-5)
    assert np.isnan(found[cells == 0]).all()


def test_distance_along_each_axis_is_in_its_spacing() -> None:
    cells = np.full((5, 7, 9), 4, np.uint32)
    nuclei = np.zeros_like(cells)
    nuclei[1, 2, 3] = 1
    found = distance_to_nucleus(nuclei, cells, SPACING)
    assert found[1, 2, 3] == 0
    assert found[4, 2, 3] == pytest.approx(0.150)
    assert found[1, 6, 3] == pytest.approx(0.040)
    assert found[1, 2, 8] == pytest.approx(0.050)
    assert found[2, 3, 4] == pytest.approx(np.sqrt(50**2 + 10**2 + 10**2) / 1000)


def test_nucleus_of_the_neighbour_does_not_count() -> None:
    cells = np.ones((3, 4, 20), np.uint32)
    cells[..., 10:] = 2
    nuclei = np.zeros_like(cells)
    nuclei[..., 9] = 5
    found = distance_to_nucleus(nuclei, cells, SPACING)
    np.testing.assert_allclose(found[0, 0, :10], np.arange(9, -1, -1) * 0.01, atol=1e-6)
    assert np.isnan(found[..., 10:]).all()


def test_nearest_nucleus_counts_and_one_outside_cells_does_not() -> None:
    cells = np.zeros((1, 3, 30), np.uint32)
    cells[..., 5:] = 8
    nuclei = np.zeros_like(cells)
    nuclei[..., :5] = 1
    nuclei[..., 10], nuclei[..., 20] = 2, 3
    found = distance_to_nucleus(nuclei, cells, SPACING)[0, 0]
    assert np.isnan(found[:5]).all()
    np.testing.assert_allclose(found[[5, 10, 14, 16, 29]], [0.05, 0, 0.04, 0.04, 0.09], atol=1e-6)


def test_scaling_the_spacing_scales_the_distances() -> None:
    cells, nuclei = random_tissue((8, 20, 26), 7)
    once = distance_to_nucleus(nuclei, cells, SPACING)
    thrice = distance_to_nucleus(nuclei, cells, (150.0, 30.0, 30.0))
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)


def test_volumes_of_different_shapes_are_refused() -> None:
    with pytest.raises(ShapeMismatchError, match=r"nuclei \(2, 3, 4\), cells \(2, 3, 5\)"):
        distance_to_nucleus(np.zeros((2, 3, 4), np.uint32), np.zeros((2, 3, 5), np.uint32), SPACING)


@pytest.mark.parametrize("cache_bytes", [0, 4000, 1 << 30])
@pytest.mark.parametrize("threads", [0, 3])
def test_map_in_blocks_equals_the_whole(cache_bytes: int, threads: int) -> None:
    cells, nuclei = random_tissue((20, 40, 52), 3, cells=20)
    blocks = block_grid(cells.shape, (8, 8, 8))
    sink = MemorySink(np.zeros(cells.shape, np.float32))
    done: list[int] = []
    with ThreadPoolExecutor(threads or 1) as pool:
        execution = Execution(
            executor=pool if threads else None, workers=2, progress=lambda n, _: done.append(n)
        )
        write_distance_map(nuclei, cells, SPACING, sink, blocks, execution, cache_bytes=cache_bytes)
    np.testing.assert_array_equal(sink.array, rounded_distance(nuclei, cells))
    assert done == list(range(1, len(blocks) + 1))


def test_map_keeps_the_blocks_of_a_killed_run() -> None:
    cells, nuclei = random_tissue((16, 24, 24), 5)
    blocks = block_grid(cells.shape, (8, 8, 8))
    sink = MemorySink(np.zeros(cells.shape, np.float32))
    for block in blocks[::2]:
        sink.write(block, np.full((8, 8, 8), -1, np.float32))
    write_distance_map(nuclei, cells, SPACING, sink, blocks)
    expected = rounded_distance(nuclei, cells)
    for n, block in enumerate(blocks):
        np.testing.assert_array_equal(sink.array[block.core], expected[block.core] if n % 2 else -1)


@pytest.mark.parametrize("spacing", [SPACING, (120.0, 40.0, 37.5), (3.0, 2.0, 1.0)])
def test_rounding_moves_distances_by_an_eighth_of_a_voxel_and_keeps_nuclei(
    spacing: tuple[float, float, float],
) -> None:
    cells, nuclei = random_tissue((20, 40, 52), 3, cells=20)
    exact, step = distance_to_nucleus(nuclei, cells, spacing), distance_step_um(spacing)
    found = rounded_distance(nuclei, cells, spacing)
    known = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(found), known)
    np.testing.assert_array_equal(found == 0, exact == 0)
    error = (found - exact)[known]
    assert np.abs(error).max() <= step / 2 * (1 + 1e-6) <= min(spacing) / NM_PER_UM / 8 * (1 + 1e-6)
    # Errors are spread over a step, so that their mean is far below it.
    assert abs(error.mean()) < 0.1 * step
    np.testing.assert_array_equal(found[known] % np.float32(step), 0)


def test_volume_without_labels_has_no_distance() -> None:
    empty = np.zeros((4, 5, 6), np.uint32)
    assert np.isnan(distance_to_nucleus(empty, empty, SPACING)).all()
