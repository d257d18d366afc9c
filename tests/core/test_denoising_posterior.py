"""Prediction and measurement combined: against the closed form, and on scenes whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.denoising import NoiseModel, posterior_mean
from spherovem_core.denoising import posterior as module

SHAPE = (320, 352)
VARIANCE = 36.0
NOISE = NoiseModel(constant=VARIANCE, gain=0.0, floor=1.0)


def normal(seed: int, std: float = 1.0) -> np.ndarray:
    return (std * np.random.default_rng(seed).standard_normal(SHAPE)).astype(np.float32)


def mse(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(np.square(image.astype(np.float64) - truth)))


@pytest.mark.parametrize("error", [4.0, 36.0, 144.0])
def test_of_two_independent_errors_the_harmonic_mean_remains(error: float) -> None:
    """Variances v and w leave v w / (v + w); the error of the prediction is not told but found."""
    truth = np.full(SHAPE, 120, np.float32)
    predicted = truth + normal(1, np.sqrt(error))
    combined = posterior_mean(predicted, truth + normal(2, np.sqrt(VARIANCE)), NOISE)
    best = error * VARIANCE / (error + VARIANCE)
    # 78 pixels tell the residual's mean square to 16 %: that costs up to 2 % of the noise's variance.
    assert 0.97 * best < mse(combined, truth) < best + 0.02 * VARIANCE


def constant() -> tuple[np.ndarray, np.ndarray]:
    """A flat scene, predicted to within one grey value."""
    truth = np.full(SHAPE, 120, np.float32)
    return truth, truth + normal(3)


def edge() -> tuple[np.ndarray, np.ndarray]:
    """A step of 80 grey values, slanted, that the prediction blurs."""
    y, x = np.indices(SHAPE)
    truth = (80 + 80 * (x + 0.3 * y > 230)).astype(np.float32)
    return truth, ndimage.gaussian_filter(truth, 1.5) + normal(3)


def texture() -> tuple[np.ndarray, np.ndarray]:
    """Stripes of period 5 on the right half, which the prediction lacks."""
    x = np.arange(SHAPE[1])
    stripes = 12 * np.sin(2 * np.pi * x / 5) * (x > SHAPE[1] // 2)
    truth = (120 + stripes * np.ones((SHAPE[0], 1))).astype(np.float32)
    return truth, np.full(SHAPE, 120, np.float32) + normal(3)


Scene = Callable[[], tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("scene", [constant, edge, texture])
def test_the_better_of_both_is_never_left_behind_by_more_than_2_percent_of_the_noise(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    assert mse(combined, truth) < min(mse(predicted, truth), mse(observed, truth)) + 0.02 * VARIANCE


@pytest.mark.parametrize("scene", [edge, texture])
def test_where_the_prediction_is_good_in_places_both_together_beat_the_better_one(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    # Flat parts lose their noise and the rest keeps the measurement: by 2 dB and more.
    assert mse(combined, truth) < 0.63 * min(mse(predicted, truth), mse(observed, truth))


@pytest.mark.parametrize("scene", [edge, texture])
def test_where_the_prediction_fails_the_measurement_stays(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    failed = ndimage.uniform_filter(np.square(predicted - truth), 5) > 4 * VARIANCE
    if scene is texture:
        failed = np.zeros(SHAPE, bool)
        failed[:, SHAPE[1] // 2 + 8 :] = True
    assert mse(combined[failed], truth[failed]) < 1.05 * mse(observed[failed], truth[failed])


def test_a_slow_error_of_the_prediction_is_found_through_the_noise() -> None:
    """A wave of 3 grey values under noise of 6: a mean of 50 pixels knows it to 0.85, a pixel alone does not."""
    truth = np.full(SHAPE, 120, np.float32)
    wave = 3 * np.sin(2 * np.pi * np.arange(SHAPE[1]) / 60) * np.ones((SHAPE[0], 1))
    predicted = (truth + wave).astype(np.float32)
    combined = posterior_mean(predicted, truth + normal(6, 6), NOISE)
    assert mse(predicted, truth) == pytest.approx(4.5, rel=0.05)
    assert mse(combined, truth) < 0.33 * mse(predicted, truth)


def test_a_variance_that_grows_with_the_signal_is_followed() -> None:
    """Equal residuals: where the noise explains them the prediction counts, elsewhere the measurement."""
    predicted = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 50, 200) * np.ones(SHAPE, np.float32)
    predicted = predicted.astype(np.float32)
    observed = predicted + normal(5, 10)
    combined = posterior_mean(predicted, observed, NoiseModel(constant=0.0, gain=0.5, floor=1.0))
    moved = (combined - predicted) / (observed - predicted)
    # Mean squares of 100 against variances of 25 and 100.
    assert np.median(moved[:, :150]) == pytest.approx(0.75, abs=0.03)
    assert np.median(moved[:, 200:]) < 0.12


def test_rows_taken_in_pieces_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = texture()
    observed = truth + normal(4, 6)
    whole = posterior_mean(predicted, observed, NOISE)
    monkeypatch.setattr(module, "_ROWS", 37)
    for workers in (1, 3):
        np.testing.assert_array_equal(posterior_mean(predicted, observed, NOISE, workers), whole)


def test_nothing_measured_nothing_changed() -> None:
    plane = np.full(SHAPE, 90, np.float32)
    np.testing.assert_array_equal(posterior_mean(plane, plane, NOISE), plane)
