"""Small objects that a denoiser removed: given back where the residual shows them, and nothing else changes."""

import numpy as np
import pytest
from noisy_scenes import correlated, independent
from scipy import ndimage
from test_denoising_contrast import SHAPE, kept, noise_of, particles

from spherovem_core.denoising import return_contrast
from spherovem_core.denoising.lost_objects import return_lost_objects

FLAT = np.full(SHAPE, 120.0)


@pytest.mark.parametrize("diameter", [2.0, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("deviation", [6.0, 15.0])
def test_particles_that_were_removed_come_back_with_90_percent_of_their_contrast(
    diameter: float, deviation: float
) -> None:
    observed = independent(particles(diameter), deviation)[0].astype(np.float32)
    returned = return_lost_objects(FLAT[0].astype(np.float32), observed, noise_of(deviation))
    # Discs of 2 pixels are as fine as the smoothing; the regression on the returned shape adds what is missing.
    assert kept(returned, particles(diameter)) > (0.85 if diameter > 2 else 0.7)
    restored = return_contrast(returned, observed, noise_of(deviation))
    assert 0.9 < kept(restored, particles(diameter)) < 1.08


@pytest.mark.parametrize("diameter", [3.0, 4.0, 6.0])
def test_particles_that_a_wide_gaussian_blurred_get_their_contrast_back(diameter: float) -> None:
    truth = particles(diameter)
    observed = independent(truth, 10.0)[0].astype(np.float32)
    blurred = ndimage.gaussian_filter(observed, 1.4)
    before = kept(return_contrast(blurred, observed, noise_of(10.0)), truth)
    returned = return_lost_objects(blurred, observed, noise_of(10.0))
    after = kept(return_contrast(returned, observed, noise_of(10.0)), truth)
    assert after > max(0.9, before)


@pytest.mark.parametrize("deviation", [6.0, 25.0])
def test_noise_alone_is_not_given_back(deviation: float) -> None:
    observed = independent(FLAT, deviation)[0].astype(np.float32)
    returned = return_lost_objects(FLAT[0].astype(np.float32), observed, noise_of(deviation))
    assert np.mean(np.square(returned - 120)) < 0.004 * deviation**2


def test_correlated_noise_is_not_taken_for_objects() -> None:
    observed = correlated(FLAT, 12.0, (0.0, 1.0))[0].astype(np.float32)
    flat = FLAT[0].astype(np.float32)
    told = return_lost_objects(flat, observed, noise_of(12.0, 1.0))
    untold = return_lost_objects(flat, observed, noise_of(12.0))
    assert np.mean(np.square(told - 120)) < 0.01 * 12**2
    assert np.mean(np.square(untold - 120)) > 0.05 * 12**2


def test_a_dark_object_comes_back_like_a_bright_one() -> None:
    observed = independent(particles(3.0), 10.0)[0].astype(np.float32)
    flat = FLAT[0].astype(np.float32)
    bright = return_lost_objects(flat, observed, noise_of(10.0))
    dark = return_lost_objects(-flat, -observed, noise_of(10.0))
    np.testing.assert_allclose(dark, -bright, atol=1e-4)
    assert kept(bright, particles(3.0)) > 0.85


def test_bands_and_workers_give_the_same_bytes() -> None:
    observed = independent(particles(3.0), 10.0)[0].astype(np.float32)
    flat = FLAT[0].astype(np.float32)
    whole = return_lost_objects(flat, observed, noise_of(10.0), band_rows=SHAPE[1])
    for workers in (1, 3):
        banded = return_lost_objects(flat, observed, noise_of(10.0), workers, band_rows=61)
        np.testing.assert_array_equal(banded, whole)
