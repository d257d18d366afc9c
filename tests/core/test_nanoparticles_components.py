"""Components of the candidates, found slice by slice, are those of the whole volume."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.nanoparticles.components import FIRST, SEEDS, VOXELS, ComponentFinder, seeds_of
from spherovem_core.nanoparticles.seed_reach import SEED

TOUCHING = np.ones((3, 3, 3))


def draw(shape: tuple[int, int, int], part: float) -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    volume = (random.random(shape) < part).astype(np.uint8)
    volume[(random.random(shape) < 0.2) & (volume > 0)] = SEED
    return volume


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("shape", [(7, 40, 141), (5, 1, 30), (6, 30, 1), (1, 20, 20)])
def test_components_are_those_of_the_whole_volume(shape: tuple[int, int, int], part: float) -> None:
    volume = draw(shape, part)
    finder = ComponentFinder(shape)
    for plane in volume:
        finder.add(plane)
    found = finder.components()
    labels, count = ndimage.label(volume, TOUCHING)
    flat = labels.ravel()
    first = np.array([np.flatnonzero(flat == n + 1)[0] for n in range(count)])
    order = np.argsort(first)
    boxes = [[*(s.start for s in box), *(s.stop for s in box)] for box in ndimage.find_objects(labels) if box]
    assert len(found) == count > 0
    np.testing.assert_array_equal(found.sums[:, FIRST], first[order])
    np.testing.assert_array_equal(found.sums[:, VOXELS], np.bincount(flat)[1:][order])
    seeds = np.bincount(flat[volume.ravel() == SEED], minlength=count + 1)[1:]
    np.testing.assert_array_equal(found.sums[:, SEEDS], seeds[order])
    np.testing.assert_array_equal(found.boxes, np.array(boxes)[order])


def test_volume_without_candidates_has_no_component() -> None:
    finder = ComponentFinder((2, 4, 4))
    for plane in np.zeros((2, 4, 4), np.uint8):
        finder.add(plane)
    assert len(finder.components()) == 0


def test_seeds_of_a_component_leave_out_those_of_others_in_its_box() -> None:
    volume = draw((6, 30, 31), 0.15)
    labels, count = ndimage.label(volume, TOUCHING)
    boxes = ndimage.find_objects(labels)
    shared = 0
    for number in range(1, count + 1):
        box = boxes[number - 1]
        own = labels[box] == number
        first = np.unravel_index(int(np.flatnonzero(own)[0]), own.shape)
        found = seeds_of(volume[box], (int(first[0]), int(first[1]), int(first[2])))
        np.testing.assert_array_equal(found, own & (volume[box] == SEED))
        shared += bool(((labels[box] > 0) & ~own).any())
    assert shared > 0
