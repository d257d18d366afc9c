"""Names of slice files as fixed text and numbers, grouped by their text."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

SUFFIX = re.compile(r"(\.ome)?\.[^.]*$", re.IGNORECASE)
NUMBER_MARK = "#"
_SIGNS = "-+\u2212"

# A dash is a sign where a number begins: at the start, after a separator; elsewhere it separates (slice-5, 2024-03-01).
_NUMBER = r"(?:\d+(?:[.,]\d+)?e[-+]\d\d?(?!\d)|\d+)"
_SIGNED = re.compile(rf"(?:(?<![^_=\s(\[{{,;:@~])[-+]|\u2212)?{_NUMBER}", re.IGNORECASE)
_SIGNED_AFTER_LETTERS = re.compile(rf"(?:(?<![\d)])[-+]|\u2212)?{_NUMBER}", re.IGNORECASE)
_WORD = re.compile(rf"(?:[^\W_]|{NUMBER_MARK})+|[\W_]")


@dataclass(frozen=True)
class FileName:
    """A name cut into fixed text and numbers.

    Attributes
    ----------
    name
        The whole name.
    texts
        Text before, between and after the numbers; one more than there are numbers.
    numbers
        Numbers as written, with their sign.
    suffix
        Ending of the name.
    """

    name: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    suffix: str

    @property
    def key(self) -> tuple[object, ...]:
        """The fixed text in lower case, and which numbers have an exponent: names of one series have one key."""
        return tuple(text.lower() for text in self.texts), tuple("e" in n.lower() for n in self.numbers)

    @property
    def pattern(self) -> str:
        """The name without its suffix, with ``#`` for each number."""
        return NUMBER_MARK.join(self.texts)


def cut_name(name: str, *, sign_after_letters: bool = False) -> FileName:
    """Cut a name into fixed text and numbers; full-width and other digits count as digits."""
    plain = unicodedata.normalize("NFKC", name)
    stem = SUFFIX.sub("", plain)
    number = _SIGNED_AFTER_LETTERS if sign_after_letters else _SIGNED
    found = list(number.finditer(stem))
    ends = [0, *(match.end() for match in found)]
    starts = [*(match.start() for match in found), len(stem)]
    texts = tuple(stem[end:start] for end, start in zip(ends, starts, strict=True))
    return FileName(name, texts, tuple(match.group() for match in found), plain[len(stem) :])


def group_names(names: Sequence[str]) -> list[list[FileName]]:
    """Group names that differ in nothing but their numbers; the largest group first.

    A dash directly after a letter is a sign if names with and without it are one series for that reason (``z-5`` and ``z5``)
    and are no order without it. A whole number is a decimal among decimals (``z0.5``, ``z1``, ``z1.5``) if they count in
    equal steps for that reason. Both may come together (``z-1.25``, ``z-1``, ``z0.25``, ``z1``).
    """
    groups = _grouped([cut_name(name) for name in names])
    if len(groups) > 1:
        decimals = _as_decimals(groups)
        if decimals:
            return [decimals]
        signed = _grouped([cut_name(name, sign_after_letters=True) for name in names])
        if len(signed) == 1:
            unsigned = {tuple(n.lstrip(_SIGNS) for n in each.numbers) for each in signed[0]}
            if len(unsigned) < len(names):
                return signed
        if decimals := _as_decimals(signed, with_signs=True):
            return [decimals]
    return groups


def _as_decimals(groups: Sequence[Sequence[FileName]], *, with_signs: bool = False) -> list[FileName]:
    """Write whole numbers as the decimals of the other names; return nothing if they then do not count in equal steps.

    Signs count `with_signs` only if the numbers do not count in equal steps without them, and go on across zero.
    """
    if len(groups) > 2:
        return []
    whole, broken = sorted(groups, key=lambda group: len(group[0].numbers)) if groups[1:] else ([], groups[0])
    texts = tuple(text.lower() for text in broken[0].texts)
    for place in range(1, len(texts) - 1):
        if texts[place] not in (".", ","):
            continue
        if whole and texts[:place] + texts[place + 1 :] != tuple(t.lower() for t in whole[0].texts):
            continue
        point = broken[0].texts[place]
        found = [*broken]
        for each in whole:
            inserted = (*each.texts[:place], point, *each.texts[place:])
            numbers = (*each.numbers[:place], "0", *each.numbers[place:])
            found.append(FileName(each.name, inserted, numbers, each.suffix))
        values = [(each.numbers[place - 1], each.numbers[place]) for each in found]
        if _is_dense(values) and not (with_signs and _is_read_without_signs(values)):
            return found
    return []


