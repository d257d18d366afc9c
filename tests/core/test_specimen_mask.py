"""Specimen mask in memory and in blocks: resin, lumina and charging."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from specimen_scenes import SHAPE, SPACING_NM, clean_tissue, disc, expose, scene

from spherovem_core.blocks import Block, MemorySink
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.specimen import (
    CHARGING,
    LUMEN,
    OUTSIDE,
    SPECIMEN,
    Specimen,
    find_specimen,
    write_specimen,
)
from spherovem_core.nanoparticles.specimen.tiles import collect_tiles, tile_grid
from spherovem_core.parameters import SpecimenParameters

WHOLE = tuple(slice(0, n) for n in SHAPE)
BEYOND = ~disc((3.0, 2.5), 6.5)
"""A curved border that leaves a quarter of the image to resin."""


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def codes(image: NDArray[np.uint8], parameters: SpecimenParameters | None = None) -> NDArray[np.uint8]:
    return find_specimen(image, SPACING_NM, parameters).region(WHOLE)


@pytest.mark.parametrize("noise", [0.0, 6.0, 25.0])
def test_tissue_alone_is_all_specimen(noise: float) -> None:
    for seed in range(3):
        assert (codes(scene(noise=noise, seed=seed).image) == SPECIMEN).all()


@pytest.mark.parametrize(
    ("grey", "texture", "noise"),
    [(125, 0, 6), (125, 2, 25), (150, 3, 6), (170, 3, 15), (210, 0, 0), (70, 3, 6), (0, 0, 0)],
)
def test_resin_of_any_grey_is_outside(grey: float, texture: float, noise: float) -> None:
    """Compare the border with the truth where grey values do not tell: structure gives it to some 150 nm of 3 µm."""
    made = scene(BEYOND, grey, texture, noise)
    assert 0.2 < BEYOND.mean() < 0.45
    assert overlap(codes(made.image) == OUTSIDE, made.resin) > (0.9 if grey == 125 else 0.95)


def test_resin_that_tissue_encloses_is_lumen() -> None:
    hole = disc((4.0, 5.0), 1.6)
    for grey in (125.0, 190.0):
        found = codes(scene(hole, grey).image)
        assert overlap(found == LUMEN, hole) > 0.85
        assert not (found == OUTSIDE).any()


def test_smooth_bodies_smaller_than_a_lumen_stay_specimen() -> None:
    droplets = disc((2.0, 2.0), 0.35) | disc((4.0, 5.0), 0.6) | disc((7.0, 8.0), 0.75) | disc((7.0, 0.2), 0.6)
    assert (codes(scene(droplets, 205.0, 0.0).image) == SPECIMEN).all()


def test_single_particles_in_resin_do_not_make_specimen() -> None:
    particle = disc((8.5, 10.0), 0.15) & BEYOND
    image = np.where(particle, 220, scene(BEYOND, 170.0).image).astype(np.uint8)
    found = codes(image)
    assert (found[particle] == OUTSIDE).all()


def test_streaks_along_rows_are_charging() -> None:
    image = clean_tissue()
    image[5, 100:102, 60:160] += 90
    found = codes(expose(image, 6.0))
    # The last of its pixels has a tile of its own, of which it fills a third.
    assert (found[5, 100:102, 60:159] == CHARGING).all()
    # The mask's tiles are three pixels high and wide.
    assert (found == CHARGING).sum() <= 6 * 106
    assert (found[5, 90:97] == SPECIMEN).all()


def test_a_bright_line_down_the_columns_is_no_charging() -> None:
    image = clean_tissue()
    image[5, 60:160, 100:102] += 90
    assert not (codes(expose(image, 6.0)) == CHARGING).any()


def test_blank_and_filled_slices_do_not_look_like_resin() -> None:
    image = scene().image.copy()
    image[4:7] = 90
    image[10] = np.random.default_rng(5).normal(125, 1, SHAPE[1:]).astype(np.uint8)
    found = find_specimen(image, SPACING_NM, bad_slices=[10])
    assert found.fractions["specimen"] == 1


def test_a_wider_range_of_grey_values_gives_the_same_mask() -> None:
    image = scene(BEYOND, 170.0).image
    wide = (image.astype(np.uint16) * 200) + 3000
    np.testing.assert_array_equal(codes(image), codes(wide))


def test_dark_and_bright_are_alike() -> None:
    image = scene(BEYOND, 170.0).image
    np.testing.assert_array_equal(codes(image) == OUTSIDE, codes(255 - image) == OUTSIDE)


def test_the_search_can_be_switched_off() -> None:
    image = scene(BEYOND, 170.0).image
    assert (codes(image, SpecimenParameters(find_resin=False)) == SPECIMEN).all()


def test_floats_are_refused() -> None:
    with pytest.raises(ParameterError, match="float64, expected uint8 or uint16"):
        find_specimen(clean_tissue(), SPACING_NM)


def test_slabs_and_threads_give_the_same_mask() -> None:
    image = scene(BEYOND, 150.0).image
    with ThreadPoolExecutor(2) as executor:
        parallel = find_specimen(image, SPACING_NM, execution=Execution(executor=executor, workers=2))
    np.testing.assert_array_equal(parallel.codes[:], find_specimen(image, SPACING_NM).codes[:])


class Stopping(MemorySink):
    """Sink that fails after its first block."""

    failing = True

    def write(self, block: Block, values: NDArray[np.float32]) -> None:
        if self.failing and self._done:
            raise KeyboardInterrupt
        super().write(block, values)


class Counting:
    """Image that counts the slices read from it."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image, self.shape, self.dtype, self.read = image, image.shape, image.dtype, 0

    def __getitem__(self, region: int) -> NDArray[np.uint8]:
        self.read += 1
        return self.image[region]


