"""Quantities in the names of one series: integers, decimals, clock times and dates, each with its possible readings."""

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Literal

from spherovem_core.ingest.file_names import FileName

Values = tuple[int, ...]
Kind = Literal["integer", "decimal", "clock", "date", "text"]
Role = Literal["slice", "series", ""]

TICKS = 1_000_000
"""Values of times and dates count in microseconds."""
DAY = 86_400 * TICKS

_SLICE_WORDS = frozenset(
    {
        "z", "s", "sl", "slice", "slices", "sec", "sect", "section", "img", "image", "im", "frame",
        "page", "plane", "layer", "cut", "depth",
    }
)  # fmt: skip
_SERIES_WORDS = frozenset(
    {
        "t", "tile", "tiles", "g", "grid", "r", "row", "c", "col", "column", "ch", "chan",
        "channel", "det", "detector", "x", "y", "part", "run", "roi", "sample", "series", "session",
        "block", "pos", "position", "mosaic", "fov", "acq", "acquisition", "exp", "stack",
        "timepoint", "tp", "wafer", "area", "region",
    }
)  # fmt: skip
_SETTINGS = re.compile(
    r"(?<![^\W_])(wd|working[\W_]*distance|brightness|contrast|focus|defocus|stig|stigx|stigy|stigmator|temp|temperature|"
    r"pressure|vacuum|humidity|tilt|angle)[\W_]*$"
)
"""Words before settings of the microscope that an operator or an automatic control turns up and down during a run."""
_Z_AND_DASH = re.compile(r"(?<![^\W_])(z|depth|height)(pos|position)?-$")
_UNIT = re.compile(r"\s?(nm|um|\u03bcm|mm|pm|micron|microns)(?![^\W_])", re.IGNORECASE)
_CLOCK_SEPARATORS = frozenset("-:._h ")
_DATE_SEPARATORS = frozenset("-_. /:")
# Between two slices of one run the time differs by a few times the usual; parts or tiles that are numbered xx-yy jump.
_DENSE = 3


PARTS = frozenset({"tile", "tiles", "channel", "channels", "chan", "ch", "detector", "det"})  # fmt: skip
"""Words before a number that counts the parts of one slice, and no slices."""
OBJECTS = PARTS | {"sample", "specimen", "mouse", "animal", "patient", "roi", "fov", "area", "region"}
"""Words before a number that tells images of different things apart: they are no stack, even if their slices count through."""
_KINDS = re.compile(r"\s?(kv|kx|x)(?![^\W_])", re.IGNORECASE)
"""Units of the voltage and of the magnification: slices that differ in them are of two series."""


@dataclass(frozen=True)
class Field:
    """One quantity in the names of a series.

    Attributes
    ----------
    kind
        ``text`` stands for a difference in suffix or case.
    words
        Words of each name that hold it, such as ``part1``.
    readings
        Values of all names, by each way in which the quantity can be read.
    role
        Purpose by the word before it.
    decimals
        Digits behind the point: values are whole numbers of this unit, so that numbers of any length stay exact.
    part
        Word before it, if it is one of `PARTS`.
    is_setting
        True for a setting of the microscope, such as the working distance, which gives no order.
    is_position
        True for a length, such as ``50nm``, that may be a position along z.
    is_of_object
        True if it tells apart images of different things, such as samples.
    letters
        Letters directly behind it that end a word, such as ``kV``.
    """

    kind: Kind
    words: tuple[str, ...]
    readings: tuple[Values, ...]
    role: Role = ""
    decimals: int = 0
    part: str = ""
    is_setting: bool = False
    is_position: bool = False
    is_of_object: bool = False
    letters: str = ""

    @property
    def values(self) -> Values:
        """Values by the likeliest reading."""
        return self.readings[0]

    @property
    def distinct(self) -> int:
        """Number of different values."""
        return len(set(self.values))


def fields_of(series: Sequence[FileName]) -> list[Field]:
    """Find the quantities in names that differ in nothing but their numbers."""
    names = _Names(series)
    fields: list[Field] = []
    place = 0
    while place < names.count:
        field, used = next(filter(None, (read(names, place) for read in _READERS)))
        fields.append(
            replace(
                field,
                is_setting=names.is_setting(place),
                is_position=field.role == "" and names.has_unit(place + used),
                is_of_object=names.is_of_object(place, place + used),
                letters=names.letters_behind(place + used),
            )
        )
        place += used
    endings = tuple(each.suffix + "".join(each.texts) for each in series)
    if len(set(endings)) > 1:
        ranks = {ending: rank for rank, ending in enumerate(sorted(set(endings)))}
        words = tuple(each.suffix for each in series)
        if len(set(words)) == 1:
            words = tuple(each.texts[0] for each in series)
        fields.append(Field("text", words, (tuple(ranks[ending] for ending in endings),)))
    return fields


