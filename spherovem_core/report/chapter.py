"""One stage's chapter of the report: its section and its warnings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section


def _no_warnings(inputs: ReportInputs) -> Sequence[str]:
    return ()


def _look_at_nothing(inputs: ReportInputs) -> None:
    return


@dataclass(frozen=True)
class Chapter:
    """One stage's part of the report.

    Attributes
    ----------
    title
        Title of the section.
    draw
        Builds the section, pictures included.
    warn
        Lists the warnings that the user must read before trusting the stage. Reads no image.
    look
        Reads of images of earlier stages what `draw` will show of them, before they are discarded (``storage: lean``). Has of
        the tables only that of the slices, as ingest wrote it.
    """

    title: str
    draw: Callable[[ReportInputs], Section]
    warn: Callable[[ReportInputs], Sequence[str]] = _no_warnings
    look: Callable[[ReportInputs], None] = _look_at_nothing
