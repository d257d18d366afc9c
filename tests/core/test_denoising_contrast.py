"""Contrast of small objects: given back after a denoiser that lowered it, but not where noise explains the residual."""

import numpy as np
import pytest
from noisy_scenes import Image, correlated, independent
from scipy import ndimage

from spherovem_core.denoising import MeasuredNoise, NoiseModel, return_contrast
from spherovem_core.denoising.contrast import shared_power
from spherovem_core.denoising.noise_spectrum import noise_kernel

SHAPE = (1, 240, 260)
CONTRAST = 90.0
PLACES = [(y, x) for y in range(20, 240, 25) for x in range(20, 260, 25)]


def noise_of(deviation: float, width_x: float = 0.0) -> MeasuredNoise:
    """Describe noise of this deviation that a Gaussian of this width has smoothed along x."""
    kernel = np.ones((1, 1))
    if width_x:
        lags = np.fft.fftfreq(16) * 16
        kernel = noise_kernel(np.outer(lags == 0, np.exp(-np.square(lags) / (4 * width_x**2))))
    return MeasuredNoise(
        slices=(0,),
        variance=NoiseModel(constant=deviation**2, gain=0.0, floor=deviation**2 / 2),
        correlation={"y": [0.0] * 4, "x": [0.0] * 4},
        kernel=tuple(tuple(row) for row in kernel.tolist()),
        clipped_low=0.0,
        clipped_high=0.0,
        tissue=(-1e3, 1e3),
    )


def particles(diameter: float) -> Image:
    """Make anti-aliased discs of this diameter in pixels and this contrast."""
    y, x = np.indices(SHAPE[1:])
    image = np.full(SHAPE, 120.0)
    for row, column in PLACES:
        radius = np.hypot(y - row - 0.3, x - column + 0.2)
        image += CONTRAST * np.clip(diameter / 2 + 0.5 - radius, 0, 1)
    return image


def kept(image: np.ndarray, truth: Image) -> float:
    """Measure the fraction of the contrast that an image keeps at the pixels above half of it."""
    core = truth[0] > 120 + CONTRAST / 2
    return float((image[core] - 120).sum() / (truth[0][core] - 120).sum())


def lowered(truth: Image, factor: float) -> np.ndarray:
    """Return the truth with all contrasts lowered, and a little noise left over."""
    left = np.random.default_rng(9).standard_normal(SHAPE)
    return (120 + factor * (truth - 120) + ndimage.gaussian_filter(left, (0, 2, 2)) * 5)[0].astype(np.float32)


@pytest.mark.parametrize("diameter", [2.0, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("deviation", [6.0, 15.0])
def test_particles_of_two_pixels_and_more_keep_90_percent_of_their_contrast(
    diameter: float, deviation: float
) -> None:
    truth = particles(diameter)
    observed = independent(truth, deviation)[0].astype(np.float32)
    restored = return_contrast(lowered(truth, 0.7), observed, noise_of(deviation))
    # The discs of 2 pixels have 5 pixels: at a noise of 15 their contrast is known to 7 % each.
    least = 0.9 if diameter > 2 or deviation < 10 else 0.8
    assert least < kept(restored, truth) < 1.05


def test_correlated_noise_is_not_taken_for_contrast() -> None:
    truth = particles(3.0)
    observed = correlated(truth, 12.0, (0.0, 1.0))[0].astype(np.float32)
    noise = noise_of(12.0, 1.0)
    assert shared_power(noise, 1.0) > 1.5
    assert shared_power(noise_of(12.0), 1.0) == pytest.approx(1)
    restored = return_contrast(lowered(truth, 0.7), observed, noise)
    assert kept(restored, truth) > 0.85
    background = ndimage.binary_dilation(truth[0] > 121, iterations=10)
    added = (restored - lowered(truth, 0.7))[~background]
    assert np.std(added) < 0.05 * 12


def test_a_residual_of_noise_alone_changes_nothing_much() -> None:
    """Texture of sd 3 under noise of 15: the slope is known to a third, and is hardly used."""
    texture = 3 * ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(SHAPE), (0, 1, 1)) * 3.5
    truth = 120 + texture
    observed = independent(truth, 15.0)[0].astype(np.float32)
    restored = return_contrast(truth[0].astype(np.float32), observed, noise_of(15.0))
    error = np.mean(np.square(restored - truth[0]))
    assert error < 0.01 * 15**2


def test_a_contrast_that_is_right_stays() -> None:
    truth = particles(4.0)
    observed = independent(truth, 10.0)[0].astype(np.float32)
    restored = return_contrast(truth[0].astype(np.float32), observed, noise_of(10.0))
    assert kept(restored, truth) == pytest.approx(1, abs=0.04)


def test_bands_and_workers_give_the_same_bytes() -> None:
    truth = particles(3.0)
    observed = independent(truth, 10.0)[0].astype(np.float32)
    whole = return_contrast(lowered(truth, 0.7), observed, noise_of(10.0), band_rows=SHAPE[1])
    for workers in (1, 3):
        banded = return_contrast(lowered(truth, 0.7), observed, noise_of(10.0), workers, band_rows=61)
        # The centre that is subtracted first differs from band to band.
        np.testing.assert_allclose(banded, whole, atol=1e-3)