class _Names:
    """Names of one series, number by number."""

    def __init__(self, series: Sequence[FileName]) -> None:
        self.series = series
        self.texts = [text.lower() for text in series[0].texts]
        self.count = len(series[0].numbers)

    def numbers(self, place: int) -> list[str]:
        """Return one number of each name as written, or nothing behind the last."""
        return [each.numbers[place] for each in self.series] if place < self.count else []

    def plain(self, place: int, least: int, most: int, widths: Sequence[int]) -> list[int]:
        """Return one number of each name if all have one of these widths, no sign, and lie in the range; else nothing."""
        texts = self.numbers(place)
        if not all(text.isdecimal() and len(text) in widths for text in texts):
            return []
        values = [int(text) for text in texts]
        return values if all(least <= value <= most for value in values) else []

    def words(self, place: int, used: int = 1) -> tuple[str, ...]:
        """Return the word of each name that holds these numbers."""
        found = []
        for each in self.series:
            before = re.search(r"[^\W\d_]*[_\-=. ]?$", each.texts[place])
            inner = "".join(
                n + t
                for n, t in zip(each.numbers[place : place + used - 1], each.texts[place + 1 :], strict=False)
            )
            found.append(
                f"{before.group() if before else ''}{inner}{each.numbers[place + used - 1]}".lstrip("_-=. ")
            )
        return tuple(found)

    def word_before(self, place: int) -> str:
        """Return the word before a number; empty if there is none."""
        word = re.search(r"([^\W\d_]+)[\W_]*$", self.texts[place])
        return "" if word is None else word.group(1)

    def is_setting(self, place: int) -> bool:
        """Return whether a number is a setting of the microscope by the word before it."""
        return _SETTINGS.search(self.texts[place]) is not None

    def letters_behind(self, after: int) -> str:
        """Return the letters with which a text begins, if a word ends there."""
        text = self.series[0].texts[after]
        found = re.match(r"[^\W\d_]+", text)
        ends = found is not None and (found.end() < len(text) or after == self.count)
        return found.group() if found is not None and ends else ""

    def has_unit(self, after: int) -> bool:
        """Return whether a length ends before a text."""
        return _UNIT.match(self.texts[after]) is not None

    def is_of_object(self, place: int, after: int) -> bool:
        """Return whether a number tells different things apart by the word before it or the unit behind it."""
        return self.word_before(place) in OBJECTS or _KINDS.match(self.texts[after]) is not None

    def is_dash_after_space(self, place: int) -> bool:
        """Return whether each number follows a dash after a space, which is a sign or stands between words."""
        return self.texts[place][-1:].isspace() and all(n.startswith("-") for n in self.numbers(place))

    def may_be_below_zero(self, place: int) -> bool:
        """Return whether the dash before each number may be its sign: a position along z is written ``z-0.25``."""
        return self.is_dash_after_space(place) or _Z_AND_DASH.search(self.texts[place]) is not None

    def role(self, place: int) -> Role:
        """Return the purpose of a number by the word before it."""
        word = self.word_before(place)
        if word in _SLICE_WORDS:
            return "slice"
        return "series" if word in _SERIES_WORDS else ""


Read = tuple[Field, int] | None


def _read_date(names: _Names, place: int) -> Read:
    """Read a date, alone or with the time of day after it."""
    days, used = _days(names, place)
    if not days:
        return None
    times, more = _time_of_day(names, place + used)
    if not more and used == 1 and _is_year_first(names, place):
        return None  # 20240301 counts as a number
    seconds = times or [0] * len(names.series)
    readings = [tuple(day * DAY + s for day, s in zip(each, seconds, strict=True)) for each in days]
    if not more and used == 1:
        readings.append(tuple(int(text) for text in names.numbers(place)))
    return Field("date", names.words(place, used + more), tuple(readings)), used + more


def _days(names: _Names, place: int) -> tuple[list[Values], int]:
    """Return the days since the year 1 by every order of day, month and year that fits, and how many numbers they take."""
    if _separated(names, place, 3, _DATE_SEPARATORS):
        year = names.plain(place, 1900, 2100, (4,))
        month, day = names.plain(place + 1, 1, 12, (1, 2)), names.plain(place + 2, 1, 31, (1, 2))
        if year and month and day:
            return _valid_days([(year, month, day)]), 3
        year = names.plain(place + 2, 1900, 2100, (4,))
        first, second = names.plain(place, 1, 31, (1, 2)), names.plain(place + 1, 1, 31, (1, 2))
        if year and first and second:
            return _valid_days([(year, second, first), (year, first, second)]), 3
    if names.plain(place, 0, 99_999_999, (8,)):
        if _is_year_first(names, place):
            return _valid_days([_columns([(t[:4], t[4:6], t[6:]) for t in names.numbers(place)])]), 1
        year, month, day = _columns([(t[4:], t[2:4], t[:2]) for t in names.numbers(place)])
        return _valid_days([(year, month, day), (year, day, month)]), 1
    return [], 0


