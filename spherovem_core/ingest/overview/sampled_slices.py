"""A sample of one slice: a few bands of rows, and what they tell of intensity and sharpness."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.grey_scale import STORED_TYPES
from spherovem_core.ingest.intensities import content_flag, measure_intensities
from spherovem_core.ingest.reader import SliceFile
from spherovem_core.ingest.stack import SliceStack

BANDS, BAND_ROWS = 6, 16
CELL = 16
"""Side, in pixels, of the cells whose means make the sketch of a slice."""


@dataclass(frozen=True)
class SampledSlice:
    """Figures of the sample of a slice.

    Attributes
    ----------
    fault
        Reason why it could not be read, or that it is blank or saturated; empty for a good one.
    mean, std
        In values of the source; NaN if it could not be read.
    sharpness
        See `sharpness`.
    digest
        Digest of the sampled pixels, the same for a repeated slice.
    sketch
        Means of cells of 16 by 16 pixels, to compare slices.
    """

    fault: str = ""
    mean: float = np.nan
    std: float = np.nan
    sharpness: float = np.nan
    digest: bytes = b""
    sketch: NDArray[np.float32] | None = None


def band_starts(rows: int) -> list[int]:
    """Return the first row of each band: spread over the slice, none overlapping."""
    count = max(1, min(BANDS, rows // BAND_ROWS))
    step = rows / count
    return [int((n + 0.5) * step - min(BAND_ROWS, rows) / 2) for n in range(count)]


def read_bands(stack: SliceStack, file: SliceFile, *, whole: bool) -> list[NDArray[Any]]:
    """Read the bands of a slice, each by itself or out of the whole slice: which is faster depends on how it is compressed.

    Raises
    ------
    BadSlicesError
        If they cannot be decoded.
    """
    rows = stack.shape[1]
    height = min(BAND_ROWS, rows)
    columns = slice(0, stack.shape[2])
    starts = band_starts(rows)
    if whole:
        values = stack.read_source(file)
        return [values[start : start + height, columns] for start in starts]
    return [stack.read_source(file, slice(start, start + height), columns) for start in starts]


def sample_slice(stack: SliceStack, z: int, *, whole: bool) -> SampledSlice:
    """Read and measure the sample of a slice."""
    if z in stack.excluded:
        return SampledSlice(f"excluded: {stack.excluded[z]}")
    file = stack.files[z]
    if file is None:
        return SampledSlice("missing")
    try:
        bands = read_bands(stack, file, whole=whole)
    except BadSlicesError as error:
        return SampledSlice(str(error).removeprefix(f"{file.name}: "))
    values = np.concatenate(bands)
    fault, mean, std = _measure(stack, values)
    return SampledSlice(
        fault,
        mean,
        std,
        sharpness(bands),
        blake2b(values.tobytes(), digest_size=16).digest(),
        np.concatenate([_cells(band) for band in bands]),
    )


def _measure(stack: SliceStack, values: NDArray[Any]) -> tuple[str, float, float]:
    """Return fault, mean and standard deviation of a sample, in values of the source."""
    if values.dtype in STORED_TYPES:
        found = measure_intensities(values)
        return content_flag(found, stack.brightest, stack.parameters.blank_fraction), found.mean, found.std
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        return f"{np.count_nonzero(~np.isfinite(wide))} of its sampled pixels hold no number", np.nan, np.nan
    same = np.count_nonzero(wide == np.median(wide)) / wide.size
    fault = "blank" if same >= stack.parameters.blank_fraction else ""
    return fault, float(wide.mean()), float(wide.std())


def sharpness(bands: Sequence[NDArray[Any]]) -> float:
    """Measure the sharpness of a slice from a few bands of its rows.

    Vollath's autocorrelation measure [1]: covariance of pixels one apart, less that of pixels two apart, along y and x, divided
    by the variance. Noise that is independent from pixel to pixel has no part in the covariances: it does not pass for detail.

    Returns
    -------
    float
        NaN if the bands hold one value only.

    References
    ----------
    [1] D. Vollath, "Automatic focusing by correlative methods", Journal of Microscopy 147, 279-288 (1987).
    """
    total = variance = 0.0
    for band in bands:
        values = band.astype(np.float32) - np.float32(band.mean())
        for axis in (0, 1):
            near, far = (_covariance(values, axis, distance) for distance in (1, 2))
            total += near - far
        variance += 2 * float(np.einsum("yx,yx->", values, values)) / values.size
    return total / variance if variance > 0 else np.nan


def _covariance(values: NDArray[np.float32], axis: int, distance: int) -> float:
    length = values.shape[axis]
    if length <= distance:
        return 0.0
    first, second = (
        (values[:-distance], values[distance:])
        if axis == 0
        else (values[:, :-distance], values[:, distance:])
    )
    return float(np.einsum("yx,yx->", first, second)) / first.size


def _cells(band: NDArray[Any]) -> NDArray[np.float32]:
    columns = max(1, band.shape[1] // CELL)
    width = min(CELL, band.shape[1])
    return np.asarray(band[:, : columns * width].reshape(-1, columns, width).mean((0, 2)), np.float32)
