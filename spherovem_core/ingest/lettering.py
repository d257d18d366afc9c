"""Rows of lettering that are the same in all slices: databars, and what may be one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FEWEST_ROWS = 6
# A row of the databar is the same in all slices but for numbers that count. Noise leaves less than a tenth of the pixels of
# tissue the same, and a border of saturated resin ends slowly.
SAME, CHANGED = 0.8, 0.5
# The ground of a databar is one grey value; lettering takes at least this fraction of it, and differs by this fraction of the
# range of values.
GROUND, LETTERING, CONTRAST = 0.4, 0.005, 0.25

# Rows that may be a databar: at least this fraction of the pixels of a row is the same in two slices, but for the last bits of
# lossy compression.
LIKELY_SAME, LOSS = 0.6, 0.02
# Its rows change between ink and ground at least this often; letters are no single pixels, and their strokes are short against
# the height of the databar and of about the same length in both directions.
FEWEST_CHANGES, JOINED, LONGEST_STROKE, MOST_UNEQUAL = 8, 0.8, 0.4, 2.5
# At least this fraction of what stands out in a slice stays: 0.85 or more of lettering of which a part counts, up to 0.55 of
# drifting blobs of two grey values.
LASTING = 0.65
NARROWEST = 64
COUNTED = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True)
class Lettering:
    """Rows that hold lettering, counted from the edge of the slice.

    Attributes
    ----------
    first, last
        First and last of the rows, 0 at the edge.
    """

    first: int
    last: int

    @property
    def rows(self) -> int:
        """Rows from the edge to the inner end of the lettering: those that a cut would take."""
        return self.last + 1


def count_databar_rows(strips: Sequence[NDArray[Any]]) -> int:
    """Count the rows of a databar at the lower end of strips (Y, X) of several slices; 0 if there is none for certain."""
    if len(strips) < 2 or not strips[0].size:
        return 0
    if _same_in_all([strip[-FEWEST_ROWS:] for strip in strips]).mean(axis=1).min() < SAME:
        # As in most acquisitions: the rest need not be compared.
        return 0
    same = _same_in_all(strips)
    others = np.flatnonzero(same.mean(axis=1) < SAME)
    if not others.size:
        # Slices that are the same all over are copies.
        return 0
    rows = len(same) - 1 - int(others[-1])
    if rows < FEWEST_ROWS or same[others[-1]].mean() > CHANGED:
        return 0
    return rows if _is_lettered(strips[0][-rows:], _range(strips)) else 0


def find_lettering(strips: Sequence[NDArray[Any]]) -> Lettering | None:
    """Find rows at the lower end of strips (Y, X) of several slices that may be a databar.

    They hold lettering that stays, over the whole width or a quarter of it. Padding, flat resin and curtains hold none, and
    tissue does not stay. Part of the lettering may count on, and its ground need not be one value.

    Returns
    -------
    Lettering or None
        The rows, from the outermost to the innermost; None if there are none.
    """
    if len(strips) < 2 or not strips[0].size:
        return None
    span = _range(strips)
    if not span > 0:
        return None
    found = []
    for columns, counts in _count_same(strips, LOSS * span):
        # The median over pairs of slices: a blank one among them hides nothing.
        stays = np.median(counts / (columns.stop - columns.start), axis=0)
        for first, stop in _runs(stays >= LIKELY_SAME):
            # The tissue inwards of a databar is in the strip; slices that are the same up to its end are copies, or flat.
            if first > 0 and stop - first >= FEWEST_ROWS:
                rows = [strip[first:stop, columns].astype(np.float32) for strip in strips]
                if _holds_letters(rows, span):
                    found.append((first, stop))
    if not found:
        return None
    height = len(strips[0])
    return Lettering(height - max(stop for _, stop in found), height - 1 - min(first for first, _ in found))


def _same_in_all(strips: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Return where the pixels of all strips are the same."""
    return np.asarray(np.logical_and.reduce([strip == strips[0] for strip in strips[1:]]))