def _is_year_first(names: _Names, place: int) -> bool:
    return bool(_valid_days([_columns([(t[:4], t[4:6], t[6:]) for t in names.numbers(place)])]))


def _columns(parts: Sequence[tuple[str, str, str]]) -> tuple[list[int], list[int], list[int]]:
    year, month, day = ([int(text) for text in column] for column in zip(*parts, strict=True))
    return year, month, day


def _valid_days(candidates: Sequence[tuple[list[int], list[int], list[int]]]) -> list[Values]:
    found = []
    for years, months, days in candidates:
        try:
            dates = [datetime.date(*each) for each in zip(years, months, days, strict=True)]
        except ValueError:
            continue
        if all(1900 <= date.year <= 2100 for date in dates):
            found.append(tuple(date.toordinal() for date in dates))
    return found


def _time_of_day(names: _Names, place: int) -> tuple[list[int], int]:
    """Return the times since midnight, and how many numbers they take; nothing if these are no times."""
    if place >= names.count or len(names.texts[place]) > 4:
        return [], 0
    if names.plain(place, 0, 235959, (6,)):
        parts = [(text[:2], text[2:4], text[4:]) for text in names.numbers(place)]
        hours, minutes, seconds = _columns(parts)
        if max(hours) < 24 and max(minutes) < 60 and max(seconds) < 60:
            return _with_fraction(names, place, 1, _ticks(hours, minutes, seconds))
    hours, minutes = names.plain(place, 0, 23, (1, 2)), names.plain(place + 1, 0, 59, (2,))
    if hours and minutes and _separated(names, place, 2, _CLOCK_SEPARATORS):
        seconds = names.plain(place + 2, 0, 59, (2,))
        # 09h30m12 has two separators.
        if seconds and (
            _separated(names, place, 3, _CLOCK_SEPARATORS) or names.texts[place + 1 : place + 3] == ["h", "m"]
        ):
            return _with_fraction(names, place, 3, _ticks(hours, minutes, seconds))
        return _ticks(hours, minutes, [0] * len(hours)), 2
    return [], 0


def _ticks(hours: list[int], minutes: list[int], seconds: list[int]) -> list[int]:
    return [TICKS * (h * 3600 + m * 60 + s) for h, m, s in zip(hours, minutes, seconds, strict=True)]


def _with_fraction(names: _Names, place: int, used: int, times: list[int]) -> tuple[list[int], int]:
    """Add the fraction of a second, if there is one."""
    texts = names.numbers(place + used)
    separator = names.texts[place + used] if texts else ""
    widths = (3,) if separator in ("-", "_") else (1, 2, 3, 4, 5, 6)
    if separator not in (".", ",", "-", "_") or not names.plain(place + used, 0, TICKS, widths):
        return times, used
    return [time + int(text.ljust(6, "0")) for time, text in zip(times, texts, strict=True)], used + 1


def _separated(names: _Names, place: int, count: int, separators: frozenset[str]) -> bool:
    """Return whether this many numbers are there with one and the same separator between them."""
    between = set(names.texts[place + 1 : place + count])
    return place + count <= names.count and len(between) == 1 and between <= separators


def _read_clock(names: _Names, place: int) -> Read:
    """Read a time of day without a date, if it is one: tiles and parts are also numbered 01-02."""
    before = names.texts[place]
    if place + 1 >= names.count or before[-1:].isalpha() or len(names.numbers(place)) < 2:
        return None
    if names.texts[place + 1] == "_" and not _separated(names, place, 3, _CLOCK_SEPARATORS):
        return None
    hours_minutes = names.plain(place, 0, 23, (1, 2)) and names.plain(place + 1, 0, 59, (2,))
    if not hours_minutes:
        return None
    times, used = _time_of_day(_Shortened(names, place), 0)
    after = names.texts[place + used] if used else ""
    if used < 2 or (after[:1].isalpha() and after[:1] not in "hms"):
        return None
    seconds = tuple(times)
    if len(set(seconds)) < 2 or not _is_dense(seconds):
        return None
    readings = [seconds, *_after_midnight(seconds), *_as_dates(names, place, used)]
    return Field("clock", names.words(place, used), tuple(readings)), used


