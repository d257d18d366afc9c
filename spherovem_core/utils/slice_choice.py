"""Good slices of a stack, and some of them spread over it."""

from collections.abc import Collection, Sequence

import numpy as np


def good_slices(depth: int, bad_slices: Collection[int] = ()) -> list[int]:
    """Return the slices of a stack that are not bad, in rising order."""
    bad = set(bad_slices)
    return [z for z in range(depth) if z not in bad]


def spread_evenly(slices: Sequence[int], most: int) -> list[int]:
    """Choose up to `most` slices in equal steps from the first to the last; all if there are no more."""
    places = np.linspace(0, len(slices) - 1, min(most, len(slices))).round().astype(int)
    return [slices[n] for n in np.unique(places)]
