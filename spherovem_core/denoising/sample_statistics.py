"""What a sample of slices tells before the pass over all: noise, range of the intensities, structure of the residual."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.figures import Survey
from spherovem_core.denoising.intensities import thin_out
from spherovem_core.denoising.noise import fit_noise
from spherovem_core.denoising.posterior import PosteriorDenoiser
from spherovem_core.denoising.prediction import SliceDenoiser
from spherovem_core.denoising.quality import autocorrelation, mean_autocorrelation
from spherovem_core.denoising.sampling import read_slices, spread_slices
from spherovem_core.errors import ParameterError
from spherovem_core.intensity_ranges import percentile_range
from spherovem_core.parameters import DenoiseParameters

# The noise is fitted on the middle of this many slices, up to this side in pixels: 4 million places at most.
_NOISE_SLICES = 4
_NOISE_SIDE = 1024


def survey_stack(
    source: ArrayLike,
    predict: SliceDenoiser,
    parameters: DenoiseParameters,
    bad_slices: Collection[int] = (),
) -> Survey:
    """Denoise a sample of slices for their noise, the range of their intensities and the autocorrelation of what is removed.

    Raises
    ------
    ParameterError
        If no slice is sound.
    """
    depth = source.shape[0]
    # A sixth of a short stack at most: each of these slices is denoised again in the pass.
    chosen = spread_slices(depth, min(16, max(4, depth // 6)), bad_slices)
    if not chosen:
        raise ParameterError(f"none of the stack's {depth} slices is sound; acquire it again")
    noise = fit_noise(_predicted_middles(source, chosen, predict)) if parameters.posterior_mean else None
    denoise = PosteriorDenoiser(predict, noise)
    samples, correlations = [], []
    for noisy in read_slices(source, chosen):
        denoised = denoise(noisy)
        samples.append(thin_out(denoised, len(chosen)))
        correlations.append(autocorrelation(noisy - denoised))
    low, high = percentile_range(np.concatenate(samples), parameters.range_percentiles)
    return Survey(
        slices=tuple(chosen),
        low=low,
        high=high,
        noise=noise,
        autocorrelation=mean_autocorrelation(correlations),
    )


def _predicted_middles(
    source: ArrayLike, chosen: Sequence[int], predict: SliceDenoiser
) -> Iterator[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Middles of a few of the slices, measured and predicted."""
    few = [chosen[i] for i in spread_slices(len(chosen), _NOISE_SLICES)]
    for noisy in read_slices(source, few):
        rows, columns = (slice(max(0, n - _NOISE_SIDE) // 2, (n + _NOISE_SIDE) // 2) for n in noisy.shape)
        middle = noisy[rows, columns]
        yield middle, predict(middle)
