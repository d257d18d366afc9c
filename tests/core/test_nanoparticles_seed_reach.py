"""Reach of seeds: packed slices, painted and spread block by block, equal dilations of the whole volume."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles import candidates
from spherovem_core.nanoparticles.candidates import find_candidates
from spherovem_core.nanoparticles.components import Components
from spherovem_core.nanoparticles.packed_contrast import PackedSlice, pack_contrast
from spherovem_core.nanoparticles.seed_reach import (
    CANDIDATE,
    SEED,
    ellipse_rows,
    mark_candidates,
    spread_seeds,
)

LEVEL = 60000
REACH = (2, 5, 7)


def ellipse(reach: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach[1] + 1, 2 * reach[0] + 1)))


@pytest.mark.parametrize("reach", [(7, 7), (3, 9), (0, 2), (4, 0), (30, 30)])
@pytest.mark.parametrize("part", [(slice(0, 90), slice(0, 70)), (slice(20, 50), slice(33, 60))])
def test_highest_seed_near_equals_a_dilation(reach: tuple[int, int], part: tuple[slice, slice]) -> None:
    contrast = np.random.default_rng(0).integers(0, 65536, (90, 70)).astype(np.uint16)
    contrast[:, 50:] = 0
    contrast[10:30] = 0
    seeds = np.where(contrast >= 65400, contrast, 0).astype(np.uint16)
    outer = [
        slice(max(0, s.start - r), min(n, s.stop + r))
        for s, r, n in zip(part, reach, seeds.shape, strict=True)
    ]
    found = np.empty([s.stop - s.start for s in part], np.uint16)
    margin = [s.start - o.start for s, o in zip(part, outer, strict=True)]
    assert spread_seeds(np.ascontiguousarray(seeds[tuple(outer)]), ellipse_rows(reach), *margin, found)
    np.testing.assert_array_equal(found, cv2.dilate(seeds, ellipse(reach))[part])


def test_without_a_seed_nothing_is_near() -> None:
    near = np.ones((4, 4), np.uint16)
    assert not spread_seeds(np.zeros((8, 8), np.uint16), ellipse_rows((2, 2)), 2, 2, near)
    assert not near.any()


def unpack(packed: PackedSlice, shape: tuple[int, int]) -> NDArray[np.uint16]:
    out = np.zeros(shape, np.uint16)
    for number, (start, stop) in enumerate(zip(packed.starts, packed.starts[1:], strict=False)):
        top, left = (
            (n + f) * packed.tile for n, f in zip(divmod(number, packed.across), packed.first, strict=True)
        )
        places = packed.places[start:stop].astype(int)
        out[top + places // packed.tile, left + places % packed.tile] = packed.values[start:stop]
    return out


def test_packed_slices_hold_what_can_be_a_candidate() -> None:
    contrast = np.random.default_rng(0).integers(0, 65536, (50, 47)).astype(np.uint16)
    packed = pack_contrast(contrast, LEVEL, 16)
    np.testing.assert_array_equal(unpack(packed, (50, 47)), np.where(contrast >= 0.4 * LEVEL, contrast, 0))
    np.testing.assert_array_equal(
        unpack(packed.seeds(LEVEL), (50, 47)), np.where(contrast >= LEVEL, contrast, 0)
    )
    part, tiles = packed.part(slice(20, 40), slice(3, 30)), (slice(16, 48), slice(0, 32))
    expected = np.zeros_like(contrast)
    expected[tiles] = unpack(packed, (50, 47))[tiles]
    np.testing.assert_array_equal(unpack(part, (50, 47)), expected)


def test_candidates_have_a_fraction_of_the_highest_seed_near_them() -> None:
    contrast = np.array([[0, 39, 40, 41, 90]], np.uint16)
    near, found = np.array([[100, 100, 100, 100, 0]], np.uint16), np.zeros(5, np.uint32)
    packed = pack_contrast(contrast, 40, 16)
    count = mark_candidates(packed, 40, np.float32(0.4), near, (0, 1), (0, 5), found)
    assert found[:count].tolist() == [2 * 3 + 1]


class Detection:
    """Detection in an image that is its own contrast."""

    reach, level = REACH, LEVEL

    def contrast_slice(self, image: NDArray[np.uint16], z: int) -> NDArray[np.uint16]:
        return image


def expected_candidates(contrast: NDArray[np.uint16]) -> NDArray[np.uint8]:
    seeds = np.where(contrast >= LEVEL, contrast, 0).astype(np.uint16)
    around = np.stack([cv2.dilate(plane, ellipse(REACH[1:])) for plane in seeds])
    near = ndimage.maximum_filter1d(around, 2 * REACH[0] + 1, axis=0, mode="constant")
    above = (near > 0) & (contrast.astype(np.float32) > np.float32(0.4) * near)
    return np.where(above, np.where(contrast >= LEVEL, SEED, CANDIDATE), 0).astype(np.uint8)


@pytest.fixture(scope="module")
def contrast() -> NDArray[np.uint16]:
    """Draw spots on a dim texture, among them spots at the corner where eight blocks meet, and along its edges."""
    random = np.random.default_rng(0)
    spots = np.zeros((14, 70, 75), np.uint16)
    spots[tuple((random.random((3, 50)) * np.array(spots.shape)[:, None]).astype(int))] = random.integers(
        20000, 65535, 50
    )
    spots[3:5, 31:33, 31:33] = 65000
    spots[4, 32, 20:60] = 64000
    spots[2:12, 32, 48] = 62000
    soft = ndimage.gaussian_filter(spots.astype(float), (0.7, 1.5, 1.5))
    return np.maximum(spots, np.minimum(8 * soft, 60000) + random.integers(0, 500, spots.shape)).astype(
        np.uint16
    )


def find(contrast: NDArray[np.uint16], sink: MemorySink, **how: Any) -> Components:
    detection: Any = Detection()
    return find_candidates(contrast, detection, sink, Execution(), 100, **how)


@pytest.mark.parametrize(("depth", "tile"), [(4, 16), (1, 16), (3, 7), (32, 256), (5, 33)])
def test_blocks_along_all_axes_give_the_candidates_of_the_whole(
    contrast: NDArray[np.uint16], depth: int, tile: int
) -> None:
    sink, expected = MemorySink(np.zeros(contrast.shape, np.uint8)), expected_candidates(contrast)
    found = find(contrast, sink, depth=depth, tile=tile)
    np.testing.assert_array_equal(sink.array, expected)
    labels, count = ndimage.label(expected, np.ones((3, 3, 3)))
    assert len(found) == count > 5
    across = expected[3:5, 31:33, 31:33]
    assert (across > 0).all()
    np.testing.assert_array_equal(np.sort(found.sums[:, 1]), np.sort(np.bincount(labels.ravel())[1:]))


def test_slices_on_disk_are_read_back(contrast: NDArray[np.uint16]) -> None:
    class Broken(MemorySink):
        left = 6

        def write(self, block: Any, values: NDArray[Any]) -> None:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            super().write(block, values)

    sink, whole = Broken(np.zeros(contrast.shape, np.uint8)), MemorySink(np.zeros(contrast.shape, np.uint8))
    with pytest.raises(KeyboardInterrupt):
        find(contrast, sink, depth=4, tile=16)
    sink.left = contrast.shape[0] - 6
    found, expected = find(contrast, sink, depth=4, tile=16), find(contrast, whole)
    np.testing.assert_array_equal(sink.array, whole.array)
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert sink.left == 0


def test_blocks_hold_a_tile_that_fits_in_16_bits() -> None:
    assert candidates.TILE**2 <= 65536
