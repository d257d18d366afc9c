"""Intensity statistics of a slice, all from its histogram, and outliers among slices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.histograms import count_intensities, percentile_of_counts

PERCENTILES = (1.0, 50.0, 99.0)
NEIGHBOURHOOD = 11
OUTLIER_DEVIATIONS = 6.0


@dataclass(frozen=True)
class Intensities:
    """Intensity statistics of one slice.

    Attributes
    ----------
    mean, std, p1, p50, p99
        Mean, standard deviation and percentiles in grey values.
    mode_fraction, mode
        Fraction of the pixels that have the most frequent grey value, and that value.
    """

    mean: float
    std: float
    p1: float
    p50: float
    p99: float
    mode_fraction: float
    mode: int


def measure_intensities(values: NDArray[Any]) -> Intensities:
    """Measure a slice of uint8 or uint16 exactly, in one pass over its pixels.

    Percentiles are interpolated linearly as `numpy.percentile` does.
    """
    counts = count_intensities(values)
    grey = np.arange(counts.size)
    mean = float(counts @ grey) / values.size
    std = float(np.sqrt(counts @ (grey - mean) ** 2 / values.size))
    mode = int(counts.argmax())
    p1, p50, p99 = (percentile_of_counts(counts, percent) for percent in PERCENTILES)
    return Intensities(mean, std, p1, p50, p99, float(counts[mode]) / values.size, mode)


def content_flag(intensities: Intensities, brightest: int, least_fraction: float) -> str:
    """Return ``blank`` or ``saturated`` if at least this fraction of the pixels has one value; else an empty text.

    A slice is saturated if that is the `brightest` value that it can have.
    """
    if intensities.mode_fraction < least_fraction:
        return ""
    return "saturated" if intensities.mode == brightest else "blank"


def find_outliers(mean: pd.Series, std: pd.Series) -> NDArray[np.bool_]:
    """Find slices whose brightness or contrast jumps against the slices around them.

    Parameters
    ----------
    mean, std
        Mean and standard deviation of each slice in order; NaN if a slice is not judged.

    Returns
    -------
    (Z,) ndarray of bool
        True if mean or standard deviation differs from the median of the 11 slices around by more than 6 robust standard
        deviations of such differences. Slow drift is no jump, nor is a change of less than an eighth of the contrast,
        however steady the rest of the stack is.
    """
    least = 0.02 * float(np.nan_to_num(std.median()))
    jumps = np.zeros(len(mean), np.bool_)
    for values in (mean, std):
        around = values.rolling(NEIGHBOURHOOD, center=True, min_periods=1).median()
        difference = (values - around).abs()
        scale = max(1.4826 * float(np.nan_to_num(difference.median())), least)
        jumps |= (difference > OUTLIER_DEVIATIONS * scale).to_numpy()
    return jumps
