"""Excluded slices: entries of the user matched with the slices of a stack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spherovem_core.ingest.ordering import OrderedSlices
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile
from spherovem_core.parameters.exclusions import Exclusion, parse_exclusion


@dataclass(frozen=True)
class ExcludedStack:
    """The slices from the first that is kept to the last, and those between them that are excluded.

    Attributes
    ----------
    ordered
        Slices, without excluded ones at the ends.
    reasons
        Reason of each excluded slice in it, by its position.
    cut_off
        Numbers of the excluded slices at the ends.
    left_out
        Files that hold excluded slices alone, those at the ends among them.
    problems
        Entries that match no slice; or all slices.
    """

    ordered: OrderedSlices
    reasons: Mapping[int, str]
    cut_off: tuple[int, ...]
    left_out: frozenset[Path] = frozenset()
    problems: tuple[Problem, ...] = ()

    @property
    def kept(self) -> OrderedSlices:
        """The slices with no file where they are excluded, for checks of the files."""
        files = (None if z in self.reasons else file for z, file in enumerate(self.ordered.files))
        return replace(self.ordered, files=tuple(files))

    def reports_of_kept(self, reports: Sequence[FileReport]) -> list[FileReport]:
        """Leave out the reports of files that hold excluded slices alone."""
        return [report for report in reports if report.path not in self.left_out]


def exclude_slices(ordered: OrderedSlices, entries: Sequence[str]) -> ExcludedStack:
    """Find the slices that the user excludes.

    Excluded slices at the ends of the stack are cut off, as if their files were not there; those between others stay in their
    place, so that z keeps its steps, and are filled from their neighbours.

    Parameters
    ----------
    ordered
        Slices of the acquisition.
    entries
        As `IngestParameters.exclude_slices` holds them; the first that names a slice gives the reason.
    """
    reasons: dict[int, str] = {}
    problems = []
    for exclusion in map(parse_exclusion, entries):
        found = list(_matches(ordered, exclusion))
        for z in found:
            reasons.setdefault(z, exclusion.reason)
        if not found or _reaches_beyond(ordered, exclusion):
            problems.append(Problem(_no_match(ordered, exclusion)))
    count = len(ordered.files)
    kept = [z for z, file in enumerate(ordered.files) if z not in reasons and file is not None]
    if not kept or problems:
        if not problems:
            problems.append(Problem(f"exclude_slices leaves none of the {count} slices; keep some"))
        return ExcludedStack(ordered, {}, (), problems=tuple(problems))
    first, last = kept[0], kept[-1]
    paths = {z: file.path for z, file in enumerate(ordered.files) if file is not None}
    left_out = {paths[z] for z in reasons if z in paths} - {paths[z] for z in kept}
    files, numbers = ordered.files[first : last + 1], ordered.numbers[first : last + 1]
    return ExcludedStack(
        replace(ordered, files=files, numbers=numbers),
        {z - first: reason for z, reason in sorted(reasons.items()) if first < z < last},
        tuple(ordered.numbers[z] for z in sorted(reasons) if not first < z < last),
        frozenset(left_out),
    )


def _matches(ordered: OrderedSlices, exclusion: Exclusion) -> Iterator[int]:
    numbers = exclusion.numbers
    for z, (file, number) in enumerate(zip(ordered.files, ordered.numbers, strict=True)):
        by_number = numbers is not None and numbers[0] <= number <= numbers[1]
        if by_number or (file is not None and exclusion.what in _names(file)):
            yield z


def _names(file: SliceFile) -> tuple[str, ...]:
    """Return the names of a slice: that of the file only if it holds no other slice."""
    return (file.name, file.path.stem) if file.page is None else (file.name,)


def _reaches_beyond(ordered: OrderedSlices, exclusion: Exclusion) -> bool:
    numbers = exclusion.numbers
    return numbers is not None and not (
        ordered.numbers[0] <= numbers[0] and numbers[1] <= ordered.numbers[-1]
    )


def _no_match(ordered: OrderedSlices, exclusion: Exclusion) -> str:
    if exclusion.numbers is not None:
        found = f"the slice numbers run from {ordered.numbers[0]} to {ordered.numbers[-1]}"
    else:
        example = next((file.name for file in ordered.files if file is not None), "")
        found = f"no slice has this name; they are named like {example}"
    return f'exclude_slices names "{exclusion.what}" ({exclusion.reason}), but {found}; correct or remove the entry'