class _Shortened(_Names):
    """The numbers of names from one of them on, with nothing before."""

    def __init__(self, names: _Names, place: int) -> None:
        self.series = [
            FileName(each.name, ("", *each.texts[place + 1 :]), each.numbers[place:], each.suffix)
            for each in names.series
        ]
        self.texts = [text.lower() for text in self.series[0].texts]
        self.count = names.count - place


def _is_dense(seconds: Values) -> bool:
    """Return whether the times follow one another as those of slices do; the pause of a run over midnight does not count."""
    steps = sorted(b - a for a, b in pairwise(sorted(set(seconds))))
    if _after_midnight(seconds):
        steps.pop()
    return not steps or steps[-1] <= _DENSE * max(median(steps), 1)


def _after_midnight(seconds: Values) -> list[Values]:
    """Return the reading in which the early times are those of the next day, if the pause between is the longest."""
    ordered = sorted(set(seconds))
    step, start = max((b - a, b) for a, b in pairwise(ordered))
    if step <= DAY - (ordered[-1] - ordered[0]):
        return []
    return [tuple(s - DAY if s >= start else s for s in seconds)]


def _as_dates(names: _Names, place: int, used: int) -> list[Values]:
    """Return the readings of 01-03-24 as a day, where the last number is always the same."""
    if used != 3 or len(set(names.numbers(place + 2))) > 1:
        return []
    year = [2000 + value for value in names.plain(place + 2, 10, 50, (2,))]
    first, second = names.plain(place, 1, 31, (2,)), names.plain(place + 1, 1, 31, (2,))
    return _valid_days([(year, second, first), (year, first, second)]) if year and first and second else []


def _read_decimal(names: _Names, place: int) -> Read:
    """Read a number with decimals after a point or comma."""
    if place + 1 >= names.count or names.texts[place + 1] not in (".", ","):
        return None
    separator = names.texts[place + 1]
    if names.texts[place + 2] == separator or names.texts[place] == separator:
        return None  # 1.2.3 is a version or a date
    whole, fraction = names.numbers(place), names.numbers(place + 1)
    if not all(text.isdecimal() for text in fraction) or any("e" in text.lower() for text in whole):
        return None
    has_unit = _UNIT.match(names.texts[place + 2]) is not None
    signed = any(text[0] in "-\u2212" for text in whole)
    one_width = len({len(text) for text in fraction}) == 1
    counts = one_width and not signed and not has_unit and not names.is_setting(place)
    if len(set(whole)) == 1 and counts and whole[0].strip("0"):
        return None  # run1.0001: the number behind the point counts
    role = names.role(place)
    pairs = list(zip(whole, fraction, strict=True))
    values, decimals = _scaled([f"{w}.{f}" for w, f in pairs])
    readings = [values]
    if not one_width and not has_unit:
        width = max(len(text) for text in fraction)
        readings.append(
            _scaled([f"{w}.{f.zfill(width)}" for w, f in pairs])[0]
        )  # version 1.9 comes before 1.10
    if names.may_be_below_zero(place) and all(values):
        readings.append(tuple(-value for value in values))  # "z-0.25": a dash, or a sign
    return Field("decimal", names.words(place, 2), tuple(readings), role, decimals), 2


def _read_integer(names: _Names, place: int) -> Read:
    """Read a whole number, or one with an exponent."""
    texts = names.numbers(place)
    values, decimals = _scaled(texts)
    readings = [values]
    if names.is_dash_after_space(place):
        readings.append(tuple(-value for value in values))  # "slice -5": a sign, or a dash
    kind: Kind = "decimal" if any("e" in text.lower() for text in texts) else "integer"
    word = names.word_before(place)
    part = word if word in PARTS else ""
    return Field(kind, names.words(place), tuple(readings), names.role(place), decimals, part), 1


def _scaled(texts: Sequence[str]) -> tuple[Values, int]:
    """Return numbers as whole multiples of the last digit, and the number of digits behind the point."""
    parts = [_digits_and_exponent(text) for text in texts]
    decimals = max(0, -min(exponent for _, exponent in parts))
    return tuple(digits * 10 ** (exponent + decimals) for digits, exponent in parts), decimals


def _digits_and_exponent(text: str) -> tuple[int, int]:
    number, _, exponent = text.lower().replace("\u2212", "-").replace(",", ".").partition("e")
    whole, _, fraction = number.partition(".")
    return int(whole + fraction), int(exponent or 0) - len(fraction)


_READERS: tuple[Callable[[_Names, int], Read], ...] = (_read_date, _read_clock, _read_decimal, _read_integer)
