"""Growth into foreground: to the nearest object, within reach, independent of blocks."""

import numpy as np
import pytest
from scipy import ndimage
from segmentation_scenes import EVERYTHING, SPACING, ideal, segment

from spherovem_core.execution import Execution
from spherovem_core.segmentation.expansion import expand_labels, reach_voxels
from spherovem_core.segmentation.grid import Grid


def test_one_voxel_grows_to_a_ball() -> None:
    labels = np.zeros((11, 41, 43), np.uint32)
    labels[5, 20, 21] = 7
    z, y, x = np.indices(labels.shape)
    distance = np.sqrt((50 * (z - 5)) ** 2 + (10 * (y - 20)) ** 2 + (10 * (x - 21)) ** 2)
    for reach in (0.0, 49.0, 50.0, 120.0):
        grown = expand_labels(labels, np.ones(labels.shape, bool), reach, SPACING)
        assert np.array_equal(grown == 7, distance <= reach)
    assert reach_voxels(120.0, SPACING) == (2, 12, 12)


def test_foreground_goes_to_the_nearest_object_and_nothing_else_changes() -> None:
    generator = np.random.default_rng(0)
    labels = np.where(generator.random((14, 40, 44)) < 0.01, generator.integers(1, 9, (14, 40, 44)), 0)
    labels = labels.astype(np.uint32)
    foreground = generator.random(labels.shape) < 0.7
    grown = expand_labels(labels, foreground, 90.0, SPACING)
    distances = np.stack([ndimage.distance_transform_edt(labels != n, sampling=SPACING) for n in range(1, 9)])
    nearest = distances.min(axis=0)
    # The smaller number among objects at the same distance.
    expected = np.where(nearest <= 90, np.isclose(distances, nearest).argmax(axis=0) + 1, 0)
    assert np.array_equal(grown, np.where((labels == 0) & foreground, expected, labels))


@pytest.mark.parametrize("block", [24, 64])
def test_foreground_without_flow_goes_to_the_object_beside_it(block: int) -> None:
    labels = np.zeros((30, 40, 70), np.uint32)
    labels[5:25, 5:35, 5:30], labels[5:25, 5:35, 42:66] = 1, 2
    flows = ideal(labels)
    # Within 3 voxels around both, foreground has flows that converge nowhere.
    around = ndimage.grey_dilation(labels, size=7)
    flows[3] = np.where(around > 0, 4.0, -4.0)
    grid = Grid(labels.shape, (20.0, 20.0, 20.0))
    execution = Execution(block_voxels=block, block_halo_voxels=24)
    plain, count = segment(flows, grid, grid, EVERYTHING, execution=execution)
    assert count == 2
    assert np.array_equal(plain, labels)
    for reach_um, steps in ((0.02, 1), (0.06, 3)):
        parameters = EVERYTHING.model_copy(update={"expansion_um": reach_um})
        grown, count = segment(flows, grid, grid, parameters, execution=execution)
        assert count == 2
        near = ndimage.distance_transform_edt(labels == 0) <= steps
        assert np.array_equal(grown > 0, (labels > 0) | (near & (around > 0)))
        assert np.array_equal(grown[labels > 0], labels[labels > 0])
