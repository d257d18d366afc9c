"""Mixture of background and nanoparticles: fit, decision, posterior, storage."""

import json
from dataclasses import replace

import numpy as np
import pytest
from nanoparticle_scenes import SPACING_NM, make_scene
from scipy import stats

from spherovem_core.errors import MixtureError, ShapeMismatchError
from spherovem_core.nanoparticles import (
    Mixture,
    collect_statistics,
    fit_mixture,
    fit_statistics,
    posterior,
)
from spherovem_core.nanoparticles.distributions import (
    normal_pmf,
)
from spherovem_core.nanoparticles.intensity_tables import slice_table
from spherovem_core.parameters import NanoparticleParameters

PARAMETERS = NanoparticleParameters()


def test_fit_recovers_mean_and_spread_of_a_normal_population() -> None:
    random = np.random.default_rng(0)
    background = random.normal(120, 12, (4, 200_000))
    particles = random.normal(205, 9, (4, 2000))
    values = np.rint(np.concatenate([background, particles], axis=1)).astype(int)
    histograms = np.stack([np.bincount(row, minlength=256) for row in values])
    known = np.stack([np.bincount(np.rint(row).astype(int), minlength=256) for row in background])
    mixture = fit_mixture(histograms, known, PARAMETERS)
    assert mixture.detected
    assert mixture.converged
    # 8000 draws give the mean to 0.1; the prior of the edges widens this.
    assert mixture.particle_mean == pytest.approx(205, abs=1.0)
    assert mixture.particle_sd == pytest.approx(9, abs=1.5)
    np.testing.assert_allclose(mixture.weights, 2000 / 202_000, rtol=0.1)
    assert mixture.overlap < 0.03
    assert np.diff(mixture.log_likelihood).min() > -1e-12


def test_clipping_does_not_shift_the_fitted_mean() -> None:
    random = np.random.default_rng(1)
    background = np.rint(random.normal(120, 12, 400_000)).astype(int)
    particles = np.rint(np.minimum(random.normal(245, 12, 20_000), 255)).astype(int)
    known = np.bincount(background, minlength=256)[None]
    mixture = fit_mixture(known + np.bincount(particles, minlength=256), known, PARAMETERS)
    # A fifth of the particles is clipped to 255, which lowers the plain mean to 244.
    assert mixture.particle_mean == pytest.approx(245, abs=1.5)
    assert mixture.particle_sd == pytest.approx(12, abs=2)


def test_clipping_at_different_gains_does_not_change_the_fitted_spread() -> None:
    random = np.random.default_rng(3)
    gains = np.array([0.85, 0.95, 1.0, 1.05, 1.15, 1.25])
    known, histograms = [], []
    for gain in gains:
        tissue, particles = random.normal(120, 12, 300_000), random.normal(218, 12, 6000)
        values = [np.clip(np.rint(gain * group), 0, 255).astype(int) for group in (tissue, particles)]
        counts = [np.bincount(group, minlength=256) for group in values]
        known.append(counts[0])
        histograms.append(counts[0] + counts[1])
    mixture = fit_mixture(np.stack(histograms), np.stack(known), PARAMETERS)
    # In the last two slices 38 % and 88 % of the particles are at 255.
    clipped = [row[255] / 6000 for row in histograms]
    np.testing.assert_allclose(clipped[4:], stats.norm.sf(254.5 / gains[4:], 218, 12), atol=0.02)
    scale = mixture.maps[:, 0] * gains
    # The scale of the stack is that of the tissue times the median gain.
    np.testing.assert_allclose(scale, scale.mean(), rtol=0.01)
    assert mixture.particle_mean == pytest.approx(scale.mean() * 218 + mixture.maps[:, 1].mean(), abs=1.5)
    assert mixture.particle_sd == pytest.approx(scale.mean() * 12, abs=1.5)
    np.testing.assert_allclose(mixture.weights, 6000 / 306_000, rtol=0.05)


