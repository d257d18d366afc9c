"""The slices of an acquisition in the order of their numbers, with the gaps between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

from spherovem_core.ingest.metadata_order import (
    conflict_with_metadata,
    gaps_against_metadata,
    order_by_metadata,
)
from spherovem_core.ingest.numbering import Numbering, natural_key, number_slices, ranges
from spherovem_core.ingest.numbering_faults import TWICE
from spherovem_core.ingest.problems import Problem, some_of
from spherovem_core.ingest.reader import FileReport, SliceFile

_SHOWN = 8
_SHOWN_FILES = 3
# With fewer slices, gaps of one size may be chance.
_FEWEST_IN_STEPS = 4


@dataclass(frozen=True)
class OrderedSlices:
    """Slices from the first number to the last.

    Attributes
    ----------
    files
        File of each slice, None if its number is missing.
    numbers
        Number of each slice; counted from 0 if neither names nor metadata hold one.
    problems
        Names that give no order, duplicates, files that do not belong, numbers that do not count in steps.
    """

    files: tuple[SliceFile | None, ...]
    numbers: tuple[int, ...]
    problems: tuple[Problem, ...] = ()


def order_slices(reports: Sequence[FileReport], step: int, listed: Sequence[str] = ()) -> OrderedSlices:
    """Put the slices of a folder, or the pages of one file, in order.

    Parameters
    ----------
    reports
        One per file.
    step
        Difference of the numbers of two neighbouring slices.
    listed
        Names of the files in order, if ``acquisition.json`` lists them: they count before anything else.
    """
    if len(reports) == 1:
        return _order_pages(reports[0])
    problems = (*_several_images(reports), *_absent_companions(reports))
    slices = {report.path.name: report.slices[0] for report in reports}
    if listed:
        return OrderedSlices(tuple(slices[name] for name in listed), tuple(range(len(listed))), problems)
    numbering = number_slices(list(slices), step)
    by_metadata = order_by_metadata(reports)
    if numbering.fault and by_metadata is not None:
        return _with_gaps({number: slices[name] for name, number in by_metadata.items()}, 1, problems)
    if numbering.fault:
        names = sorted(slices, key=natural_key)
        files = tuple(slices[name] for name in names)
        return OrderedSlices(files, tuple(range(len(files))), (*problems, Problem(numbering.fault)))
    problems += _naming_problems(numbering)
    ordered = _with_gaps(
        {number: slices[name] for name, number in numbering.numbers.items()},
        numbering.step or step,
        problems,
        counted=numbering.step is None,
    )
    conflict = list(conflict_with_metadata(list(_by_number(numbering)), reports))
    conflict = conflict or list(gaps_against_metadata(numbering.numbers, reports))
    return OrderedSlices(ordered.files, ordered.numbers, (*ordered.problems, *conflict))


def _by_number(numbering: Numbering) -> Sequence[str]:
    return sorted(numbering.numbers, key=numbering.numbers.__getitem__)


def _order_pages(report: FileReport) -> OrderedSlices:
    count = len(report.slices)
    problems = []
    if report.companions:
        others = ", ".join(report.companions[:_SHOWN_FILES])
        found = (
            f"is one of {len(report.companions) + 1} files of a stack ({others} …); give the folder that holds them all as the "
            "source"
        )
        problems.append(Problem(found, report.path.name))
    elif count < report.declared_count or report.broken_off:
        expected = max(report.declared_count, count + 1)
        found = f"truncated, {count} images are there, at least {expected} should be; copy it again"
        problems.append(Problem(found, report.path.name))
    elif 0 < report.declared_count < count and count > 1:
        found = f"{count} images are there, its metadata speak of {report.declared_count}; export the stack again, as one series"
        problems.append(Problem(found, report.path.name))
    if report.indices and len(report.indices) == count:
        return _with_gaps(dict(zip(report.indices, report.slices, strict=True)), 1, problems)
    names = [file.name for file in report.slices]
    problems += conflict_with_metadata(names, [report])
    return OrderedSlices(report.slices, tuple(range(count)), tuple(problems))


def _several_images(reports: Sequence[FileReport]) -> tuple[Problem, ...]:
    wanted = "expected one slice per file, or a single multi-page file; join parts of one stack, give other stacks a folder each"
    return tuple(
        Problem(f"{len(report.slices)} images in one file among others; {wanted}", report.path.name)
        for report in reports
        if len(report.slices) > 1
    )


def _absent_companions(reports: Sequence[FileReport]) -> tuple[Problem, ...]:
    """Report files that the metadata of others name and that are not there; where all were renamed, none is."""
    there = {report.path.name for report in reports}
    named = dict.fromkeys(name for report in reports for name in report.companions)
    absent = [name for name in named if name not in there]
    if not absent or len(absent) == len(named):
        return ()
    return (
        Problem(
            f"files of the stack are not there, by the metadata of the others: {some_of(absent, _SHOWN)}; add them"
        ),
    )


def _naming_problems(numbering: Numbering) -> tuple[Problem, ...]:
    problems = [
        Problem(
            "is not named like the other slices; if it is no slice, move it out of the folder, else rename it like them",
            name,
        )
        for name in numbering.strays
    ]
    repeated = sorted(numbering.repeated.items())
    problems += [
        Problem(f"slice number {number} is there {_times(len(same))}: {', '.join(same[:_SHOWN])}; {TWICE}")
        for number, same in repeated
    ]
    return tuple(problems)


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


def _with_gaps(
    files: Mapping[int, SliceFile], step: int, problems: Sequence[Problem], *, counted: bool = False
) -> OrderedSlices:
    """Put slices at their numbers; those that are counted in the names are judged by `slice_number_step`."""
    numbers = sorted(files)
    span = numbers[-1] - numbers[0]
    common = gcd(*(b - a for a, b in pairwise(numbers)))
    # Every second slice of 100 is no stack with 50 gaps, which would be filled.
    larger = counted and common > step and len(numbers) >= _FEWEST_IN_STEPS
    uneven = any((number - numbers[0]) % step for number in numbers)
    # A time stamp taken for a number would leave millions of gaps.
    if larger or uneven or span // step + 1 > 2 * len(numbers) + 1:
        hint = f" = {common} (the z spacing is then that of these files)" if counted and common > 1 else ""
        what = (
            f"the {len(numbers)} slice numbers ({ranges(numbers, 3)}) do not count in steps of {step}; "
            f"add the missing slices, rename the files, or set slice_number_step{hint}"
        )
        return OrderedSlices(tuple(files[n] for n in numbers), tuple(numbers), (*problems, Problem(what)))
    every = range(numbers[0], numbers[-1] + 1, step)
    return OrderedSlices(tuple(files.get(n) for n in every), tuple(every), tuple(problems))