def _is_read_without_signs(numbers: Sequence[tuple[str, str]]) -> bool:
    """Return whether signed decimals are an order without their signs too, or two series of one length of step."""
    unsigned = [(whole.lstrip(_SIGNS), fraction) for whole, fraction in numbers]
    if len(set(map(_decimal, unsigned))) == len(numbers) and _is_dense(unsigned):
        return True
    values = sorted(set(map(_decimal, numbers)))
    above = next((n for n, value in enumerate(values) if value >= 0), 0)
    return above == 0 or values[above] - values[above - 1] != min(b - a for a, b in pairwise(values))


def _is_dense(numbers: Sequence[tuple[str, str]]) -> bool:
    """Return whether decimals count in equal steps, with few gaps: a slice taken again (``5.1`` beside ``5``) does not."""
    if not all(whole.lstrip(_SIGNS).isdecimal() and fraction.isdecimal() for whole, fraction in numbers):
        return False
    values = sorted(set(map(_decimal, numbers)))
    steps = [b - a for a, b in pairwise(values)]
    least = min(steps, default=Decimal(0))
    return (
        len(steps) > 1
        and not any(step % least for step in steps)
        and sum(steps) <= 1.5 * len(steps) * float(least)
    )


def _decimal(number: tuple[str, str]) -> Decimal:
    return Decimal(".".join(number).replace("\u2212", "-"))


def _grouped(cut: Sequence[FileName]) -> list[list[FileName]]:
    groups: dict[tuple[object, ...], list[FileName]] = defaultdict(list)
    for each in cut:
        groups[each.key].append(each)
    return sorted(groups.values(), key=len, reverse=True)


def hexadecimal_like(names: Sequence[str]) -> bool:
    """Return whether names differ in one part of equal length that is hexadecimal, with letters among its digits."""
    stems = [SUFFIX.sub("", name).lower() for name in names]
    first, last = min(stems), max(stems)
    start = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    while start and stems[0][start - 1] in "0123456789abcdef":
        start -= 1
    backward = [stem[::-1] for stem in stems]
    first, last = min(backward), max(backward)
    end = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    parts = {stem[start : len(stem) - end] for stem in stems}
    return (
        len({len(part) for part in parts}) == 1
        and all(re.fullmatch("[0-9a-f]{2,}", part) for part in parts)
        and any(part.isdigit() for part in parts)
    )


def pattern_of(series: Sequence[FileName]) -> str:
    """Return the pattern of names of one series, with the numbers that all of them have: ``SE2_#``, not ``SE#_#``."""
    first = series[0]
    shown = [
        number if all(each.numbers[place] == number for each in series) else NUMBER_MARK
        for place, number in enumerate(first.numbers)
    ]
    return "".join(part for pair in zip(first.texts, [*shown, ""], strict=True) for part in pair)


def labels_of(patterns: Sequence[str]) -> list[str]:
    """Name series by the words in which their patterns differ, such as ``InLens`` and ``EsB``; else by the whole patterns."""
    words = [_WORD.findall(pattern) for pattern in patterns]
    shortest = min(len(each) for each in words)
    head = _common(words, shortest)
    tail = _common([each[::-1] for each in words], shortest - head)
    labels = ["".join(each[head : len(each) - tail]).strip(" _-.,=+") for each in words]
    return labels if all(labels) and len(set(labels)) == len(labels) else list(patterns)


def _common(words: Sequence[Sequence[str]], most: int) -> int:
    for n in range(most):
        if len({each[n].lower() for each in words}) > 1:
            return n
    return most


def names_of_series(names: Sequence[str], series: str) -> list[str]:
    """Select the names of one series.

    Parameters
    ----------
    series
        A pattern as in the message that lists the series (``#`` for a number), or words that its names hold, such as
        ``InLens`` or ``part1``. Upper and lower case count only where that decides.
    """
    for fold in (str, str.lower):
        wanted = fold(unicodedata.normalize("NFKC", series))
        same = [name for name in names if fold(cut_name(name).pattern) == wanted]
        if same:
            return same
        body = re.escape(wanted).replace(re.escape(NUMBER_MARK), rf"[-+]?{_NUMBER}")
        edges = [
            r"(?<![^\W_])" if wanted[:1].isalnum() else "",
            r"(?![^\W_])" if wanted[-1:].isalnum() else "",
        ]
        expression = re.compile(f"{edges[0]}{body}{edges[1]}")
        found = [name for name in names if expression.search(fold(unicodedata.normalize("NFKC", name)))]
        if found:
            return found
    return []
