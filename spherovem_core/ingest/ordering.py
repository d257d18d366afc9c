"""The slices of an acquisition in the order of their numbers, with the gaps between them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spherovem_core.ingest.numbering import number_slices, ranges
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile


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
        Duplicates, files that do not belong, numbers that do not count in steps.
    """

    files: tuple[SliceFile | None, ...]
    numbers: tuple[int, ...]
    problems: tuple[Problem, ...] = ()


def order_slices(reports: Sequence[FileReport], step: int) -> OrderedSlices:
    """Put the slices of a folder, or the pages of one file, in order.

    Parameters
    ----------
    reports
        One per file, in natural order of the names.
    step
        Difference of the numbers of two neighbouring slices.
    """
    return _order_pages(reports[0]) if len(reports) == 1 else _order_files(reports, step)


def _order_pages(report: FileReport) -> OrderedSlices:
    count = len(report.slices)
    if report.indices:
        return _with_gaps(dict(zip(report.indices, report.slices, strict=True)), 1, ())
    problems = []
    if count < report.declared_count or report.broken_off:
        expected = max(report.declared_count, count + 1)
        found = f"truncated, {count} images are there, at least {expected} should be; copy it again"
        problems.append(Problem(found, report.path.name))
    return OrderedSlices(report.slices, tuple(range(count)), tuple(problems))


def _order_files(reports: Sequence[FileReport], step: int) -> OrderedSlices:
    wanted = "expected one slice per file, or a single multi-page file"
    problems = [
        Problem(f"{len(report.slices)} images in one file among others; {wanted}", report.path.name)
        for report in reports
        if len(report.slices) > 1
    ]
    slices = {report.path.name: report.slices[0] for report in reports}
    numbering = number_slices(list(slices))
    if not numbering.numbers:
        return OrderedSlices(tuple(slices.values()), tuple(range(len(slices))), tuple(problems))
    problems += [
        Problem("is not named like the other slices; move it out of the folder", name)
        for name in numbering.strays
    ]
    names = defaultdict(list)
    for name, number in numbering.numbers.items():
        names[number].append(name)
    problems += [
        Problem(f"slice number {number} is there {len(same)} times; keep one: {', '.join(same)}")
        for number, same in names.items()
        if len(same) > 1
    ]
    return _with_gaps({number: slices[same[0]] for number, same in names.items()}, step, problems)


def _with_gaps(files: Mapping[int, SliceFile], step: int, problems: Sequence[Problem]) -> OrderedSlices:
    numbers = sorted(files)
    every = range(numbers[0], numbers[-1] + 1, step)
    off = [number for number in numbers if number not in every]
    # A time stamp taken for a number would leave millions of gaps.
    if off or len(every) > 2 * len(numbers) + 1:
        what = (
            f"the {len(numbers)} slice numbers ({ranges(numbers, 3)}) do not count in steps of {step}; "
            "add the missing slices, rename the files, or set slice_number_step"
        )
        return OrderedSlices(tuple(files[n] for n in numbers), tuple(numbers), (*problems, Problem(what)))
    return OrderedSlices(tuple(files.get(n) for n in every), tuple(every), tuple(problems))
