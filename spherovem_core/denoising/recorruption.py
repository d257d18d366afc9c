"""Recorrupted-to-Recorrupted (R2R): pairs with independent noise, made from single slices and their measured noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.denoising.noise_measurement import MeasuredNoise

STRENGTH = 0.5
"""Standard deviation of the noise added to the input, in units of the measured noise. On the phantom, 0.5 gave 0.1 to 0.3 dB more
than 1, at the same number of training steps."""
_AROUND = 5
"""Side of the square whose mean grey value gives the variance of the noise to add."""


def recorrupt(
    values: NDArray[np.float32], noise: MeasuredNoise, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make an input and a target whose noise is independent (Pang, Zheng, Quan, Ji 2021).

    New noise n of the covariance of the measured noise makes an input ``y + a n`` and a target ``y - n / a``. The noise of both
    together is uncorrelated, exactly so for Gaussian noise whose covariance is known, so the mean square distance of a
    denoised input to the target is its error plus the variance of the target.

    Parameters
    ----------
    values : (Y, X) ndarray of float32
        Noisy slice y.
    noise
        Its noise.
    generator
        Draws n.

    Returns
    -------
    input, target : (Y, X) ndarray of float32
    """
    # It takes half a second of processor time to import, and training alone needs it.
    from scipy.signal import oaconvolve

    kernel = noise.kernel_array
    shape = tuple(n + k - 1 for n, k in zip(values.shape, kernel.shape, strict=True))
    white = generator.standard_normal(shape, dtype=np.float32)
    drawn = white if kernel.size == 1 else oaconvolve(white, kernel, mode="valid").astype(np.float32)
    drawn = drawn * np.sqrt(noise.variance.variance(ndimage.uniform_filter(values, _AROUND)))
    return values + np.float32(STRENGTH) * drawn, values - drawn / np.float32(STRENGTH)


class Recorruption:
    """Takes the place of CAREamics' blind-spot masks in the training: gives pairs with new noise in every step.

    Parameters
    ----------
    noise
        Noise of the acquisition.
    mean, scale
        Normalisation of the patches: grey values are ``mean + scale * normalised``.
    seed
        Seed of the noise.
    device
        The torch device of the training.
    """

    def __init__(self, noise: MeasuredNoise, mean: float, scale: float, seed: int, device: Any) -> None:
        import torch

        self.rng = torch.Generator(device=device).manual_seed(seed)
        self._kernel = torch.from_numpy(noise.kernel_array)[None, None].to(device)
        self._law, self._mean, self._scale = noise.variance, mean, scale

    def __call__(self, patches: Any) -> tuple[Any, Any, Any]:
        """Return input, target and a mask of ones for normalised (N, 1, Y, X) patches."""
        import torch

        with torch.no_grad(), torch.autocast(patches.device.type, enabled=False):
            values = patches.float()
            drawn = self._draw(values.shape, values.device) * self._deviation(values)
            return values + STRENGTH * drawn, values - drawn / STRENGTH, torch.ones_like(values)

    def _draw(self, shape: Any, device: Any) -> Any:
        import torch

        count, channels, height, width = shape
        rows, columns = self._kernel.shape[2:]
        white = torch.randn(
            (count * channels, 1, height + rows - 1, width + columns - 1), generator=self.rng, device=device
        )
        return torch.nn.functional.conv2d(white, self._kernel).reshape(shape)

    def _deviation(self, values: Any) -> Any:
        """Return the standard deviation of the noise at each pixel, in normalised units."""
        from torch.nn.functional import avg_pool2d, pad

        margin = _AROUND // 2
        level = avg_pool2d(pad(values, (margin,) * 4, mode="reflect"), _AROUND, 1) * self._scale + self._mean
        variance = (self._law.constant + self._law.gain * level).clamp(min=self._law.floor)
        return variance.sqrt() / self._scale