def test_a_stopped_pass_continues_from_its_slabs() -> None:
    source = Counting(scene(BEYOND, 150.0).image)
    grid = tile_grid(SHAPE, SPACING_NM, 120.0)
    sink = Stopping(np.zeros(grid.planes, np.float32))
    with pytest.raises(KeyboardInterrupt):
        write_specimen(source, grid, SpecimenParameters(), sink)
    sink.failing = False
    before = source.read
    found, _ = write_specimen(source, grid, SpecimenParameters(), sink)
    assert source.read - before == SHAPE[0] // 2
    np.testing.assert_array_equal(found, find_specimen(source.image, SPACING_NM).codes[:])


def test_tiles_cover_the_image_and_hold_its_means() -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 31, 47)).astype(np.uint8)
    grid = tile_grid(image.shape, (50.0, 10.0, 20.0), 120.0)
    assert (grid.factors, grid.shape) == ((2, 12, 6), (3, 3, 8))
    sink = MemorySink(np.zeros(grid.planes, np.float32))
    collect_tiles(image, grid, sink)
    part = image[2:4, 12:24, 6:12].astype(float)
    tile = sink.array.reshape(3, 3, 3, 8)[1, :, 1, 1]
    np.testing.assert_allclose(tile[:2], (part[:, 0::2].mean(), part[:, 1::2].mean()), rtol=1e-5)


def test_tiles_grow_with_the_volume() -> None:
    assert tile_grid((4000, 6000, 6000), (10.0, 10.0, 10.0), 120.0).factors == (24, 24, 24)


def test_codes_are_looked_up_at_voxels_and_in_regions() -> None:
    mask = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.uint8)
    specimen = Specimen(mask, (100.0, 120.0, 120.0), (2, 3, 3), {})
    full = mask.repeat(2, 0).repeat(3, 1).repeat(3, 2)
    region = (slice(1, 5), slice(2, 11), slice(4, 13))
    np.testing.assert_array_equal(specimen.region(region), full[region])
    at = np.array([[0, 0, 0], [5, 11, 14], [3, 7, 8]])
    np.testing.assert_array_equal(specimen.at(at), full[tuple(at.T)])


REAL = Path(__file__).parents[3] / "shared/data/fibsem_drosophila/slices"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not on this machine")
def test_real_neuropil_is_all_specimen() -> None:
    import tifffile

    image = np.stack([tifffile.imread(path) for path in sorted(REAL.glob("*.tif"))])
    assert find_specimen(image, (10.0, 10.0, 10.0)).fractions["specimen"] == 1
