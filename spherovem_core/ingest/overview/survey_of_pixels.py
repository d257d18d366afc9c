"""Intensity and sharpness over z from samples of the slices, within a given time, and the slices that stand out."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.intensities import NEIGHBOURHOOD, OUTLIER_DEVIATIONS, find_outliers
from spherovem_core.ingest.overview.sampled_slices import SampledSlice, read_bands, sample_slice
from spherovem_core.ingest.reader import SliceFile
from spherovem_core.ingest.stack import SliceStack

FIRST_SLICES = 64
THREADS = 2


@dataclass(frozen=True)
class Overview:
    """Figures of the slices that were looked at.

    Attributes
    ----------
    table
        One row per slice looked at: ``z``, ``number``, ``file``, ``intensity_mean``, ``intensity_std`` (grey values),
        ``sharpness``, ``similarity`` (correlation with the slice looked at before it) and ``suspicion``, the reasons why it
        stands out; empty if it does not.
    step
        1 if every slice was looked at, 2 if every second one was.
    """

    table: pd.DataFrame
    step: int

    @property
    def suspicious(self) -> pd.DataFrame:
        """Rows of the slices that stand out."""
        return self.table[self.table["suspicion"] != ""]


def look_over(stack: SliceStack, seconds: float = 60.0) -> Overview:
    """Measure a sample of the slices, and find those that stand out.

    Of each slice six bands of 16 rows are read. Slices are taken evenly: first about 64, then every one between two of them, and
    so on, as long as the next round is expected to end in time; the last round that begins is completed.

    Parameters
    ----------
    seconds
        Time within which no further round begins that would exceed it.
    """
    begin = time.monotonic()
    depth = stack.shape[0]
    step = 1 << max(0, (depth // FIRST_SLICES).bit_length() - 1) if depth > FIRST_SLICES else 1
    whole = _reads_whole(stack)
    found: dict[int, SampledSlice] = {}
    with ThreadPoolExecutor(THREADS) as threads:
        while True:
            left = [z for z in range(0, depth, step) if z not in found]
            samples = threads.map(lambda z: sample_slice(stack, z, whole=whole), left)
            found |= dict(zip(left, samples, strict=True))
            spent = time.monotonic() - begin
            if step == 1 or spent * 2 > seconds:
                break
            step //= 2
    return Overview(_table(stack, dict(sorted(found.items())), step), step)


def _reads_whole(stack: SliceStack) -> bool:
    """Find out on one slice whether bands are read faster by themselves or out of the whole slice."""
    for file in stack.kept_files:
        if file is not None and not file.fault:
            try:
                return _seconds(stack, file, whole=True) < _seconds(stack, file, whole=False)
            except BadSlicesError:
                continue
    return False


def _seconds(stack: SliceStack, file: SliceFile, *, whole: bool) -> float:
    begin = time.monotonic()
    read_bands(stack, file, whole=whole)
    return time.monotonic() - begin


def _table(stack: SliceStack, found: Mapping[int, SampledSlice], step: int) -> pd.DataFrame:
    samples = list(found.values())
    table = pd.DataFrame(
        {
            "z": list(found),
            "number": [stack.numbers[z] for z in found],
            "file": [stack.slice_name(z) for z in found],
            "intensity_mean": [sample.mean for sample in samples],
            "intensity_std": [sample.std for sample in samples],
            "sharpness": [sample.sharpness for sample in samples],
            "similarity": _similarities(samples, 1),
        }
    )
    table["suspicion"] = _suspicions(table, samples, step)
    return table


def _similarities(samples: Sequence[SampledSlice], distance: int) -> NDArray[np.float64]:
    """Correlate the sketch of each good slice with that of the one `distance` before it; NaN where one is not good."""
    values = np.full(len(samples), np.nan)
    for n in range(distance, len(samples)):
        one, two = samples[n - distance].sketch, samples[n].sketch
        if one is None or two is None or samples[n - distance].fault or samples[n].fault:
            continue
        a, b = one - one.mean(), two - two.mean()
        norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
        if norm > 0:
            values[n] = float((a * b).sum()) / norm
    return values


def _suspicions(table: pd.DataFrame, samples: Sequence[SampledSlice], step: int) -> list[str]:
    reasons: list[list[str]] = [[sample.fault] if sample.fault else [] for sample in samples]
    good = np.array([not sample.fault for sample in samples])
    intensity = find_outliers(table["intensity_mean"].where(good), table["intensity_std"].where(good))
    blurred = _falls(table["sharpness"].where(good), 0.05)
    apart = _falls(table["similarity"], 0.02)
    bridged = np.append(_similarities(samples, 2), np.nan)
    seen: dict[bytes, int] = {}
    for n, sample in enumerate(samples):
        if not good[n]:
            continue
        if intensity[n]:
            reasons[n].append("intensity or contrast jumps")
        if blurred[n]:
            reasons[n].append("less sharp")
        earlier = seen.setdefault(sample.digest, n)
        if earlier != n:
            reasons[n].append(f"repeats slice {table['number'].iloc[earlier]}")
        # Of one odd slice, both pairs that it is part of fall.
        alone = n > 0 and apart[n - 1] and bridged[n] > table["similarity"].iloc[n]
        if apart[n] and not alone:
            reasons[n].append("content jumps" if step == 1 else f"content jumps within {step} slices")
    return [", ".join(texts) for texts in reasons]


def _falls(values: pd.Series, least: float) -> NDArray[np.bool_]:
    """Find values far below the median of those around, by robust deviations and by at least this fraction of the median."""
    around = values.rolling(NEIGHBOURHOOD, center=True, min_periods=1).median()
    below = around - values
    scale = 1.4826 * float(np.nan_to_num(below.abs().median()))
    limit = np.maximum(OUTLIER_DEVIATIONS * scale, OUTLIER_DEVIATIONS * least * around.abs() / 2)
    return (below > limit).to_numpy(np.bool_)
