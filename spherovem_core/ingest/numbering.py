"""The slice number in a file's name."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DIGITS = re.compile(r"(\d+)")
SUFFIX = re.compile(r"(\.ome)?\.[^.]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Numbering:
    """Slice numbers found in the names of files.

    Attributes
    ----------
    numbers
        Slice number of each name; empty if the names hold none.
    strays
        Names that are not built like the others, such as ``overview.tif`` among ``slice_0001.tif`` and so on.
    """

    numbers: Mapping[str, int]
    strays: tuple[str, ...] = ()


def natural_key(name: str) -> list[str | int]:
    """Make a sort key under which ``slice_9`` comes before ``slice_10``."""
    return [int(part) if i % 2 else part for i, part in enumerate(DIGITS.split(name.lower()))]


def number_slices(names: Sequence[str]) -> Numbering:
    """Find the slice number among the numbers in the names.

    A name may hold several numbers (``slice_00012_z=0.4800um``, ``2024-03-01_14-05_slice_12``). The slice number is the
    one that differs between most files; of several that do, the one that spans the smallest range.
    """
    stems = {name: SUFFIX.sub("", name).lower() for name in names}
    pattern, count = Counter(DIGITS.sub("#", stem) for stem in stems.values()).most_common(1)[0]
    if "#" not in pattern or 2 * count <= len(names):
        return Numbering({})
    members = [name for name in names if DIGITS.sub("#", stems[name]) == pattern]
    columns = list(zip(*(map(int, DIGITS.findall(stems[name])) for name in members), strict=True))
    chosen = max(range(len(columns)), key=lambda i: (len(set(columns[i])), -_span(columns[i]), i))
    strays = tuple(name for name in names if DIGITS.sub("#", stems[name]) != pattern)
    return Numbering(dict(zip(members, columns[chosen], strict=True)), strays)


def _span(values: Sequence[int]) -> int:
    return max(values) - min(values)


def ranges(numbers: Sequence[int], limit: int = 8) -> str:
    """Write numbers as ranges, such as ``3, 7 to 9``; count those beyond `limit` ranges."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a} to {b}" if b > a + 1 else f"{a}, {b}" for a, b in runs[:limit]]
    left = sum(b - a + 1 for a, b in runs[limit:])
    return ", ".join(words) + (f" and {left} more" if left else "")
