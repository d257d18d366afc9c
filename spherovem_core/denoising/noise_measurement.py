"""Noise of an acquisition, measured on its raw slices: variance, correlation along both axes, clipping."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.noise import NoiseModel
from spherovem_core.denoising.noise_spectrum import (
    SIDE,
    highest_power,
    noise_autocovariance,
    noise_kernel,
    noise_power,
    square_spectra,
    structure_power,
)
from spherovem_core.denoising.slice_selection import read_middles, spread_slices
from spherovem_core.errors import ParameterError

LAGS = (1, 2, 3, 4)
# At most 4 million pixels, as for the other statistics of the sample.
_SLICES = 4
_LARGEST_SIDE = 1024
_BINS = 10
# Fractions of the squares, at each grey value, that are taken as smooth: for the correlation, and for the variance, which the
# high frequencies give almost without texture.
_SMOOTH = 0.1
_FAIRLY_SMOOTH = 0.25
# Relative standard error of the variance of a bin, at least: texture differs from bin to bin.
_LEAST_SCATTER = 0.05
_LEAST_SQUARES = 8
# Squares with more pixels than this at a limit of the detector are left out.
_MOST_CLIPPED = 0.02
# Fraction of a sample from which its least or greatest value counts as a limit of the detector.
_LIMIT_FRACTION = 1e-3
# Grey values beyond the 1st and 99th percentile by this many times their distance lie outside the range of the tissue.
_TISSUE_MARGIN = 2.0


class MeasuredNoise(BaseModel):
    """Noise of an acquisition as its raw slices show it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slices: tuple[int, ...] = Field(description="Slices that were measured.")
    variance: NoiseModel = Field(description="Variance as a function of grey value.")
    correlation: dict[str, list[float]] = Field(
        description="Correlation of the noise along y and x at lags of 1 to 4 pixels; 0 where it cannot be told from none."
    )
    kernel: tuple[tuple[float, ...], ...] = Field(
        description="Kernel of unit energy that makes such noise of white noise."
    )
    clipped_low: float = Field(description="Fraction of the pixels at the lower limit of the detector.")
    clipped_high: float = Field(description="Fraction of the pixels at the upper limit of the detector.")
    tissue: tuple[float, float] = Field(
        description="Grey values between which tissue lies; a few very bright or dark objects may lie beyond."
    )

    @property
    def independent(self) -> bool:
        """True if the noise is independent from pixel to pixel."""
        return not any(v for lags in self.correlation.values() for v in lags)

    @property
    def kernel_array(self) -> NDArray[np.float32]:
        """The kernel as an array."""
        return np.array(self.kernel, np.float32)

    def scaled(self, factor: float) -> "MeasuredNoise":
        """Return noise with this multiple of the variance."""
        law = self.variance
        scaled = NoiseModel(constant=factor * law.constant, gain=factor * law.gain, floor=factor * law.floor)
        return self.model_copy(update={"variance": scaled})


def measure_noise(source: ArrayLike, bad_slices: Collection[int] = ()) -> MeasuredNoise:
    """Measure the noise on the middles of four slices spread over the stack.

    Squares of 16 x 16 pixels are sorted by grey value into ten bins. In each bin the smoothest count. The optics blur the
    specimen, so the highest frequencies along both axes hold noise alone, even in textured tissue; they give the
    variance at each grey value, and `noise_autocovariance` the correlation. A straight line through the bins is the variance
    law: its slope is the gain, and its value at grey value 0 the read noise. A bin above the line is
    trusted less than one below, because texture only adds. The frequencies near the limit of an image without optical blur, or
    sharpened, hold signal as well; there the noise is measured too high.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        The acquisition, of any real type.
    bad_slices
        Slices to leave out.

    Raises
    ------
    ParameterError
        If no slice is good.
    """
    chosen = spread_slices(source.shape[0], _SLICES, bad_slices)
    if not chosen:
        raise ParameterError(f"none of the stack's {source.shape[0]} slices is good; acquire it again")
    middles = [_at_least(values) for _, values in read_middles(source, chosen, _LARGEST_SIDE)]
    sample = np.stack(middles)
    limits, clipped = _detector_limits(sample)
    levels, spectra = _usable_squares(sample, limits)
    covariance, variances, centres = _measure_bins(levels, spectra)
    correlation = covariance / max(covariance[0, 0], 1e-12)
    along = {
        "y": [float(correlation[lag, 0]) for lag in LAGS],
        "x": [float(correlation[0, lag]) for lag in LAGS],
    }
    kernel = noise_kernel(covariance) if any(along["y"] + along["x"]) else np.ones((1, 1))
    low, high = np.percentile(sample, (1, 99))
    margin = _TISSUE_MARGIN * max(high - low, 1.0)
    return MeasuredNoise(
        slices=tuple(chosen),
        variance=fit_variance(centres, variances),
        correlation=along,
        kernel=tuple(tuple(round(float(v), 5) for v in row) for row in kernel),
        clipped_low=clipped[0],
        clipped_high=clipped[1],
        tissue=(float(low - margin), float(high + margin)),
    )


