"""Denoisers without learning, each with the strength tuned on the truth: an upper bound of their quality."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

Image = NDArray[np.float32]


def psnr(image: Image, truth: Image, where: NDArray[np.bool_] | None = None) -> float:
    """Compute the peak signal-to-noise ratio in dB at 8 bits, over all pixels or some."""
    error = np.square(image - truth)
    return float(10 * np.log10(255.0**2 / np.mean(error if where is None else error[where])))


def tuned(noisy: Image, truth: Image) -> Iterator[tuple[str, Image]]:
    """Yield the name with its best strength, and the result, of Gaussian, non-local means and total variation."""
    spread = float(np.std(noisy - truth))
    candidates: list[tuple[str, Callable[[Image, float], Image], list[float]]] = [
        ("Gaussian, sigma", _gaussian, [0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3]),
        ("non-local means, h", _non_local_means, [spread * f for f in (0.4, 0.6, 0.8, 1.0)]),
        ("total variation, weight", _total_variation, [spread * f for f in (0.2, 0.4, 0.6, 0.8, 1.1, 1.5)]),
    ]
    for name, method, strengths in candidates:
        results = [(strength, method(noisy, strength)) for strength in strengths]
        strength, best = max(results, key=lambda result: psnr(result[1], truth))
        yield f"{name} {strength:.2g}", best


def _gaussian(stack: Image, sigma: float) -> Image:
    return ndimage.gaussian_filter(stack, (0, sigma, sigma))


def _non_local_means(stack: Image, h: float) -> Image:
    return np.stack([denoise_nl_means(s, patch_size=5, patch_distance=8, h=h, sigma=h) for s in stack])


def _total_variation(stack: Image, weight: float) -> Image:
    return np.stack([denoise_tv_chambolle(s, weight=weight, max_num_iter=100) for s in stack])
