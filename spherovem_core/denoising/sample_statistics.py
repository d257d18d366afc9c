"""Noise, method, intensity range and residual autocorrelation of a sample of slices."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.autocorrelation import autocorrelation, mean_autocorrelation
from spherovem_core.denoising.automatic import AutomaticDenoiser, Choice, choose_method
from spherovem_core.denoising.grey_map import choose_grey_map, linear_map
from spherovem_core.denoising.intensities import subsample
from spherovem_core.denoising.noise import NoiseModel, fit_noise
from spherovem_core.denoising.noise_measurement import MeasuredNoise, measure_noise
from spherovem_core.denoising.posterior import PosteriorDenoiser
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.quality import SampleStatistics
from spherovem_core.denoising.slice_selection import (
    read_middles,
    read_slices,
    split_slices,
    spread_slices,
)
from spherovem_core.denoising.trained_model import R2R
from spherovem_core.errors import ParameterError
from spherovem_core.intensity_ranges import percentile_range
from spherovem_core.parameters import DenoisingParameters

Denoiser = Callable[[NDArray[Any]], NDArray[np.float32]]

_TISSUE_PERCENTILES = (1.0, 99.0)
# The noise is fitted on the middle of this many slices, up to this side in pixels: at most 4 million pixels.
_NOISE_SLICES = 4
_NOISE_SIDE = 1024


def measure_sample(
    source: ArrayLike,
    predict: SliceDenoiser,
    parameters: DenoisingParameters,
    bad_slices: Collection[int] = (),
) -> SampleStatistics:
    """Measure the noise, choose the method, denoise a sample of slices, and measure its intensities and residual.

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
    measured = measure_noise(source, bad_slices)
    noise, choice = None, None
    if predict.model.algorithm == R2R:
        held_out = _held_out(source, parameters, bad_slices, chosen)
        choice = choose_method(
            source, predict, measured, held_out, parameters.posterior_mean, parameters.seed
        )
        noise = measured.variance
    elif parameters.posterior_mean:
        noise = fit_noise(_predicted_middles(source, chosen, predict))
    denoise = _build(predict, noise, measured, choice, parameters)
    samples, correlations = [], []
    for noisy in read_slices(source, chosen):
        denoised = denoise(noisy)
        samples.append(subsample(denoised, len(chosen)))
        correlations.append(autocorrelation(noisy - denoised))
    sample = np.concatenate(samples)
    low, high = percentile_range(sample, parameters.range_percentiles)
    tissue = percentile_range(sample, _TISSUE_PERCENTILES)
    # The other algorithms give the bytes that they gave before there was `auto`.
    grey_map = linear_map(low, high) if choice is None else choose_grey_map(low, high, tissue)
    return SampleStatistics(
        slices=tuple(chosen),
        low=low,
        high=high,
        grey_map=grey_map,
        noise=noise,
        measured=measured,
        choice=choice,
        autocorrelation=mean_autocorrelation(correlations),
    )


def build_denoiser(
    predict: SliceDenoiser, sample: SampleStatistics, parameters: DenoisingParameters
) -> Denoiser:
    """Return the function that denoises a slice, as the sample was denoised."""
    return _build(predict, sample.noise, sample.measured, sample.choice, parameters)


def _build(
    predict: SliceDenoiser,
    noise: NoiseModel | None,
    measured: MeasuredNoise,
    choice: Choice | None,
    parameters: DenoisingParameters,
) -> Denoiser:
    if choice is None:
        return PosteriorDenoiser(predict, noise)
    return AutomaticDenoiser(predict, measured, choice.method, choice.width, parameters.posterior_mean)


def _held_out(
    source: ArrayLike, parameters: DenoisingParameters, bad_slices: Collection[int], chosen: Sequence[int]
) -> Sequence[int]:
    """Return the slices that the training did not use; of a model from elsewhere, the sample."""
    if parameters.model is not None:
        return chosen
    depth = source.shape[0]
    return split_slices(depth, parameters.training_slices, parameters.validation_slices, bad_slices)[1]


def _predicted_middles(
    source: ArrayLike, chosen: Sequence[int], predict: SliceDenoiser
) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Yield the measured and the predicted middle of a few of the slices."""
    few = [chosen[i] for i in spread_slices(len(chosen), _NOISE_SLICES)]
    for _, middle in read_middles(source, few, _NOISE_SIDE):
        yield middle, predict(middle)