def fit_variance(levels: NDArray[np.float64], variances: NDArray[np.float64]) -> NoiseModel:
    """Fit a straight line to variances at grey values, with relative errors and less weight for points above the line."""
    variances = np.maximum(variances, 1e-6)
    design = np.stack([np.ones_like(levels), levels], axis=1)
    if np.ptp(levels) < 1e-6:
        return NoiseModel(
            constant=float(np.median(variances)), gain=0.0, floor=float(np.median(variances) / 2)
        )
    floor, weights = float(variances.min() / 2), 1 / variances
    for _ in range(10):
        line, *_ = np.linalg.lstsq(design * weights[:, np.newaxis], variances * weights, rcond=None)
        fitted = np.maximum(design @ line, floor)
        excess = variances / fitted - 1
        weights = 1 / (fitted * np.sqrt(1 + np.square(excess / np.where(excess > 0, 0.1, 0.2))))
    # A slope within three times its standard error is chance, and would be carried on to the grey values of particles.
    inverse = np.linalg.inv((design * weights[:, np.newaxis] ** 2).T @ design)
    scatter = max(
        np.sum(np.square(weights * (variances - fitted))) / max(len(levels) - 2, 1), _LEAST_SCATTER**2
    )
    if abs(line[1]) < 3 * np.sqrt(scatter * inverse[1, 1]):
        line = np.array([np.sum(variances * weights**2) / np.sum(weights**2), 0.0])
    return NoiseModel(constant=float(line[0]), gain=float(line[1]), floor=floor)


def _at_least(values: NDArray[Any]) -> NDArray[Any]:
    """Mirror a slice that is smaller than a square."""
    missing = [(0, max(0, SIDE - n)) for n in values.shape]
    return np.pad(values, missing, mode="symmetric") if np.any(missing) else values


def _detector_limits(sample: NDArray[Any]) -> tuple[list[Any], tuple[float, float]]:
    """Find the grey values that clip the signal, and the fractions of the pixels there."""
    ends = sample.min(), sample.max()
    fractions = [float(np.mean(sample == end)) for end in ends] if ends[0] < ends[1] else [0.0, 0.0]
    limits = [end for end, fraction in zip(ends, fractions, strict=True) if fraction > _LIMIT_FRACTION]
    low, high = (fraction if fraction > _LIMIT_FRACTION else 0.0 for fraction in fractions)
    return limits, (low, high)


def _usable_squares(
    sample: NDArray[Any], limits: list[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Collect the squares of all slices that are neither clipped nor padding; all squares if none is left."""
    found = [square_spectra(values) for values in sample]
    levels, spectra, squares = (np.concatenate(parts) for parts in zip(*found, strict=True))
    clipped = np.zeros(len(levels), bool)
    for limit in limits:
        clipped |= np.mean(squares == limit, axis=(1, 2)) > _MOST_CLIPPED
    usable = ~clipped & (np.ptp(squares, axis=(1, 2)) > 0)
    return (levels[usable], spectra[usable]) if usable.any() else (levels, spectra)


def _measure_bins(
    levels: NDArray[np.float64], spectra: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the autocovariance up to a factor, and variance and grey value of each bin."""
    structure, highest = structure_power(spectra), highest_power(spectra)
    shapes, fairly_smooth = [], []
    for members in np.array_split(
        np.argsort(levels, kind="stable"), int(np.clip(len(levels) // _LEAST_SQUARES, 1, _BINS))
    ):
        ranked = members[np.argsort(structure[members], kind="stable")]
        smooth, fair = (
            ranked[: max(_LEAST_SQUARES, int(f * len(ranked)))] for f in (_SMOOTH, _FAIRLY_SMOOTH)
        )
        shapes.append(spectra[smooth].mean(axis=0) / max(float(highest[smooth].mean()), 1e-12))
        fairly_smooth.append(fair)
    covariance = noise_autocovariance(np.stack(shapes).mean(axis=0, dtype=np.float64))
    variances = [float(noise_power(spectra[fair], covariance).mean()) for fair in fairly_smooth]
    return covariance, np.array(variances), np.array([float(levels[fair].mean()) for fair in fairly_smooth])
