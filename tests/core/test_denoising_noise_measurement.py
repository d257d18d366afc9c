"""Noise measured on raw slices, on kind images and on textured tissue with membranes."""

from collections.abc import Callable

import numpy as np
import pytest
from noisy_scenes import Image, as_uint8, correlated, flat_tissue, independent, photons, textured_tissue
from scipy import ndimage

from spherovem_core.denoising import MeasuredNoise, measure_noise
from spherovem_core.denoising.noise_measurement import fit_variance
from spherovem_core.denoising.noise_spectrum import SIDE, noise_autocovariance
from spherovem_core.errors import ParameterError

LEVELS = np.array([100.0, 125.0, 150.0], np.float32)
SCENES = pytest.mark.parametrize("scene", [flat_tissue, textured_tissue])
Scene = Callable[[], Image]


def deviations(noise: MeasuredNoise) -> np.ndarray:
    return np.sqrt(noise.variance.variance(LEVELS))


@SCENES
@pytest.mark.parametrize("deviation", [6.0, 15.0, 25.0])
def test_independent_noise_is_measured_to_6_percent_and_found_independent(
    scene: Scene, deviation: float
) -> None:
    noise = measure_noise(as_uint8(independent(scene(), deviation)))
    np.testing.assert_allclose(deviations(noise), deviation, rtol=0.06)
    assert noise.independent
    assert noise.kernel == ((1.0,),)


@SCENES
@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0])
def test_the_variance_of_poisson_noise_follows_the_signal(scene: Scene, gain: float) -> None:
    noise = measure_noise(as_uint8(photons(scene(), gain)))
    np.testing.assert_allclose(deviations(noise), np.sqrt(gain * LEVELS), rtol=0.08)
    assert noise.variance.gain == pytest.approx(gain, rel=0.25)
    assert noise.independent


@SCENES
@pytest.mark.parametrize(
    ("widths", "axis", "other"), [((0.0, 1.0), "x", "y"), ((1.0, 0.0), "y", "x")], ids=["x", "y"]
)
def test_the_correlation_along_one_axis_is_that_of_theory(
    scene: Scene, widths: tuple[float, float], axis: str, other: str
) -> None:
    noise = measure_noise(as_uint8(correlated(scene(), 12.0, widths)))
    expected = np.exp(-np.square([1.0, 2.0, 3.0]) / 4)
    np.testing.assert_allclose(noise.correlation[axis][:3], expected, atol=0.08)
    np.testing.assert_allclose(noise.correlation[other], 0, atol=0.1)
    np.testing.assert_allclose(deviations(noise), 12, rtol=0.12)


@SCENES
def test_the_correlation_along_both_axes_is_that_of_theory(scene: Scene) -> None:
    noise = measure_noise(as_uint8(correlated(scene(), 12.0, (0.7, 0.7))))
    expected = np.exp(-1 / (4 * 0.7**2))
    for axis in "yx":
        assert noise.correlation[axis][0] == pytest.approx(expected, abs=0.12)
    np.testing.assert_allclose(deviations(noise), 12, rtol=0.15)


def test_the_kernel_makes_noise_of_the_measured_correlation() -> None:
    noise = measure_noise(as_uint8(correlated(flat_tissue(), 12.0, (0.0, 1.0))))
    kernel = noise.kernel_array
    assert np.square(kernel).sum() == pytest.approx(1, abs=1e-3)
    made = ndimage.convolve(np.random.default_rng(0).standard_normal((600, 600)), kernel, mode="wrap")
    lags = [np.mean(made * np.roll(made, lag, 1)) / made.var() for lag in (1, 2, 3)]
    np.testing.assert_allclose(lags, noise.correlation["x"][:3], atol=0.05)


def test_the_law_scales_with_the_bit_depth() -> None:
    eight = as_uint8(photons(textured_tissue(), 1.0))
    small, large = measure_noise(eight), measure_noise(eight.astype(np.uint16) * 200)
    np.testing.assert_allclose(
        large.variance.variance(200 * LEVELS), 200**2 * small.variance.variance(LEVELS), rtol=1e-3
    )
    assert large.tissue == pytest.approx([200 * end for end in small.tissue])


