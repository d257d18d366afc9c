"""Noise, intensity range and residual autocorrelation of a sample of slices."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.autocorrelation import autocorrelation, mean_autocorrelation
from spherovem_core.denoising.intensities import subsample
from spherovem_core.denoising.noise import fit_noise
from spherovem_core.denoising.posterior import PosteriorDenoiser
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.quality import SampleStatistics
from spherovem_core.denoising.slice_selection import read_slices, spread_slices
from spherovem_core.errors import ParameterError
from spherovem_core.intensity_ranges import percentile_range
from spherovem_core.parameters import DenoisingParameters

# The noise is fitted on the middle of this many slices, up to this side in pixels: at most 4 million pixels.
_NOISE_SLICES = 4
_NOISE_SIDE = 1024


def measure_sample(
    source: ArrayLike,
    predict: SliceDenoiser,
    parameters: DenoisingParameters,
    bad_slices: Collection[int] = (),
) -> SampleStatistics:
    """Denoise a sample of slices and measure their noise, intensity range and residual autocorrelation.

    The sample is spread over the stack: a sixth of its good slices, at least 4 and at most 16.

    Raises
    ------
    ParameterError
        If no slice is good.
    """
    depth = source.shape[0]
    # At most a sixth of a short stack, because these slices are denoised a second time with all others.
    chosen = spread_slices(depth, min(16, max(4, depth // 6)), bad_slices)
    if not chosen:
        raise ParameterError(f"none of the stack's {depth} slices is good; acquire it again")
    noise = fit_noise(_predicted_middles(source, chosen, predict)) if parameters.posterior_mean else None
    denoise = PosteriorDenoiser(predict, noise)
    samples, correlations = [], []
    for noisy in read_slices(source, chosen):
        denoised = denoise(noisy)
        samples.append(subsample(denoised, len(chosen)))
        correlations.append(autocorrelation(noisy - denoised))
    low, high = percentile_range(np.concatenate(samples), parameters.range_percentiles)
    return SampleStatistics(
        slices=tuple(chosen),
        low=low,
        high=high,
        noise=noise,
        autocorrelation=mean_autocorrelation(correlations),
    )


def _predicted_middles(
    source: ArrayLike, chosen: Sequence[int], predict: SliceDenoiser
) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Yield the measured and the predicted middle of a few of the slices."""
    few = [chosen[i] for i in spread_slices(len(chosen), _NOISE_SLICES)]
    for noisy in read_slices(source, few):
        rows, columns = (slice(max(0, n - _NOISE_SIDE) // 2, (n + _NOISE_SIDE) // 2) for n in noisy.shape)
        middle = noisy[rows, columns]
        yield middle, predict(middle)
