"""The order of slices by the names of their files, and what in the names speaks against it."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import gcd
from statistics import median

from spherovem_core.ingest.file_names import FileName, cut_name, group_names, hexadecimal_like
from spherovem_core.ingest.name_fields import DAY, Field, Values, fields_of
from spherovem_core.ingest.numbering_faults import (
    IN_ORDER,
    numbered_parts,
    positions_twice,
    restarted,
    series_fault,
    settings_alone,
    some_names,
    split_by,
    text_series,
    two_orders,
    unnumbered,
)
from spherovem_core.ingest.position_gaps import DECIMALS_ROUNDED, gap_conflict

DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Numbering:
    """Slice numbers found in the names of files.

    Attributes
    ----------
    numbers
        Slice number of each name; empty if the names give no order.
    step
        Difference of the numbers of neighbouring slices by the names themselves; None if the numbers are plain counts.
    strays
        Names that are not built like the others, such as ``overview.tif`` among ``slice_0001.tif`` and so on.
    repeated
        Names of each number that occurs more than once.
    fault
        Reason why the names give no order, with the remedy; empty if they do.
    """

    numbers: Mapping[str, int]
    step: int | None = None
    strays: tuple[str, ...] = ()
    repeated: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    fault: str = ""


def natural_key(name: str) -> list[str | int]:
    """Make a sort key under which ``slice_9`` comes before ``slice_10``."""
    return [int(part) if i % 2 else part for i, part in enumerate(DIGITS.split(name.lower()))]


def number_slices(names: Sequence[str], step: int = 1) -> Numbering:
    """Find the slice number in the names.

    Names are cut into fixed text and quantities: whole numbers, decimals, clock times, dates. Names whose text differs are
    several series. In one series the slice number is the quantity that differs in each name; every other one that varies must
    rise with it, else the names can be read in two ways, or hold several series, and that is a fault. A setting of the
    microscope, such as the working distance, may change to and fro beside a number that counts without a gap.

    Parameters
    ----------
    step
        Difference of the numbers of neighbouring slices where they are whole numbers.
    """
    groups = group_names(names)
    main = groups[0]
    others = [each.name for group in groups[1:] for each in group]
    if len(names) > 1 and not main[0].numbers:
        return Numbering({}, fault=unnumbered(names))
    if others:
        if hexadecimal_like(names):
            return Numbering(
                {}, fault=f"the names look like hexadecimal counters ({some_names(names)}); {IN_ORDER}"
            )
        if 2 * len(main) <= len(names) or any(len(group) > 1 for group in groups[1:]):
            return Numbering({}, fault=text_series(groups))
    numbered = _number_series(main, step)
    return Numbering(numbered.numbers, numbered.step, tuple(others), numbered.repeated, numbered.fault)


def _number_series(series: Sequence[FileName], step: int) -> Numbering:
    """Number names that differ in nothing but their numbers."""
    names = [each.name for each in series]
    fields = fields_of(series)
    quantities = [each for each in fields if each.kind != "text"]
    if len(names) == 1:
        whole = [each.values[0] for each in quantities if each.kind == "integer"]
        return Numbering({names[0]: whole[-1] if whole else 0})
    varying = [each for each in quantities if each.distinct > 1]
    unique = sorted(
        (each for each in varying if each.distinct == len(names) and not each.is_setting),
        key=lambda each: _irregularity(each, step),
    )
    if varying and all(each.part for each in varying):
        return Numbering({}, fault=numbered_parts(names, varying[0].part))
    if varying and all(each.is_setting for each in varying):
        return Numbering({}, fault=settings_alone(names))
    objects = [each for each in varying if each.is_of_object and each not in unique]
    if objects and unique:
        return Numbering({}, fault=series_fault(list(split_by(names, objects))))
    for chosen in unique:
        others = [each for each in varying if each is not chosen]
        if all(_agrees(chosen, each) or _is_beside(chosen, each) for each in others) and (
            _is_unambiguous(chosen) or any(_is_unambiguous(each) for each in others if each in unique)
        ):
            lost = next(filter(None, (_lost(names, chosen, each) for each in others)), "")
            return Numbering({}, fault=lost) if lost else _numbered(names, chosen)
    return _diagnose(names, [*varying, *(each for each in fields if each.kind == "text")], unique)


def _lost(names: Sequence[str], chosen: Field, other: Field) -> str:
    """Say where the position along z, beside the slice number, tells of other missing slices."""
    counts = all(each.kind in ("integer", "decimal") and not _is_time_stamp(each) for each in (chosen, other))
    if not counts or not (other.role == "slice" or (other.is_position and not other.is_setting)):
        return ""
    rounding = DECIMALS_ROUNDED if other.kind == "decimal" else 0
    found = gap_conflict(names, chosen.values, other.values, rounding)
    return found and (
        f"{found}; add the missing slices, or rename the files so that both agree; if they are neighbours, {IN_ORDER}"
    )


def _irregularity(quantity: Field, step: int) -> tuple[float, ...]:
    """Rank quantities as slice numbers: whole numbers that count without gaps first."""
    kinds = {"integer": 0, "decimal": 1, "clock": 3, "date": 3}
    rank = 2 if _is_time_stamp(quantity) else kinds[quantity.kind]
    values = sorted(quantity.values)
    unit = step if rank == 0 else _unit(values)
    span = values[-1] - values[0]
    gaps = span // unit + 1 - len(values) if span % unit == 0 else span
    return rank > 1, gaps > len(values), rank, gaps, span


def _is_time_stamp(quantity: Field) -> bool:
    """Return whether whole numbers are dates, times or seconds of an epoch written without separators, and no count."""
    widths = {len(word) - len(word.rstrip("0123456789")) for word in quantity.words}
    values = quantity.values
    counts = max(values) - min(values) <= 2 * len(values) + 1
    return (
        quantity.kind == "integer"
        and len(widths) == 1
        and widths <= {8, 10, 12, 13, 14, 16, 17, 20}
        and not counts
    )


def _order(values: Values) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _agrees(chosen: Field, other: Field) -> bool:
    """Return whether another quantity rises, or stays, from slice to slice by one of its readings."""
    order = _order(chosen.values)
    for values in other.readings:
        steps = [values[b] - values[a] for a, b in pairwise(order)]
        # A time of day starts again each day: it may fall, but by more than half a day.
        if all(step >= 0 or (other.kind == "clock" and step % DAY < DAY / 2) for step in steps):
            return True
    return False


def _is_beside(chosen: Field, other: Field) -> bool:
    """Return whether another quantity is a setting that changes to and fro while slices are counted without a gap."""
    counts = chosen.kind == "integer" and max(chosen.values) - min(chosen.values) == len(chosen.values) - 1
    return other.is_setting and counts and not chosen.is_setting and chosen.role != "series"


def _is_unambiguous(quantity: Field) -> bool:
    """Return whether all readings of a quantity give the same order."""
    return len({tuple(_order(values)) for values in quantity.readings}) == 1


def _unit(values: Sequence[int]) -> int:
    return gcd(*(b - a for a, b in pairwise(values))) or 1


def _numbered(names: Sequence[str], chosen: Field) -> Numbering:
    values = chosen.values
    if chosen.kind == "integer" and not _is_time_stamp(chosen):
        return Numbering(dict(zip(names, values, strict=True)))
    order = _order(values)
    counts = _counts([values[i] for i in order], exact=chosen.kind != "decimal")
    return Numbering({names[i]: count for i, count in zip(order, counts, strict=True)}, 1)


def _counts(values: Sequence[int], *, exact: bool) -> list[int]:
    """Turn rising positions or times into slice numbers with gaps.

    Times that are no multiples of their usual step say nothing about missing slices: a run may pause. Positions are rounded.
    """
    steps = [b - a for a, b in pairwise(values)]
    usual = Counter(steps).most_common(1)[0]
    if all(step % usual[0] == 0 for step in steps) and 2 * usual[1] >= len(steps):
        first = 0 if exact or values[0] % usual[0] else values[0] // usual[0]
        return [first + (value - values[0]) // usual[0] for value in values]
    if exact:
        return list(range(len(values)))
    middle = int(median(steps)) or 1
    counts = [0]
    for step in steps:
        counts.append(counts[-1] + max(1, (2 * step + middle) // (2 * middle)))
    return counts


def _diagnose(names: Sequence[str], fields: Sequence[Field], unique: Sequence[Field]) -> Numbering:
    """Say why no quantity is the slice number: repeated slices, several series, or two readings."""
    counters = [each for each in fields if each.kind in ("integer", "decimal") and not _is_time_stamp(each)]
    if not counters and not unique:
        if all(each.kind == "text" for each in fields):
            number = next((f.values[0] for f in fields_of([cut_name(names[0])]) if f.kind == "integer"), 0)
            return Numbering({names[0]: number}, repeated={number: tuple(names)})
        return Numbering(
            {}, fault=f"the names hold no number that differs in each ({some_names(names)}); {IN_ORDER}"
        )
    counter = min(counters or unique, key=_by_role)
    if counter.distinct < len(names):
        return _repeated_or_series(names, counter, fields)
    contrary = [
        each for each in fields if each is not counter and each.kind != "text" and not _agrees(counter, each)
    ]
    keys = [each for each in contrary if 2 * each.distinct <= len(names)]
    if keys:
        return Numbering({}, fault=series_fault(list(split_by(names, keys))))
    readings = [counter.values, *(each.values for each in contrary)] if contrary else counter.readings
    orders = [[names[i] for i in _order(values)] for values in readings]
    return Numbering({}, fault=two_orders(orders))


def _by_role(quantity: Field) -> tuple[int, int, int]:
    role = {"slice": 0, "": 1, "series": 2}[quantity.role]
    return (quantity.role == "series", -quantity.distinct, role)


def _repeated_or_series(names: Sequence[str], counter: Field, fields: Sequence[Field]) -> Numbering:
    by_number: dict[int, list[str]] = defaultdict(list)
    for name, value in zip(names, counter.values, strict=True):
        by_number[value].append(name)
    repeated = {value: tuple(same) for value, same in by_number.items() if len(same) > 1}
    few = 4 * len(repeated) <= max(4, counter.distinct)
    keys = [
        each
        for each in fields
        if each is not counter and 2 * each.distinct <= len(names) and _tells(each, counter)
    ]
    if keys and (not few or any(key.role == "series" for key in keys)):
        return Numbering({}, fault=series_fault(list(split_by(names, keys))))
    runs = [] if few else _runs(names, counter, fields)
    if runs:
        return Numbering({}, fault=restarted(runs))
    if counter.kind != "integer":
        return Numbering({}, fault=positions_twice(repeated))
    numbers = {same[0]: value for value, same in by_number.items()}
    return Numbering(numbers, repeated=repeated)


def _runs(names: Sequence[str], counter: Field, fields: Sequence[Field]) -> list[list[str]]:
    """Split names into runs by a time in them, if the counter starts again after each and rises in it; else return nothing."""
    times = [each for each in fields if each.kind in ("clock", "date") or _is_time_stamp(each)]
    for time in times:
        if time.distinct < len(names):
            continue
        order = _order(time.values)
        runs = [[order[0]]]
        for a, b in pairwise(order):
            if counter.values[b] <= counter.values[a]:
                runs.append([])
            runs[-1].append(b)
        if 2 * len(runs) <= len(names):
            return [[names[i] for i in run] for run in runs]
    return []


def _tells(key: Field, counter: Field) -> bool:
    """Return whether a quantity differs between names of the same slice number."""
    found: dict[int, int] = {}
    return any(
        found.setdefault(number, value) != value
        for number, value in zip(counter.values, key.values, strict=True)
    )


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
