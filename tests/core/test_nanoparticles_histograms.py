"""First pass over a volume: bins, counts, candidates, contrast drift."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from nanoparticle_scenes import SPACING_NM, make_scene
from scipy import ndimage

from spherovem_core.errors import ParameterError
from spherovem_core.execution import Execution
from spherovem_core.histograms import count_intensities, quantiles_of_bins
from spherovem_core.nanoparticles import collect_statistics, slice_statistics
from spherovem_core.nanoparticles.binning import Binning, common_binning, fit_binning, rebin
from spherovem_core.nanoparticles.candidates import LEVEL_EDGES, SQUARE_EDGES, find_candidates
from spherovem_core.nanoparticles.contrast_drift import (
    jackknife_variance,
    location_and_spread,
    map_histograms,
    match_slices,
)
from spherovem_core.nanoparticles.slice_histograms import (
    count_by_level,
    count_tiles,
    spread_maximum,
    square_means,
)
from spherovem_core.parameters import NanoparticleParameters


def test_level_counts_equal_bincount() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (37, 41), dtype=np.uint16)
    np.testing.assert_array_equal(count_intensities(image), np.bincount(image.ravel(), minlength=65536))


def test_square_means_equal_plain_means_also_at_the_border() -> None:
    image = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    expected = np.array([[image[y : y + 3, x : x + 3].mean() for x in (0, 3, 6)] for y in (0, 3)])
    # 8-bit means have steps of 1 / 256, 16-bit means steps of 1.
    np.testing.assert_array_equal(square_means(image, 3), np.floor(256 * expected + 1e-6))
    np.testing.assert_array_equal(square_means(image.astype(np.uint16), 3), np.floor(expected + 1e-6))


def test_tile_counts_sum_to_those_of_the_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (18, 31), dtype=np.uint8)
    tiles = count_tiles(image, 4)
    assert tiles.shape == (16, 256)
    np.testing.assert_array_equal(tiles.sum(axis=0), count_intensities(image))
    np.testing.assert_array_equal(tiles[5], np.bincount(image[4:9, 7:15].ravel(), minlength=256))


@pytest.mark.parametrize("reach", [0, 1, 2, 5, 9, 40])
def test_spread_maximum_equals_maximum_filter(reach: int) -> None:
    levels = np.random.default_rng(reach).integers(0, 60, (13, 17)).astype(np.uint8)
    for axis in (0, 1):
        plain = ndimage.maximum_filter1d(levels, 2 * reach + 1, axis=axis, mode="constant")
        np.testing.assert_array_equal(spread_maximum(levels, reach, axis), plain)


def test_voxels_are_counted_by_the_level_of_their_square() -> None:
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (9, 10), dtype=np.uint8)
    levels = random.integers(0, 4, (3, 4)).astype(np.uint8)
    counts = count_by_level(image, np.arange(256, dtype=np.uint16), levels, 3, (4, 256))
    of_voxel = np.repeat(np.repeat(levels, 3, axis=0), 3, axis=1)[:9, :10]
    for level in range(4):
        np.testing.assert_array_equal(counts[level], np.bincount(image[of_voxel == level], minlength=256))


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
    maps = match_slices(histograms)
    # The intensity 215 of the tissue is mapped to one value on the scale of the stack, whatever the slice. Rounding quantiles to
    # whole grey values leaves an error of a few tenths, which the distance from 125 to 215 doubles.
    placed = maps[:, 0] * (gains * 215 + offsets) + maps[:, 1]
    np.testing.assert_allclose(placed, placed.mean(), atol=0.5)
    assert np.all(maps[:, 0] > 0)


def test_slice_without_counts_takes_the_mean_map_of_its_neighbours() -> None:
    histograms = np.stack(
        [np.bincount(np.arange(256).repeat(10) // 2 + s, minlength=300) for s in (0, 0, 20)]
    )
    histograms[1] = 0
    maps = match_slices(histograms)
    np.testing.assert_allclose(maps[1], (maps[0] + maps[2]) / 2)


def test_jackknife_variance_of_the_location_equals_its_variance_over_draws() -> None:
    # Each tile has a narrow range of intensities, so that the location is nearly the mean of 16 values. Its variance is that
    # of a mean, var / n, up to the trimming of quantiles.
    random = np.random.default_rng(0)
    estimates, jackknives = [], []
    for _ in range(200):
        tiles = np.stack(
            [
                np.bincount(random.integers(0, 8, 400) + shift, minlength=80)
                for shift in random.integers(20, 60, 16)
            ]
        )
        estimates.append(location_and_spread(tiles.sum(axis=0)[None])[0, 0])
        jackknives.append(jackknife_variance(tiles)[0])
    assert np.mean(jackknives) == pytest.approx(np.var(estimates), rel=0.35)


def test_variance_of_the_tissue_shrinks_the_correction_of_drift() -> None:
    # Each slice shows 16 patches of one of two stains: slices differ although the detector does not drift.
    random = np.random.default_rng(0)
    tiles = np.zeros((40, 16, 256), np.int64)
    for z in range(40):
        for k, centre in enumerate(random.choice([90, 150], 16)):
            tiles[z, k] = np.bincount(np.rint(random.normal(centre, 12, 2000)).astype(int), minlength=256)
    histograms = tiles.sum(axis=1)
    variances = np.stack([jackknife_variance(rows) for rows in tiles])
    free, shrunk = match_slices(histograms), match_slices(histograms, variances)
    away_free, away_shrunk = (m @ np.array([200, 1]) - 200 for m in (free, shrunk))
    assert np.abs(away_shrunk).mean() < 0.5 * np.abs(away_free).mean()


def test_mapped_histogram_keeps_its_sum_and_maps_its_mean() -> None:
    counts = np.zeros((1, 256), np.int64)
    counts[0, 100:140] = 25
    moved = map_histograms(counts, np.array([[0.5, 10.0]]), 0, 256)
    assert moved.sum() == pytest.approx(1000)
    # The mean 119.5 is mapped to 0.5 * 119.5 + 10.
    assert moved[0] @ np.arange(256) / 1000 == pytest.approx(69.75)


def _tail(normal: int, extra: int, at: float) -> np.ndarray:
    random = np.random.default_rng(0)
    values = np.concatenate([random.standard_normal(normal), random.normal(at, 0.3, extra)])
    return np.histogram(values, SQUARE_EDGES)[0]


def test_second_population_gives_candidates_and_a_normal_tail_none() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).standard_normal(1_000_000)
        assert not find_candidates(np.histogram(values, SQUARE_EDGES)[0], 5.0).found
    candidates = find_candidates(_tail(1_000_000, 60, 6.0), 5.0)
    assert candidates.found
    # Between the last values of the background, at 5 sigmas for a million, and the first of the population.
    assert 3.5 < candidates.contrast < 6.0
    assert LEVEL_EDGES[0] < candidates.contrast < LEVEL_EDGES[-1]


def test_exponential_tail_gives_no_candidates() -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).exponential(1.0, 2_000_000)
        assert not find_candidates(np.histogram(values, SQUARE_EDGES)[0], 5.0).found


def test_five_bright_squares_give_no_candidates() -> None:
    assert not find_candidates(_tail(1_000_000, 5, 9.0), 5.0).found


def test_background_excludes_particles_and_their_halo() -> None:
    scene = make_scene()
    parameters = NanoparticleParameters()
    found = collect_statistics(scene.image, SPACING_NM, parameters)
    assert found.candidates.found
    np.testing.assert_array_equal(
        found.histograms, [np.bincount(s.ravel(), minlength=256) for s in scene.image]
    )
    background = found.background_histograms
    assert np.all(background <= found.histograms)
    # The background keeps hardly any bright voxel, and most of the other voxels.
    assert background[:, 190:].sum() <= 1e-4 * found.histograms[:, 190:].sum()
    assert background.sum() > 0.4 * scene.image.size


def test_background_halo_is_in_nm_along_each_axis() -> None:
    image = np.random.default_rng(0).integers(100, 120, (9, 80, 80)).astype(np.uint8)
    image[4, 30:50, 30:50] = 230
    kept = {}
    for halo in (0.0, 100.0):
        parameters = NanoparticleParameters(background_halo_nm=halo, candidate_size_nm=50.0)
        kept[halo] = collect_statistics(image, SPACING_NM, parameters).background_histograms.sum(axis=1)
    assert np.all(kept[0.0][[2, 3, 5, 6]] == 6400)
    # 100 nm are two slices of 50 nm, and ten voxels of 10 nm in whole squares of 5 voxels.
    np.testing.assert_array_equal(kept[100.0][[1, 7]], 6400)
    np.testing.assert_array_equal(kept[100.0][[2, 3, 4, 5, 6]], 6400 - 40 * 40)


def test_statistics_do_not_depend_on_slabs_or_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene((12, 96, 96))
    parameters = NanoparticleParameters()
    whole = collect_statistics(scene.image, SPACING_NM, parameters, bad_slices=[3])
    monkeypatch.setattr(slice_statistics, "SLAB_SLICES", 5)
    with ThreadPoolExecutor(3) as executor:
        pieces = collect_statistics(
            scene.image, SPACING_NM, parameters, Execution(executor=executor, workers=3), bad_slices=[3]
        )
    np.testing.assert_array_equal(whole.by_level, pieces.by_level)
    np.testing.assert_array_equal(whole.squares, pieces.squares)
    assert whole.histograms[3].sum() == 0


def test_neighbour_with_a_higher_gain_makes_no_candidates() -> None:
    scene = make_scene((12, 160, 160), seed=4)
    steady = collect_statistics(scene.image, SPACING_NM, NanoparticleParameters())
    gains = np.where(np.arange(12) % 2, 0.75, 1.0)
    image = np.rint(scene.image * gains[:, None, None]).astype(np.uint8)
    flicker = collect_statistics(image, SPACING_NM, NanoparticleParameters())
    kept = [f.background_histograms.sum(axis=1) / 160**2 for f in (steady, flicker)]
    np.testing.assert_allclose(kept[0], kept[1], atol=0.03)


def test_each_slice_is_read_once() -> None:
    scene = make_scene((10, 64, 64))

    class Counting:
        shape, dtype = scene.image.shape, scene.image.dtype
        reads = np.zeros(10, int)

        def __getitem__(self, z: int) -> np.ndarray:
            self.reads[z] += 1
            return scene.image[z]

    source = Counting()
    collect_statistics(source, SPACING_NM, NanoparticleParameters())
    np.testing.assert_array_equal(source.reads, 1)


def test_dark_polarity_equals_bright_polarity_of_the_complement() -> None:
    scene = make_scene((8, 96, 96))
    bright = collect_statistics(scene.image, SPACING_NM, NanoparticleParameters())
    dark = collect_statistics(~scene.image, SPACING_NM, NanoparticleParameters(polarity="dark"))
    np.testing.assert_array_equal(bright.by_level, dark.by_level)


def test_float_images_and_blank_stacks_are_refused() -> None:
    with pytest.raises(ParameterError, match="uint8 or uint16 images, not in float32; convert"):
        collect_statistics(np.zeros((2, 8, 8), np.float32), SPACING_NM, NanoparticleParameters())
    with pytest.raises(ParameterError, match="none of the 2 slices can be used"):
        collect_statistics(np.full((2, 8, 8), 7, np.uint8), SPACING_NM, NanoparticleParameters())
