"""The intensities of one slice: its histogram, and everything that follows from it."""

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
    """Mean, standard deviation and percentiles in grey values; the share and the value of the most frequent one."""

    mean: float
    std: float
    p1: float
    p50: float
    p99: float
    mode_share: float
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


def content_fault(intensities: Intensities, dtype: np.dtype[Any], blank_share: float) -> str:
    """Say ``blank`` or ``saturated`` where nearly all pixels have one value; empty for a slice with content."""
    if intensities.mode_share < blank_share:
        return ""
    return "saturated" if intensities.mode == np.iinfo(dtype).max else "blank"


def find_outliers(mean: pd.Series, std: pd.Series) -> NDArray[np.bool_]:
    """Find slices whose brightness or contrast jumps against the slices around them.

    Parameters
    ----------
    mean, std
        Of each slice in order, NaN where a slice is not judged.

    Returns
    -------
    (Z,) ndarray of bool
        True where mean or standard deviation lies further from the median of the 11 slices around than 6 robust
        standard deviations of such differences. Slow drift is no jump, and what changes by less than an eighth of the
        contrast is none however steady the rest of the stack is.
    """
    least = 0.02 * float(np.nan_to_num(std.median()))
    jumps = np.zeros(len(mean), np.bool_)
    for values in (mean, std):
        around = values.rolling(NEIGHBOURHOOD, center=True, min_periods=1).median()
        difference = (values - around).abs()
        scale = max(1.4826 * float(np.nan_to_num(difference.median())), least)
        jumps |= (difference > OUTLIER_DEVIATIONS * scale).to_numpy()
    return jumps