def test_posterior_of_the_last_intensity_includes_all_intensities_above() -> None:
    bins = np.arange(256)
    background, particles = normal_pmf(120, 30, 400), normal_pmf(260, 25, 400)
    mixture = Mixture(
        polarity="bright",
        dtype="uint8",
        detected=True,
        reason="made by hand",
        levels=np.arange(400.0),
        background=background,
        particles=particles,
        edge=particles,
        edge_ratio=0.0,
        background_ratio=1.0,
        weights=np.full(2, 0.02),
        weight=0.02,
        maps=np.array([[1.0, 0.0], [0.75, 10.0]]),
        background_mean=120.0,
        particle_mean=260.0,
        particle_sd=25.0,
        overlap=0.1,
        separation=1.0,
    )
    for z, (gain, offset) in enumerate(mixture.maps):
        table = slice_table(mixture, z).posterior
        start = gain * 254.5 + offset
        beyond = 0.02 * stats.norm.sf(start, 260, 25), 0.98 * stats.norm.sf(start, 120, 30)
        # Tolerance: bins of the stack's scale are 1 wide, and their probability is spread evenly.
        assert table[255] == pytest.approx(beyond[0] / sum(beyond), abs=0.002)
        at = gain * bins[200] + offset
        here = 0.02 * stats.norm.pdf(at, 260, 25), 0.98 * stats.norm.pdf(at, 120, 30)
        assert table[200] == pytest.approx(here[0] / sum(here), abs=0.002)


def test_single_population_gives_no_detection() -> None:
    histogram = np.bincount(
        np.rint(np.random.default_rng(0).normal(120, 15, 100_000)).astype(int), minlength=256
    )
    mixture = fit_mixture(np.stack([histogram] * 3), np.stack([histogram] * 3), PARAMETERS)
    assert not mixture.detected
    assert "nothing bright stands out" in mixture.reason
    assert not posterior(np.full((4, 4), 250, np.uint8), mixture, 1).any()


def test_component_that_only_widens_the_background_is_rejected() -> None:
    random = np.random.default_rng(0)
    wide = np.bincount(np.rint(random.normal(125, 20, 400_000)).astype(int), minlength=256)
    narrow = np.bincount(np.rint(random.normal(120, 18, 400_000)).astype(int), minlength=256)
    mixture = fit_mixture(wide[None], narrow, PARAMETERS)
    assert not mixture.detected
    assert "lies under the background" in mixture.reason or "do not beat one" in mixture.reason
    assert not posterior(np.full((4, 4), 250, np.uint8), mixture, 0).any()


def test_overlap_above_max_overlap_gives_no_detection() -> None:
    scene = make_scene((6, 96, 96))
    found = collect_statistics(scene.image, SPACING_NM, PARAMETERS)
    mixture = fit_statistics(found, PARAMETERS)
    assert mixture.detected
    strict = PARAMETERS.model_copy(update={"max_overlap": mixture.overlap / 2})
    assert not fit_statistics(found, strict).detected


def test_weights_follow_the_slices_and_a_strong_prior_makes_them_equal() -> None:
    scene = make_scene(fraction=0.03)
    found = collect_statistics(scene.image, SPACING_NM, PARAMETERS)
    truth = scene.truth.mean(axis=(1, 2))
    free = fit_statistics(found, PARAMETERS.model_copy(update={"prior_strength": 0.0}))
    np.testing.assert_allclose(free.weights, truth, atol=0.004)
    tied = fit_statistics(found, PARAMETERS.model_copy(update={"prior_strength": 1e9}))
    # Without a prior a slice without particles has weight 0. With a strong prior it has the stack's fraction of its bright
    # undecided voxels.
    empty = int(truth.argmin())
    assert truth[empty] == 0
    assert free.weights[empty] < 1e-5
    assert tied.weights[empty] > 1e-3


def test_posterior_is_calibrated_under_drift() -> None:
    scene = make_scene((24, 256, 256), gain_drift=0.1, noise=12.0, seed=5, grey=(185.0, 6.0))
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    chance = posterior(scene.image, mixture, 0)
    decile = np.digitize(chance, np.arange(0.1, 1, 0.1))
    for k in range(10):
        inside = decile == k
        if inside.sum() > 500:
            assert scene.truth[inside].mean() == pytest.approx(chance[inside].mean(), abs=0.06)


def test_posterior_rises_with_intensity_and_is_mirrored_for_dark_particles() -> None:
    scene = make_scene((6, 96, 96))
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    table = slice_table(mixture, 2).posterior
    assert np.all(np.diff(table) >= 0)
    assert table[0] == 0
    assert table[-1] > 0.99
    inverted = NanoparticleParameters(polarity="dark")
    dark = fit_statistics(collect_statistics(~scene.image, SPACING_NM, inverted), inverted)
    np.testing.assert_allclose(slice_table(dark, 2).posterior, table[::-1])


def test_posterior_of_several_slices_equals_that_of_each() -> None:
    scene = make_scene((6, 64, 64), gain_drift=0.1)
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    part = posterior(scene.image[2:5], mixture, 2)
    assert part.dtype == np.float32
    for k in range(3):
        np.testing.assert_array_equal(part[k], posterior(scene.image[2 + k], mixture, 2 + k))


