"""A chapter of the report: what one stage shows, and what it warns of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section


def _no_warnings(inputs: ReportInputs) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Chapter:
    """One stage's part of the report.

    Attributes
    ----------
    title
        As the section's.
    draw
        Makes the section, pictures included.
    warn
        Finds what the user must know before trusting the stage; reads no image.
    """

    title: str
    draw: Callable[[ReportInputs], Section]
    warn: Callable[[ReportInputs], Sequence[str]] = _no_warnings
