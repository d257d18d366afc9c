"""Slices that a person excludes, each with the reason: ``"12-18: charging"``, ``"slice_0042.tif: fold"``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

NUMBERS = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+))?")
FORM = 'expected "NUMBER: reason", "FIRST-LAST: reason" or "FILE NAME: reason", such as "12-18: charging"'


@dataclass(frozen=True)
class Exclusion:
    """One entry of excluded slices.

    Attributes
    ----------
    what
        Slice number, ``FIRST-LAST`` with both ends excluded, or name of a file.
    reason
        Why these slices are left out, in the words of the person who decided.
    """

    what: str
    reason: str

    @property
    def numbers(self) -> tuple[int, int] | None:
        """First and last slice number; None if the entry is the name of a file."""
        match = NUMBERS.fullmatch(self.what)
        if match is None:
            return None
        first = int(match[1])
        return first, first if match[2] is None else int(match[2])


def parse_exclusion(entry: str) -> Exclusion:
    """Read one entry.

    Raises
    ------
    ValueError
        If it has no reason, or its range falls.
    """
    what, _, reason = (part.strip() for part in entry.partition(":"))
    if not what or not reason:
        raise ValueError(f"{entry!r} names no {'reason' if what else 'slices'}; {FORM}")
    if NUMBERS.fullmatch(what) and re.fullmatch(r"[-\d\s:]+", reason):
        raise ValueError(f"{entry!r} has no reason in words; a range is written FIRST-LAST; {FORM}")
    exclusion = Exclusion(what, reason)
    if exclusion.numbers and exclusion.numbers[0] > exclusion.numbers[1]:
        raise ValueError(f"{entry!r} ends before it begins; {FORM}")
    return exclusion


def exclusion_entries(value: object) -> tuple[str, ...]:
    """Bring entries into one form.

    Parameters
    ----------
    value
        An entry, a sequence of entries, or a mapping of slices to reasons, as YAML and JSON files hold them.

    Raises
    ------
    ValueError
        If an entry has another form.
    """
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is no list; {FORM}")
    return tuple(text for entry in value for text in _texts(entry))


def _texts(entry: object) -> list[str]:
    if isinstance(entry, Mapping):
        for what in entry:
            if not isinstance(what, str):
                raise ValueError(
                    f'{what!r} is not in quotes, and YAML reads 0040 as 32; write "{what}: {entry[what]}" in quotes'
                )
        entries = [f"{what}: {'' if reason is None else reason}" for what, reason in entry.items()]
    elif isinstance(entry, str):
        entries = [entry]
    else:
        raise ValueError(f"{entry!r} is no text; {FORM}")
    parsed = [parse_exclusion(text) for text in entries]
    return [f"{exclusion.what}: {exclusion.reason}" for exclusion in parsed]


ExcludedSlices = Annotated[tuple[str, ...], BeforeValidator(exclusion_entries)]
"""Entries of excluded slices in their normal form."""