def _count_same(strips: Sequence[NDArray[Any]], most: float) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield columns, and for (pairs of slices, Y) how many pixels in them differ by no more than `most`.

    The columns are all, and then a quarter at a time if these are wide enough.
    """
    width = strips[0].shape[1]
    quarters = 4 if width // 4 >= NARROWEST else 1
    edges = np.array([n * width // quarters for n in range(quarters + 1)])
    # Integers of two bytes are exact as float32; the other types are compared as float32 too.
    compared = [strip if strip.dtype in COUNTED else strip.astype(np.float32) for strip in strips]
    counts = np.stack([_count_alike(a, b, np.float32(most), edges) for a, b in pairwise(compared)])
    yield slice(0, width), counts.sum(axis=2)
    if quarters > 1:
        for n in range(quarters):
            yield slice(int(edges[n]), int(edges[n + 1])), counts[:, :, n]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_alike(a: Any, b: Any, most: Any, edges: Any) -> Any:
    counts = np.zeros((a.shape[0], len(edges) - 1), np.int64)
    for y in range(a.shape[0]):
        for part in range(len(edges) - 1):
            count = 0
            for x in range(edges[part], edges[part + 1]):
                count += abs(np.float32(a[y, x]) - np.float32(b[y, x])) <= most
            counts[y, part] = count
    return counts


def _is_lettered(bar: NDArray[Any], span: float) -> bool:
    values, counts = np.unique(bar, return_counts=True)
    ground = float(values[counts.argmax()])
    apart = np.abs(values.astype(np.float64) - ground) > CONTRAST * span
    return bool(counts.max() >= GROUND * bar.size and counts[apart].sum() >= LETTERING * bar.size)


def _holds_letters(parts: Sequence[NDArray[np.float32]], span: float) -> bool:
    """Return whether pixels that stay stand out from their rows and columns in the shape of lettering."""
    pixels = np.stack(parts)
    middle = np.median(pixels, axis=0)
    # One slice may be another, such as a blank one.
    deviations = np.sort(np.abs(pixels - middle), axis=0)
    ink = deviations[max(1, len(parts) - 2)] <= LOSS * span
    # Curtains are like their columns, frames and borders like their rows or columns.
    apart = np.ones(pixels.shape, np.bool_)
    for axis in (0, 1):
        ground = np.median(middle, axis=axis, keepdims=True)
        ink &= np.abs(middle - ground) > CONTRAST * span
        apart &= np.abs(pixels - ground) > CONTRAST * span
    standing_out = float(np.median(np.count_nonzero(apart, axis=(1, 2))))
    # Blobs of two grey values stay at one place or another by chance.
    return bool(np.count_nonzero(ink) >= LASTING * standing_out) and _is_written(ink)


def _is_written(ink: NDArray[np.bool_]) -> bool:
    """Return whether a mask (Y, X) has the shape of lettering."""
    if ink.mean() < LETTERING:
        return False
    along, down = ink[:, 1:] & ink[:, :-1], ink[1:] & ink[:-1]
    joined = np.zeros_like(ink)
    joined[:, 1:] |= along
    joined[:, :-1] |= along
    joined[1:] |= down
    joined[:-1] |= down
    count = np.count_nonzero(ink)
    wide = count / (count - np.count_nonzero(along))
    tall = count / (count - np.count_nonzero(down))
    changes = np.count_nonzero(ink[:, 1:] != ink[:, :-1], axis=1)
    return bool(
        np.count_nonzero(changes >= FEWEST_CHANGES) >= FEWEST_ROWS // 2
        and np.count_nonzero(joined) >= JOINED * count
        and max(wide, tall) <= max(3.0, LONGEST_STROKE * len(ink))
        and max(wide / tall, tall / wide) <= MOST_UNEQUAL
    )


def _range(strips: Sequence[NDArray[Any]]) -> float:
    """Return the range of the values, without the extreme ones of float images."""
    if strips[0].dtype.kind != "f":
        return float(max(int(strip.max()) for strip in strips)) - float(
            min(int(strip.min()) for strip in strips)
        )
    sample = np.concatenate([strip.ravel()[:: strip.size // 2**16 + 1] for strip in strips]).astype(
        np.float64
    )
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, (0.1, 99.9)) if sample.size else (0.0, 0.0)
    return float(high - low)


def _runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) of each run of True, over gaps of two rows."""
    closed = mask.copy()
    for gap in (1, 2):
        for n in range(1, len(mask) - gap):
            if closed[n - 1] and mask[n + gap] and not mask[n : n + gap].any():
                closed[n : n + gap] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], closed, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