def test_16_bit_image_keeps_a_range_of_400_intensities() -> None:
    scene = make_scene((8, 128, 128))
    # 400 of 65536 intensities: converted to 8 bits by the whole range, they would be two values.
    image = (3000 + 1.5 * scene.image.astype(float)).round().astype(np.uint16)
    mixture = fit_statistics(collect_statistics(image, SPACING_NM, PARAMETERS), PARAMETERS)
    assert mixture.dtype == "uint16"
    assert mixture.particle_mean == pytest.approx(3000 + 1.5 * 215, abs=8)
    found = posterior(image, mixture, 0) > 0.5
    eight = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    assert (found != (posterior(scene.image, eight, 0) > 0.5)).mean() < 0.003


def test_bad_slice_has_the_weight_of_the_stack_and_the_mean_map_of_its_neighbours() -> None:
    scene = make_scene((8, 96, 96))
    spoiled = scene.image.copy()
    spoiled[3] = np.random.default_rng(0).integers(0, 256, spoiled[3].shape)
    found = collect_statistics(spoiled, SPACING_NM, PARAMETERS, bad_slices=[3])
    mixture = fit_statistics(found, PARAMETERS)
    assert mixture.weights[3] == mixture.weight
    np.testing.assert_allclose(mixture.maps[3], (mixture.maps[2] + mixture.maps[4]) / 2)


def test_json_restores_every_digit() -> None:
    scene = make_scene((4, 64, 64))
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    for original in (mixture, replace(mixture, detected=False, reason="other")):
        again = Mixture.from_json(original.to_json())
        assert again.to_json() == original.to_json()
        np.testing.assert_array_equal(again.maps, original.maps)
        np.testing.assert_array_equal(posterior(scene.image, again, 0), posterior(scene.image, original, 0))


def test_damaged_or_newer_file_is_refused_with_the_remedy() -> None:
    with pytest.raises(MixtureError, match=r"delete models/mixture\.json"):
        Mixture.from_json('{"format": 1')
    with pytest.raises(MixtureError, match=r"delete models/mixture\.json"):
        Mixture.from_json(json.dumps({"format": 1, "weights": []}))
    scene = make_scene((4, 64, 64))
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    other = json.loads(mixture.to_json()) | {"format": 99}
    with pytest.raises(MixtureError, match="format 99, expected 1; run the acquisition again"):
        Mixture.from_json(json.dumps(other))


def test_painted_value_is_refused_with_the_remedy() -> None:
    random = np.random.default_rng(0)
    known = np.bincount(np.rint(random.normal(120, 15, 100_000)).astype(int), minlength=256)[None]
    histograms = known.copy()
    histograms[0, 230] += 3000
    with pytest.raises(MixtureError, match=r"single intensity 230: is it a scale bar.*Crop it"):
        fit_mixture(histograms, known, PARAMETERS)


def test_histograms_of_other_shapes_are_refused() -> None:
    histograms = np.ones((3, 256), np.int64)
    with pytest.raises(ShapeMismatchError, match=r"expected \(slices, 256\)"):
        fit_mixture(histograms[0], histograms[0], PARAMETERS)
    with pytest.raises(ShapeMismatchError, match=r"background histogram has shape \(2, 256\)"):
        fit_mixture(histograms, histograms[:2], PARAMETERS)
    with pytest.raises(ShapeMismatchError, match="counts more voxels than its histogram"):
        fit_mixture(histograms, 2 * histograms, PARAMETERS)
    with pytest.raises(MixtureError, match="lower background_halo_nm"):
        fit_mixture(histograms, np.zeros_like(histograms), PARAMETERS)


def test_image_of_another_type_or_slice_is_refused() -> None:
    scene = make_scene((4, 64, 64))
    mixture = fit_statistics(collect_statistics(scene.image, SPACING_NM, PARAMETERS), PARAMETERS)
    with pytest.raises(ShapeMismatchError, match="the image is uint16, the mixture was fitted to uint8"):
        posterior(scene.image.astype(np.uint16), mixture, 0)
    with pytest.raises(ShapeMismatchError, match=r"expected \(Y, X\) or \(Z, Y, X\)"):
        posterior(scene.image[None], mixture, 0)
    with pytest.raises(MixtureError, match="slice 4 is not one of the mixture's 4"):
        posterior(scene.image[0], mixture, 4)
