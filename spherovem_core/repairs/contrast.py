"""Contrast from slice to slice: gain and offset of each slice against the slices around it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.repairs.cells import cell_means
from spherovem_core.repairs.robust import BIWEIGHT, biweight, robust_scale
from spherovem_core.utils.slice_choice import good_slices

CELLS = 32
LEAST_CELL = 8
REACH = 12.0
"""Standard deviation, in slices, of the weights of the local straight line."""
AROUND, PASSES, LEAST_SLICES = 3, 3, 5
LEAST_CORRELATION = 0.5
"""Correlation of a slice with its reference, cell by cell, below which the two cannot be compared."""
CERTAINTY = 4.0
MOST_APART = 2.0
"""One side over the other, at most: a change of the instrument shows on both, one of the content not."""


@dataclass(frozen=True)
class SliceContrast:
    """Correction of each slice: its grey values times `gain` plus `offset`.

    Attributes
    ----------
    gains, offsets : (Z,) ndarray of float64
        1 and 0 for slices that are left as they are.
    changed : (Z,) ndarray of bool
        True if the slice is changed.
    unlike
        Slices whose content is unlike that of the slices around, so that they could not be compared.
    """

    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    changed: NDArray[np.bool_]
    unlike: tuple[int, ...] = ()


def match_contrast(means: Mapping[int, NDArray[np.float64]], depth: int) -> SliceContrast:
    """Match the contrast of each slice to a running reference.

    A slice has two references: the medians of the three good slices before it and of the three after, cell by cell, which show
    nearly the same content. Gain and offset against each follow from a robust line through the cells: those whose content
    changed are outliers (Tukey's biweight). What all slices around have in common (a reference is smoother than a slice) and
    slow changes are taken out by a local straight line over z. The rest counts as far as it exceeds four standard errors, and
    only where both sides agree within a factor of two, by the smaller of the two. References are made again of corrected
    slices, three times. So slow and lasting changes, of the specimen or of the instrument, stay, and so does content that
    appears or ends. The first and the last slice, and slices that are too unlike those around, are left as they are.

    Parameters
    ----------
    means
        Cell means of each good slice, by its position.
    depth
        Number of slices of the stack.
    """
    good = sorted(means)
    gains, offsets = np.ones(depth), np.zeros(depth)
    if len(good) < LEAST_SLICES:
        return SliceContrast(gains, offsets, np.zeros(depth, np.bool_))
    z = np.array(good)
    measured = np.stack([means[n].ravel() for n in good])
    corrected = measured
    inner = range(1, len(good) - 1)
    known: list[int] = []
    for _ in range(PASSES):
        pairs = {n: _both_sides(measured[n], corrected, n) for n in inner}
        known = [n for n, pair in pairs.items() if pair is not None]
        if len(known) < LEAST_SLICES:
            break
        found = [pair for pair in pairs.values() if pair is not None]
        sides = [[pair[side] for pair in found] for side in (0, 1)]
        places = z[known]
        log_gain = _agreed(
            *(_excess(places, [e.log_gain for e in s], [e.gain_error for e in s]) for s in sides)
        )
        shift = _agreed(*(_excess(places, [e.shift for e in s], [e.shift_error for e in s]) for s in sides))
        middle = np.array([pair[0].middle for pair in found])
        factor = np.exp(log_gain)
        gains[places] = factor
        offsets[places] = middle * (1 - factor) + shift
        corrected = measured * gains[z][:, None] + offsets[z][:, None]
    unlike = tuple(int(z[n]) for n in inner if n not in set(known))
    return SliceContrast(gains, offsets, (gains != 1) | (offsets != 0), unlike)


@dataclass(frozen=True)
class _Line:
    """Line from a slice to its reference: logarithm of the gain, and shift at the middle grey value; with standard errors."""

    log_gain: float
    shift: float
    gain_error: float
    shift_error: float
    middle: float


def _both_sides(
    own: NDArray[np.float64], corrected: NDArray[np.float64], n: int
) -> tuple[_Line, _Line] | None:
    """Compare a slice with the median of those before it and of those after it; None if it is too unlike one of them."""
    before = _compare(own, np.median(corrected[max(n - AROUND, 0) : n], axis=0))
    after = _compare(own, np.median(corrected[n + 1 : n + 1 + AROUND], axis=0))
    return None if before is None or after is None else (before, after)


def _agreed(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller of two values of one sign, and 0 where the signs differ or one is more than twice the other."""
    smaller = np.where(np.abs(before) < np.abs(after), before, after)
    larger = np.maximum(np.abs(before), np.abs(after))
    return np.where((before * after > 0) & (larger <= MOST_APART * np.abs(smaller)), smaller, 0.0)


def _compare(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Line | None:
    """Fit the line from a slice to its reference; None if they are too unlike each other."""
    weights = np.ones(x.size)
    gain = shift = middle = correlation = scale = 0.0
    for _ in range(20):
        total = weights.sum()
        if total < max(0.3 * x.size, 8):
            return None
        middle, mean_y = weights @ x / total, weights @ y / total
        spread_x = np.sqrt(weights @ (x - middle) ** 2 / total)
        spread_y = np.sqrt(weights @ (y - mean_y) ** 2 / total)
        if spread_x <= 0 or spread_y <= 0:
            return None
        # The ratio of the spreads; least squares would shrink the gain by what is unlike.
        gain, shift = spread_y / spread_x, mean_y - middle
        correlation = float(weights @ ((x - middle) * (y - mean_y)) / (total * spread_x * spread_y))
        left = y - mean_y - gain * (x - middle)
        scale = robust_scale(left) + 1e-9
        weights = biweight(left, BIWEIGHT * scale)
    if correlation < LEAST_CORRELATION:
        return None
    # Neighbouring cells are alike; a quarter of them counts as independent.
    independent = float(weights.sum()) / 4
    gain_error = float(np.sqrt(max(1 - correlation**2, 1e-9) / independent))
    shift_error = scale / float(np.sqrt(independent))
    return _Line(float(np.log(gain)), float(shift), gain_error, shift_error, float(middle))


def _excess(z: NDArray[Any], values: list[float], errors: list[float]) -> NDArray[np.float64]:
    """Return deviations from the local straight line, as far as they are certain."""
    deviation = np.array(values) - _smooth(z.astype(np.float64), np.array(values))
    return _certain(deviation, np.array(errors))


def _certain(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink values to nothing within four errors (a non-negative garrote)."""
    limit = CERTAINTY * errors
    return np.asarray(values * np.clip(1 - np.square(limit / np.maximum(np.abs(values), 1e-12)), 0, None))


def _smooth(z: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth by a straight line with Gaussian weights around each place; a single odd value does not pull it."""
    smooth = np.empty_like(values)
    for n, place in enumerate(z):
        first, last = np.searchsorted(z, [place - 3 * REACH, place + 3 * REACH + 1])
        x, y = z[first:last] - place, values[first:last]
        weights = np.exp(-0.5 * np.square(x / REACH))
        robust = np.ones_like(weights)
        for _ in range(5):
            w = weights * robust
            mean_x, mean_y = w @ x / w.sum(), w @ y / w.sum()
            variance = w @ np.square(x - mean_x)
            slope = w @ ((x - mean_x) * (y - mean_y)) / variance if variance > 0 else 0.0
            smooth[n] = mean_y - slope * mean_x
            left = y - smooth[n] - slope * x
            scale = robust_scale(left)
            # Without scatter all lies on the line.
            robust = biweight(left, 6 * scale) if scale > 1e-9 else np.ones_like(w)
            if robust.sum() < 3:
                break
    return smooth


def measure_cells(source: ArrayLike, bad_slices: Collection[int] = ()) -> dict[int, NDArray[np.float64]]:
    """Read the means of at most 32 by 32 cells of all good slices, one slice at a time."""
    grid = [max(1, min(CELLS, extent // LEAST_CELL)) for extent in source.shape[1:]]
    return {z: cell_means(np.asarray(source[z]), grid) for z in good_slices(source.shape[0], bad_slices)}