def test_clipping_is_measured_and_clipped_squares_do_not_count() -> None:
    signal = flat_tissue()
    signal[:, :100] = 250
    noise = measure_noise(as_uint8(independent(signal, 15.0)))
    # 250 plus noise of 15 exceeds 254.5 in 38 % of 26 % of the pixels.
    assert noise.clipped_high == pytest.approx(0.38 * 100 / 384, abs=0.01)
    assert noise.clipped_low == 0
    np.testing.assert_allclose(deviations(noise), 15, rtol=0.06)


def test_padding_does_not_count_as_noise_free() -> None:
    image = as_uint8(independent(flat_tissue(), 15.0))
    image[:, :, :150] = 0
    np.testing.assert_allclose(deviations(measure_noise(image)), 15, rtol=0.06)


def test_a_few_very_bright_particles_lie_outside_the_range_of_the_tissue() -> None:
    image = (100 * independent(textured_tissue(), 10.0)).astype(np.uint16)
    plain = measure_noise(image)
    image[:, 50:54, 50:54] = 60_000
    noise = measure_noise(image)
    assert noise.tissue[1] < 40_000
    np.testing.assert_allclose(deviations(noise.scaled(1e-4)), deviations(plain.scaled(1e-4)), rtol=0.02)


def test_the_measurement_is_deterministic_and_ignores_bad_slices() -> None:
    image = as_uint8(independent(flat_tissue((8, 96, 96)), 10.0))
    spoilt = image.copy()
    spoilt[2] = 255
    assert measure_noise(image) == measure_noise(image.copy())
    assert measure_noise(spoilt, bad_slices=[2]) == measure_noise(image, bad_slices=[2])
    with pytest.raises(ParameterError, match="none of the stack's 8 slices is good"):
        measure_noise(image, bad_slices=range(8))


@pytest.mark.parametrize("shape", [(3, 12, 40), (2, 16, 16)])
def test_small_slices_are_measured(shape: tuple[int, int, int]) -> None:
    noise = measure_noise(as_uint8(independent(np.full(shape, 120.0), 10.0)))
    # A single square of 256 pixels gives the deviation to about 10 %; mirrored pixels double the error.
    np.testing.assert_allclose(deviations(noise), 10, rtol=0.4)


def test_an_image_without_noise_has_the_variance_of_rounding_at_most() -> None:
    noise = measure_noise(np.full((3, 64, 64), 120, np.uint8))
    assert 0 < noise.variance.variance(LEVELS).max() < 1 / 12


def test_bins_above_the_line_count_less_than_those_below() -> None:
    levels = np.linspace(50, 200, 10)
    variances = 20 + 0.5 * levels
    spoilt = variances.copy()
    spoilt[[2, 7]] *= 2
    law = fit_variance(levels, spoilt)
    np.testing.assert_allclose(law.variance(levels.astype(np.float32)), variances, rtol=0.12)


def test_a_slope_by_chance_is_not_carried_on_to_the_grey_values_of_particles() -> None:
    levels = np.linspace(110, 140, 10)
    variances = 144 * (1 + 0.1 * np.random.default_rng(2).standard_normal(10))
    law = fit_variance(levels, variances)
    assert law.gain == 0
    assert law.constant == pytest.approx(144, rel=0.1)


def test_correlation_that_rises_with_the_lag_is_texture() -> None:
    def found(*lags: float) -> list[float]:
        along_y = np.zeros(SIDE)
        along_y[0] = 1
        along_y[1 : len(lags) + 1] = along_y[-1 : -len(lags) - 1 : -1] = lags
        spectrum = np.repeat(np.fft.fft(along_y).real[:, np.newaxis], SIDE, axis=1)
        covariance = noise_autocovariance(spectrum)
        return [float(covariance[lag, 0] / covariance[0, 0]) for lag in range(1, len(lags) + 1)]

    assert found(0.1, 0.15, 0.18, 0.1) == [0, 0, 0, 0]
    assert np.all(np.diff([1, *found(0.6, 0.35, 0.15)]) < 0)
    assert found(0.6, 0.35, 0.15)[0] == pytest.approx(0.6, abs=0.05)
