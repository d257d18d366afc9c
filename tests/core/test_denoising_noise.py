"""Noise variance as a function of grey value, on images with known noise."""

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.denoising import NoiseModel, fit_noise

SHAPE = (384, 512)
READ, GAIN = 5.0, 0.4


def clean() -> np.ndarray:
    """Make grey values of 40 to 200 that rise along x, with blobs on the upper third."""
    rng = np.random.default_rng(11)
    ramp = np.linspace(40.0, 200.0, SHAPE[1])[np.newaxis] * np.ones((SHAPE[0], 1))
    blobs = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.0)
    ramp[: SHAPE[0] // 3] += 15 * (blobs / blobs.std())[: SHAPE[0] // 3]
    return np.clip(ramp, 5, 250)


def photons(signal: np.ndarray, seed: int = 4) -> np.ndarray:
    """Add Poisson noise of GAIN grey values per count and Gaussian read noise: the variance is READ² + GAIN times the signal."""
    rng = np.random.default_rng(seed)
    return GAIN * rng.poisson(signal / GAIN) + READ * rng.standard_normal(signal.shape)


def true_variance(signal: np.ndarray) -> np.ndarray:
    return READ**2 + GAIN * signal


LEVELS = np.array([60.0, 100.0, 140.0, 180.0], np.float32)


def test_poisson_and_gaussian_noise_are_recovered() -> None:
    signal = clean()
    pairs = [(photons(signal, seed), signal.astype(np.float32)) for seed in (4, 5)]
    found = fit_noise(pairs)
    # A bin averages 40 independent squares of 80 degrees of freedom: 2.5 % error; the line through twelve bins has less.
    np.testing.assert_allclose(found.variance(LEVELS), true_variance(LEVELS), rtol=0.04)
    assert found.gain == pytest.approx(GAIN, rel=0.1)


def test_a_smoothed_prediction_changes_the_variance_by_less_than_6_percent() -> None:
    signal = clean()
    predicted = ndimage.gaussian_filter(signal, 1.0).astype(np.float32)
    found = fit_noise([(photons(signal), predicted)])
    np.testing.assert_allclose(found.variance(LEVELS), true_variance(LEVELS), rtol=0.06)


def test_noise_shared_by_neighbours_keeps_its_variance() -> None:
    """A moving average of two pixels along x; differences between neighbours would give half the variance."""
    signal = clean()
    noise = photons(signal) - signal
    shared = (noise[:, 1:] + noise[:, :-1]) / np.sqrt(2)
    found = fit_noise([(signal[:, 1:] + shared, signal[:, 1:].astype(np.float32))])
    np.testing.assert_allclose(found.variance(LEVELS), true_variance(LEVELS), rtol=0.08)


def test_the_line_falls_with_inverted_contrast() -> None:
    signal = clean()
    found = fit_noise([(255 - photons(signal), (255 - signal).astype(np.float32))])
    assert found.gain == pytest.approx(-GAIN, rel=0.1)
    np.testing.assert_allclose(found.variance(255 - LEVELS), true_variance(LEVELS), rtol=0.06)


def test_padding_does_not_count_as_noise_free() -> None:
    signal = clean()
    observed = photons(signal)
    observed[:, :90] = signal[:, :90] = 0
    found = fit_noise([(observed, signal.astype(np.float32))])
    np.testing.assert_allclose(found.variance(LEVELS[1:]), true_variance(LEVELS[1:]), rtol=0.06)


def test_the_variance_is_above_zero_without_noise() -> None:
    plane = np.full((40, 52), 7.0, np.float32)
    found = fit_noise([(plane, plane)])
    assert 0 < found.variance(plane).max() < 1e-5


def test_a_slice_smaller_than_a_square_is_fitted() -> None:
    noise = 6 * np.random.default_rng(1).standard_normal((12, 12))
    found = fit_noise([(100 + noise, np.full((12, 12), 100, np.float32))])
    # 144 pixels; squares at the border contain mirrored pixels.
    assert found.variance(np.float32([100]))[0] == pytest.approx(36, rel=0.35)


def test_the_variance_has_a_lower_limit() -> None:
    model = NoiseModel(constant=-50.0, gain=1.0, floor=4.0)
    assert model.variance(np.array([10.0, 60.0], np.float32)).tolist() == [4.0, 10.0]
