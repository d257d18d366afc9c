"""Positions in the names of slices against their numbers: where one has a gap that the other has not, a slice was lost."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from spherovem_core.ingest.name_fields import Values

_FEWEST = 5
# Positions that are less regular than this say nothing about gaps.
_REGULAR = 0.75
DECIMALS_ROUNDED = 1.5
"""Decimals are rounded to their last digit: a step may be one off, and its usual value too."""


def gap_conflict(
    names: Sequence[str],
    numbers: Values,
    positions: Values,
    rounding: float = 0,
    what: str = "position in the names",
) -> str:
    """Say where number and position differ about missing slices; empty if they agree.

    Files that were renumbered have no gap where a slice is missing, but the position in the name, such as ``z=0.080um``, still
    has one. A step counts as different if it is half a usual step off. Positions at irregular distances are not judged.

    Parameters
    ----------
    names, numbers, positions
        Of the same slices, in any order; positions are whole multiples of their last digit, and rise with the numbers.
    rounding
        By how much a step may be off since positions are rounded.
    what
        Name of the positions.
    """
    order = sorted(range(len(names)), key=numbers.__getitem__)
    pairs = list(pairwise(order))
    if len(order) < _FEWEST:
        return ""
    rises = [(numbers[b] - numbers[a], positions[b] - positions[a]) for a, b in pairs]
    each = median(position / number for number, position in rises)
    usual = median(position for _, position in rises)
    off = [abs(position - number * each) for number, position in rises]
    if usual <= 0 or sum(value <= max(rounding, usual / 4) for value in off) < _REGULAR * len(off):
        return ""
    places = [n for n, value in enumerate(off) if value >= max(rounding, usual / 2)]
    if not places:
        return ""
    number, position = rises[places[0]]
    a, b = pairs[places[0]]
    more = f" (and at {len(places) - 1} more places)" if len(places) > 1 else ""
    return (
        f"number and {what} disagree about missing slices: from {names[a]} to {names[b]} the number rises by "
        f"{number}, the {what.split(' in ')[0]} by {position / usual:.3g} usual steps{more}"
    )
