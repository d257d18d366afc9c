"""Posterior mean of prediction and measurement: against theory, and on scenes with known truth."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from spherovem_core.denoising import NoiseModel, posterior_mean

SHAPE = (320, 352)
VARIANCE = 36.0
NOISE = NoiseModel(constant=VARIANCE, gain=0.0, floor=1.0)


def normal(seed: int, std: float = 1.0) -> np.ndarray:
    return (std * np.random.default_rng(seed).standard_normal(SHAPE)).astype(np.float32)


def mse(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(np.square(image.astype(np.float64) - truth)))


@pytest.mark.parametrize("error", [4.0, 36.0, 144.0])
def test_independent_errors_combine_to_the_variance_of_theory(error: float) -> None:
    """Variances v and w combine to v w / (v + w); the error of the prediction is estimated, not given."""
    truth = np.full(SHAPE, 120, np.float32)
    predicted = truth + normal(1, np.sqrt(error))
    combined = posterior_mean(predicted, truth + normal(2, np.sqrt(VARIANCE)), NOISE)
    best = error * VARIANCE / (error + VARIANCE)
    # 78 pixels give the mean square of the residual to 16 %, which costs up to 2 % of the noise variance.
    assert 0.97 * best < mse(combined, truth) < best + 0.02 * VARIANCE


def constant() -> tuple[np.ndarray, np.ndarray]:
    """Make a flat scene, predicted to within one grey value."""
    truth = np.full(SHAPE, 120, np.float32)
    return truth, truth + normal(3)


def edge() -> tuple[np.ndarray, np.ndarray]:
    """Make a slanted step of 80 grey values, which the prediction blurs."""
    y, x = np.indices(SHAPE)
    truth = (80 + 80 * (x + 0.3 * y > 230)).astype(np.float32)
    return truth, ndimage.gaussian_filter(truth, 1.5) + normal(3)


def texture() -> tuple[np.ndarray, np.ndarray]:
    """Make stripes of period 5 on the right half, which the prediction lacks."""
    x = np.arange(SHAPE[1])
    stripes = 12 * np.sin(2 * np.pi * x / 5) * (x > SHAPE[1] // 2)
    truth = (120 + stripes * np.ones((SHAPE[0], 1))).astype(np.float32)
    return truth, np.full(SHAPE, 120, np.float32) + normal(3)


Scene = Callable[[], tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("scene", [constant, edge, texture])
def test_the_result_is_at_most_2_percent_of_the_noise_worse_than_the_better_input(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    assert mse(combined, truth) < min(mse(predicted, truth), mse(observed, truth)) + 0.02 * VARIANCE


@pytest.mark.parametrize("scene", [edge, texture])
def test_the_result_beats_both_inputs_if_the_prediction_is_good_in_places(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    # Flat parts lose their noise and the rest keeps the measurement: 2 dB or more in all.
    assert mse(combined, truth) < 0.63 * min(mse(predicted, truth), mse(observed, truth))


@pytest.mark.parametrize("scene", [edge, texture])
def test_the_measurement_is_kept_where_the_prediction_fails(scene: Scene) -> None:
    truth, predicted = scene()
    observed = truth + normal(4, np.sqrt(VARIANCE))
    combined = posterior_mean(predicted, observed, NOISE)
    failed = ndimage.uniform_filter(np.square(predicted - truth), 5) > 4 * VARIANCE
    if scene is texture:
        failed = np.zeros(SHAPE, bool)
        failed[:, SHAPE[1] // 2 + 8 :] = True
    assert mse(combined[failed], truth[failed]) < 1.05 * mse(observed[failed], truth[failed])


def test_a_slow_error_smaller_than_the_noise_is_corrected() -> None:
    """A wave of 3 grey values under noise of 6: the mean of 50 pixels is precise to 0.85."""
    truth = np.full(SHAPE, 120, np.float32)
    wave = 3 * np.sin(2 * np.pi * np.arange(SHAPE[1]) / 60) * np.ones((SHAPE[0], 1))
    predicted = (truth + wave).astype(np.float32)
    combined = posterior_mean(predicted, truth + normal(6, 6), NOISE)
    assert mse(predicted, truth) == pytest.approx(4.5, rel=0.05)
    assert mse(combined, truth) < 0.33 * mse(predicted, truth)


def test_a_variance_that_grows_with_the_signal_is_used() -> None:
    """Of equal residuals, the prediction is kept where the noise explains them, the measurement elsewhere."""
    predicted = np.where(np.arange(SHAPE[1]) < SHAPE[1] // 2, 50, 200) * np.ones(SHAPE, np.float32)
    predicted = predicted.astype(np.float32)
    observed = predicted + normal(5, 10)
    combined = posterior_mean(predicted, observed, NoiseModel(constant=0.0, gain=0.5, floor=1.0))
    moved = (combined - predicted) / (observed - predicted)
    # Mean squares of 100 against variances of 25 and 100.
    assert np.median(moved[:, :150]) == pytest.approx(0.75, abs=0.03)
    assert np.median(moved[:, 200:]) < 0.12


def test_bands_of_rows_give_the_same_bytes() -> None:
    truth, predicted = texture()
    observed = truth + normal(4, 6)
    whole = posterior_mean(predicted, observed, NOISE, band_rows=SHAPE[0])
    for workers in (1, 3):
        in_bands = posterior_mean(predicted, observed, NOISE, workers, band_rows=37)
        np.testing.assert_array_equal(in_bands, whole)


def test_a_residual_of_zero_keeps_the_prediction() -> None:
    plane = np.full(SHAPE, 90, np.float32)
    np.testing.assert_array_equal(posterior_mean(plane, plane, NOISE), plane)
