"""Phase correlation: the compiled whitening against its formula."""

import numpy as np
import pytest
import torch

from spherovem_core.registration.phase_correlation import _whitened


@pytest.mark.parametrize("shape", [(96, 65), (50, 31), (2, 2)], ids=str)
def test_the_cross_spectrum_is_whitened_and_smoothed(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    fixed, moving = (rng.normal(size=(2, *shape)) + 1j * rng.normal(size=(2, *shape))) * 300.0
    fixed[0, 0] = 0.0
    cross = np.conj(fixed) * moving
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(2 * (shape[1] - 1))
    amplitude = np.abs(cross)
    expected = cross / (amplitude + 1e-3 * amplitude.mean()) * np.exp(-(y**2 + x**2) / (2 * 0.1**2))
    found = _whitened(*(torch.from_numpy(s.astype(np.complex64)) for s in (fixed, moving)))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)
