"""The problems of an acquisition, and one error that names them all."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spherovem_core.errors import AcquisitionError, BadSlicesError, MissingSpacingError

MAX_LINES = 20
MAX_NAMES = 6


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an acquisition.

    Attributes
    ----------
    found
        Message with the finding, the expectation and the remedy.
    file
        Name of the file it concerns; empty if it concerns the acquisition.
    fillable
        True if ``on_bad_slice = interpolate`` repairs it.
    about
        Decides which error is raised if there is nothing else.
    """

    found: str
    file: str = ""
    fillable: bool = False
    about: Literal["slices", "spacing", "description"] = "slices"


def acquisition_error(source: Path, problems: Sequence[Problem]) -> AcquisitionError:
    """Make one error of all problems: one line per problem, files with the same problem together."""
    abouts = {problem.about for problem in problems}
    error = AcquisitionError
    if "slices" in abouts:
        error = BadSlicesError
    elif "spacing" in abouts:
        error = MissingSpacingError
    lines = problem_lines(problems, source.name)
    if len(lines) == 1:
        text = f"{source.name}: {lines[0]}"
    else:
        shown = [f"  - {line}" for line in lines[:MAX_LINES]]
        if len(lines) > MAX_LINES:
            shown.append(f"  - and {len(lines) - MAX_LINES} more")
        text = "\n".join([f"{source.name}: {len(lines)} problems:", *shown])
    if any(problem.fillable for problem in problems):
        text += (
            "\nRepair these files or acquire them again; on_bad_slice = interpolate fills missing, truncated, blank and "
            "saturated slices from their neighbours"
        )
    return error(text)


def problem_lines(problems: Sequence[Problem], source: str) -> list[str]:
    """Write one line per problem, files with the same one together; the source's own name is left out."""
    files = defaultdict(list)
    for problem in problems:
        files[problem.found].append(problem.file)
    return [
        _line(found, [name for name in names if name not in ("", source)]) for found, names in files.items()
    ]


def some_of(names: Sequence[str], count: int = MAX_NAMES) -> str:
    """List the first names, and say how many more there are."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _line(found: str, names: Sequence[str]) -> str:
    return f"{some_of(names)}: {found}" if names else found
