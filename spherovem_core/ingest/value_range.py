"""The range of the values of a stack whose type is not stored as it is, and the grey scale that follows from it."""

from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import AcquisitionError, BadSlicesError
from spherovem_core.execution import Execution
from spherovem_core.ingest.grey_scale import BAND_ROWS, LEVELS, STORED_TYPES, GreyScale
from spherovem_core.ingest.reader import SliceFile, read_window
from spherovem_core.ingest.stack import SliceStack

# Values of a slice that its percentiles are taken from, and the percentiles between which its contrast lies.
SAMPLE, CONTRAST = 1 << 16, (0.1, 99.9)
# Grey values that the contrast of a usual slice must keep; noise of a tenth of it then has 25.
FEWEST_LEVELS = 256


@dataclass(frozen=True)
class SliceRange:
    """Range of the finite values of one slice.

    Attributes
    ----------
    name
        Name of the slice.
    low, high
        Least and greatest value.
    contrast
        Difference of the percentiles 0.1 and 99.9 of a sample of the values.
    whole
        True if all values are whole numbers.
    """

    name: str
    low: float
    high: float
    contrast: float
    whole: bool


def with_grey_scale(
    stack: SliceStack,
    execution: Execution | None = None,
    measured: MutableMapping[str, Any] | None = None,
) -> SliceStack:
    """Give a stack the grey scale under which its values are stored, which its type alone does not tell.

    All slices of the acquisition count, also those outside of a region, without the databar: a region is stored as in a run
    over the whole. Slices that are excluded or cannot be read, and those of one value, are left out. Each worker reads one
    slice at a time.

    Parameters
    ----------
    stack
        A stack from `open_stack`. One of uint8 or uint16 is returned as it is.
    execution
        Workers and deadline; None uses one thread.
    measured
        Ranges of slices that were measured before, by name of the slice; new ones are added. It must belong to the same files.

    Raises
    ------
    AcquisitionError
        If a few extreme values would leave less than 256 grey values for the others.
    DeadlineError
        If the deadline of the execution has passed.
    """
    if stack.source_dtype in STORED_TYPES or stack.grey_scale is not None:
        return stack
    if stack.parameters.value_range is not None:
        low, high = stack.parameters.value_range
        scale = GreyScale((high - low) / LEVELS, low, stack.source_dtype, clipped=True)
    else:
        scale = choose_scale(
            _measure_slices(stack.whole or stack, execution or Execution(), measured), stack.source_dtype
        )
    return replace(stack, grey_scale=scale, metadata={**stack.metadata, "grey_scale": scale.document()})


def choose_scale(ranges: Sequence[SliceRange], dtype: np.dtype[Any]) -> GreyScale:
    """Choose the grey scale of a stack by the ranges of its slices.

    Whole numbers that span less than 65536 are kept exactly: with an offset of 0 if they are those of uint16, else with that of
    the lowest. Other values are spread over all grey values.

    Raises
    ------
    AcquisitionError
        If the range is that of a few extreme values.
    """
    varied = [each for each in ranges if each.high > each.low] or list(ranges)
    if not varied:
        return GreyScale(1.0, 0.0, dtype)
    lowest, highest = min(varied, key=lambda r: r.low), max(varied, key=lambda r: r.high)
    low, high = lowest.low, highest.high
    if all(each.whole for each in varied) and high - low <= LEVELS:
        return GreyScale(1.0, 0.0 if low >= 0 and high <= LEVELS else low, dtype)
    scale = (high - low) / LEVELS
    contrast = float(np.median([each.contrast for each in varied]))
    if not np.isfinite(scale) or contrast < FEWEST_LEVELS * scale:
        raise AcquisitionError(
            f"the values reach from {low:g} ({lowest.name}) to {high:g} ({highest.name}), but 99.8 % of those of a usual slice "
            f"span only {contrast:g}, which would leave {contrast / scale:.0f} of {LEVELS + 1} grey values; export the slices "
            "without the extreme values, exclude those that hold them (ingest.exclude_slices), or set ingest.value_range to the "
            "range that counts"
        )
    return GreyScale(scale if scale > 0 else 1.0, low, dtype)


def measure_range(values: NDArray[Any], name: str) -> SliceRange | None:
    """Measure the range of the finite values of a slice (Y, X); return None if there are none."""
    low, high, whole = np.inf, -np.inf, True
    for start in range(0, len(values), BAND_ROWS):
        band = values[start : start + BAND_ROWS]
        if values.dtype.kind == "f":
            finite = np.isfinite(band)
            band = band if finite.all() else band[finite]
            if not band.size:
                continue
            whole = whole and bool(np.array_equal(band, np.rint(band)))
        low, high = min(low, float(band.min())), max(high, float(band.max()))
    if low > high:
        return None
    sample = values.ravel()[:: values.size // SAMPLE + 1].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    below, above = np.percentile(sample, CONTRAST) if sample.size else (low, high)
    return SliceRange(name, low, high, float(above - below), whole)


def _measure_slices(
    stack: SliceStack, execution: Execution, measured: MutableMapping[str, Any] | None
) -> list[SliceRange]:
    known = {} if measured is None else measured
    files = [file for file in stack.kept_files if file is not None and _counts(file, stack)]

    def measure(file: SliceFile) -> None:
        if file.name not in known:
            found = _measure_file(file, stack)
            known[file.name] = None if found is None else [found.low, found.high, found.contrast, found.whole]

    _run_all(measure, files, execution)
    return [SliceRange(file.name, *known[file.name]) for file in files if known[file.name] is not None]


def _run_all(measure: Callable[[SliceFile], None], files: Sequence[SliceFile], execution: Execution) -> None:
    """Measure files in threads; every few of them, report the progress and look at the deadline."""
    ahead = 2 * execution.workers + 2
    with ThreadPoolExecutor(execution.workers + 1) as threads:
        for start in range(0, len(files), ahead):
            execution.report(start, len(files))
            list(threads.map(measure, files[start : start + ahead]))


def _counts(file: SliceFile, stack: SliceStack) -> bool:
    return (
        not file.fault
        and file.dtype.newbyteorder("=") == stack.source_dtype
        and file.shape[0] >= stack.first_row + stack.shape[1]
    )


def _measure_file(file: SliceFile, stack: SliceStack) -> SliceRange | None:
    try:
        rows = slice(stack.first_row, stack.first_row + stack.shape[1])
        values = read_window(stack.reader, file, rows, slice(0, file.shape[1]))
    except BadSlicesError:
        return None
    return measure_range(values, file.name)
