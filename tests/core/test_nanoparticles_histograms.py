"""First pass over a volume: bins, counts, contrast drift."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from nanoparticle_scenes import COARSE_NM, Kind, make_scene

from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.histograms import count_intensities, quantiles_of_bins
from spherovem_core.nanoparticles import find_particles
from spherovem_core.nanoparticles.binning import Binning, common_binning, fit_binning, rebin
from spherovem_core.nanoparticles.contrast_drift import (
    location_and_spread,
    map_histograms,
    match_slices,
)
from spherovem_core.nanoparticles.slice_histograms import count_tiles, count_twists
from spherovem_core.nanoparticles.slice_statistics import SliceStatistics, collect_statistics
from spherovem_core.parameters import NanoparticleParameters


def test_level_counts_equal_bincount() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (37, 41), dtype=np.uint16)
    np.testing.assert_array_equal(count_intensities(image), np.bincount(image.ravel(), minlength=65536))


def test_tile_counts_sum_to_those_of_the_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (18, 31), dtype=np.uint8)
    tiles = count_tiles(image, 4)
    assert tiles.shape == (16, 256)
    np.testing.assert_array_equal(tiles.sum(axis=0), count_intensities(image))
    np.testing.assert_array_equal(tiles[5], np.bincount(image[4:9, 7:15].ravel(), minlength=256))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_twists_are_counted_as_they_are_computed(kind: type) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (19, 30), kind, endpoint=True)
    values = image.astype(np.int64)
    twists = np.abs(values[1:, 1:] - values[1:, :-1] - values[:-1, 1:] + values[:-1, :-1])
    expected = np.bincount(twists.ravel(), minlength=2 * np.iinfo(kind).max + 1)
    np.testing.assert_array_equal(count_twists(image), expected)


def test_hot_pixels_do_not_widen_the_bins_of_16_bit_data() -> None:
    counts = np.zeros(65536, np.int64)
    counts[3000:3400] = 10_000
    counts[65535] = 2
    binning = fit_binning(counts)
    assert binning.width == 1
    assert binning.offset <= 3000
    assert binning.offset + binning.count >= 3400


def test_rebinning_to_common_bins_keeps_every_voxel() -> None:
    fine, coarse = Binning(1000, 1, 1024), Binning(4096, 8, 1024)
    common = common_binning([fine, coarse])
    assert common.width == 8
    counts = np.random.default_rng(0).integers(0, 50, (3, 1024)).astype(np.uint32)
    moved = rebin(counts, fine, common)
    np.testing.assert_array_equal(moved.sum(axis=1), counts.sum(axis=1))
    # Means change by less than a coarse bin.
    before, after = counts @ fine.centres / counts.sum(axis=1), moved @ common.centres / moved.sum(axis=1)
    np.testing.assert_allclose(before, after, atol=8)


def test_quantiles_of_evenly_spread_bins_are_exact() -> None:
    # Four equal bins reach from -0.5 to 3.5: the quantile q is 4 q - 0.5.
    np.testing.assert_allclose(quantiles_of_bins(np.full(4, 7), [0.1, 0.5, 0.85]), [-0.1, 1.5, 2.9])
    assert quantiles_of_bins(np.array([0, 5, 0, 0, 5]), [0.25])[0] == pytest.approx(1.0)


def test_matching_recovers_known_gain_and_offset() -> None:
    random = np.random.default_rng(0)
    tissue = np.concatenate([random.normal(120, 14, 150_000), random.normal(80, 8, 50_000)])
    gains, offsets = np.array([1.0, 0.9, 1.1, 1.0, 1.05]), np.array([0.0, 12.0, -9.0, 4.0, -2.0])
    slices = [
        np.clip(np.rint(g * tissue + o), 0, 255).astype(int) for g, o in zip(gains, offsets, strict=True)
    ]
    histograms = np.stack([np.bincount(s, minlength=256) for s in slices])
    maps = match_slices(location_and_spread(histograms)[:, None])
    # The intensity 215 of the tissue is mapped to one value on the scale of the stack, whatever the slice. Rounding quantiles to
    # whole grey values leaves an error of a few tenths, which the distance from 125 to 215 doubles.
    placed = maps[:, 0] * (gains * 215 + offsets) + maps[:, 1]
    np.testing.assert_allclose(placed, placed.mean(), atol=0.5)
    assert np.all(maps[:, 0] > 0)


def test_slice_without_counts_takes_the_mean_map_of_its_neighbours() -> None:
    histograms = np.stack(
        [np.bincount(np.arange(256).repeat(10) // 2 + s, minlength=300) for s in (0, 0, 20)]
    )
    tiles = location_and_spread(histograms)[:, None]
    tiles[1] = np.nan
    maps = match_slices(tiles)
    np.testing.assert_allclose(maps[1], (maps[0] + maps[2]) / 2)


def test_variance_of_the_tissue_shrinks_the_correction_of_drift() -> None:
    # Each slice shows 16 patches of one of two stains: slices differ although the detector does not drift.
    random = np.random.default_rng(0)
    histograms = np.zeros((40, 16, 256), np.int64)
    for z in range(40):
        for k, centre in enumerate(random.choice([90, 150], 16)):
            histograms[z, k] = np.bincount(
                np.rint(random.normal(centre, 12, 2000)).astype(int), minlength=256
            )
    tiles = np.stack([location_and_spread(rows) for rows in histograms])
    free, shrunk = match_slices(tiles.mean(axis=1, keepdims=True)), match_slices(tiles)
    away_free, away_shrunk = (m @ np.array([200, 1]) - 200 for m in (free, shrunk))
    assert np.abs(away_shrunk).mean() < 0.5 * np.abs(away_free).mean()


@pytest.mark.parametrize("moving", [False, True])
def test_resin_hides_no_drift_and_is_none(moving: bool) -> None:
    # Half the field is resin, or the border of the resin crosses the field from the first slice to the last.
    random = np.random.default_rng(0)
    gains = 1 + 0.07 * random.standard_normal(60)
    volume = random.normal(120, 14, (60, 96, 96))
    for z, image in enumerate(volume):
        width = round(96 * (z + 1) / 60) if moving else 48
        image[:, :width] = random.normal(185, 6, (96, width))
    image = np.clip(np.rint(volume * gains[:, None, None]), 0, 255).astype(np.uint8)
    maps = collect_statistics(image, COARSE_NM, NanoparticleParameters()).maps
    # Drift alone moves the intensity 120 by 8, and by 9 from slice to slice. Where the resin moves, some of it passes for drift.
    placed = maps[:, 0] * gains * 120 + maps[:, 1]
    assert np.std(120 * gains) > 7
    assert np.std(np.diff(120 * gains)) > 9
    assert np.std(np.diff(placed)) < (4 if moving else 2)
    assert np.std(placed) < (4 if moving else 1.5)


def test_mapped_histogram_keeps_its_sum_and_maps_its_mean() -> None:
    counts = np.zeros((1, 256), np.int64)
    counts[0, 100:140] = 25
    moved = map_histograms(counts, np.array([[0.5, 10.0]]), 0, 256)
    assert moved.sum() == pytest.approx(1000)
    # The mean 119.5 is mapped to 0.5 * 119.5 + 10.
    assert moved[0] @ np.arange(256) / 1000 == pytest.approx(69.75)


def test_statistics_do_not_depend_on_workers() -> None:
    image = make_scene((12, 96, 96), (Kind(8, 240.0),), COARSE_NM).image
    whole = collect_statistics(image, COARSE_NM, NanoparticleParameters(), bad_slices=[3])
    with ThreadPoolExecutor(3) as executor:
        execution = Execution(executor=executor, workers=3)
        pooled = collect_statistics(image, COARSE_NM, NanoparticleParameters(), execution, bad_slices=[3])
    for entry in fields(SliceStatistics):
        np.testing.assert_array_equal(getattr(whole, entry.name), getattr(pooled, entry.name))
    assert whole.histograms[3].sum() == 0


def test_first_pass_reads_each_slice_once() -> None:
    image = make_scene((10, 64, 64), (), COARSE_NM).image

    class Counting:
        shape, dtype = image.shape, image.dtype
        reads = np.zeros(10, int)

        def __getitem__(self, z: int) -> np.ndarray:
            self.reads[z] += 1
            return image[z]

    source = Counting()
    collect_statistics(source, COARSE_NM, NanoparticleParameters())
    np.testing.assert_array_equal(source.reads, 1)


def test_dark_polarity_counts_the_complement() -> None:
    image = make_scene((8, 96, 96), (Kind(8, 240.0),), COARSE_NM).image
    bright = collect_statistics(image, COARSE_NM, NanoparticleParameters())
    dark = collect_statistics(~image, COARSE_NM, NanoparticleParameters(polarity="dark"))
    for entry in fields(SliceStatistics):
        np.testing.assert_array_equal(getattr(bright, entry.name), getattr(dark, entry.name))


def test_float_images_and_images_of_one_value_are_refused() -> None:
    with pytest.raises(ParameterError, match="uint8 or uint16 images, not in float32; convert"):
        find_particles(np.zeros((2, 8, 8), np.float32), COARSE_NM)  # type: ignore[arg-type]
    for value in (0, 7, 255):
        with pytest.raises(ParameterError, match=r"none of the 2 slices can be used.*check the acquisition"):
            find_particles(np.full((2, 40, 40), value, np.uint8), COARSE_NM)
    noise = np.random.default_rng(0).integers(0, 256, (2, 40, 40), np.uint8)
    with pytest.raises(ParameterError, match="none of the 2 slices can be used"):
        find_particles(noise, COARSE_NM, bad_slices=[0, 1])


def test_blank_slices_do_no_harm() -> None:
    image = make_scene((12, 96, 96), (Kind(8, 240.0),), COARSE_NM).image.copy()
    image[[0, 11]] = 0
    found = find_particles(image, COARSE_NM)
    assert not found.labels[[0, 11]].any()
    assert 5 <= len(found.table) <= 10


@pytest.mark.parametrize("shape", [(1, 200, 200), (12, 16, 16), (1, 16, 16), (3, 20, 150), (2, 9, 9)])
def test_thin_and_small_volumes_are_accepted(shape: tuple[int, int, int]) -> None:
    scene = make_scene(shape, (Kind(10, 280.0),) if shape[1] > 100 else (), COARSE_NM)
    found = find_particles(scene.image, COARSE_NM)
    assert found.labels.shape == shape
    assert found.labels.max() == len(found.table)
    if shape[1] > 100:
        assert len(found.table) == pytest.approx(10, abs=2)
