"""The order of slices by their metadata: the slice index and the time of acquisition, against that by their names."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from spherovem_core.ingest.position_gaps import gap_conflict
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport

_SHOWN = 3


def order_by_metadata(reports: Sequence[FileReport]) -> Mapping[str, int] | None:
    """Return the slice number of each file by the index in its metadata; None if one has none, or two have the same."""
    numbers = _indices(reports)
    return numbers if len(numbers) == len(reports) == len(set(numbers.values())) else None


def conflict_with_metadata(names: Sequence[str], reports: Sequence[FileReport]) -> Iterator[Problem]:
    """Report that the metadata give another order than the names of the files, or than the pages of one file.

    Parameters
    ----------
    names
        Names of the slices in order.
    reports
        Of their files.
    """
    found: list[tuple[str, Mapping[str, Any]]] = [
        ("slice index", _indices(reports)),
        ("time of acquisition", _times(reports)),
    ]
    for source, values in found:
        known = [name for name in names if name in values]
        # Only where all slices have one: files without may come from another program.
        if len(known) < max(2, len(names)) or all(values[a] <= values[b] for a, b in pairwise(known)):
            continue
        other = sorted(known, key=lambda name: values[name])
        yield Problem(
            f"the names give the order {_some(known)}; the {source} in the metadata gives {_some(other)}; "
            'rename the files, or list them in order as "files" in acquisition.json'
        )
        return


def gaps_against_metadata(numbers: Mapping[str, int], reports: Sequence[FileReport]) -> Iterator[Problem]:
    """Report that the slice index in the metadata has a gap where the numbers in the names have none, or the reverse.

    Parameters
    ----------
    numbers
        Slice number of each file by its name.
    reports
        Of these files; the order by their metadata is the same.
    """
    indices = _indices(reports)
    names = list(numbers)
    if set(names) <= set(indices):
        values = tuple(indices[name] for name in names)
        if found := gap_conflict(names, tuple(numbers.values()), values, what="slice index in the metadata"):
            yield Problem(
                f"{found}; add the missing slices, or rename the files by the slice index; if they are neighbours, list the "
                'files in order as "files" in acquisition.json'
            )


def _indices(reports: Sequence[FileReport]) -> dict[str, int]:
    return {
        report.path.name: report.indices[0]
        for report in reports
        if len(report.indices) == 1 == len(report.slices)
    }


def _times(reports: Sequence[FileReport]) -> dict[str, str]:
    return {
        file.name: time
        for report in reports
        if len(report.times) == len(report.slices)
        for file, time in zip(report.slices, report.times, strict=True)
        if time
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
