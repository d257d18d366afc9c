"""Problems of a surveyed stack: those of its slices and those of its voxel size."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spherovem_core.ingest import checks
from spherovem_core.ingest.description import Description
from spherovem_core.ingest.numbering import ranges
from spherovem_core.ingest.ordering import OrderedSlices
from spherovem_core.ingest.plausibility import plausibility_problems
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, SliceFile
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.voxel_size import VoxelSize, combine, spacing_of
from spherovem_core.parameters import IngestParameters


def slice_problems(
    reports: Sequence[FileReport],
    ordered: OrderedSlices,
    databars: Mapping[Path, int],
    excluded: Mapping[int, str],
    parameters: IngestParameters,
) -> list[Problem]:
    """Report files that are not accepted, slices out of order, of another shape, missing or truncated; each slice once."""
    unaccepted = [problem for report in reports for problem in report.problems]
    # A slice of an unaccepted type also differs from the others; one problem per slice is enough.
    named = {problem.file for problem in unaccepted}
    usual = checks.usual_shape_and_type(ordered.files, databars)
    shape_problems = [p for p in checks.shape_problems(ordered.files, databars, usual) if p.file not in named]
    shape_problems += checks.orientation_problems(ordered.files)
    # A file that holds no stack of slices is not read: that it is not is said once.
    refused = {problem.found for problem in unaccepted}
    files = [replace(file, fault="") if file and file.fault in refused else file for file in ordered.files]
    readable = replace(ordered, files=tuple(files))
    absent = checks.missing_slice_problems(readable, parameters.max_filled_slices, excluded)
    return [*unaccepted, *ordered.problems, *shape_problems, *absent]


def region_problems(stack: SliceStack) -> list[Problem]:
    """Report a region none of whose slices is kept: nothing of it would be measured."""
    if stack.whole is None or not stack.excluded or any(file is not None for file in stack.kept_files):
        return []
    numbers = ranges([stack.numbers[z] for z in sorted(stack.excluded)])
    reasons = ", ".join(dict.fromkeys(stack.excluded.values()))
    lost = "excluded or missing" if len(stack.excluded) < stack.shape[0] else "excluded"
    several = len(stack.numbers) > 1
    return [
        Problem(
            f"{'all slices' if several else 'the only slice'} of the region {'are' if several else 'is'} {lost} (exclude_slices "
            f"names {numbers}: {reasons}); a region needs a slice of its own: enlarge it along z, or take entries out of "
            "exclude_slices"
        )
    ]


def _any_readable(report: FileReport) -> bool:
    return any(not file.fault for file in report.slices)


def spacing_problems(
    reports: Sequence[FileReport],
    files: Sequence[SliceFile | None],
    description: Description,
    sizes: Sequence[VoxelSize],
    parameters: IngestParameters,
) -> list[Problem]:
    """Report a description that cannot be used, and a voxel size that is missing, implausible or not the same in all files."""
    if parameters.spacing_nm is not None:
        return [problem for name, problem in description.faults.items() if name != "spacing_nm"]
    if all(report.problems and not _any_readable(report) for report in reports):
        # What is no stack of slices has no voxel size to ask for.
        return list(description.problems)
    if description.problems:
        return list(description.problems)
    missing = checks.spacing_problems(
        combine(sizes), reports, trust_resolution_tags=parameters.trust_resolution_tags
    )
    stated = description.voxel_size is not None and spacing_of(description.voxel_size) is not None
    return [
        *missing,
        *plausibility_problems(sizes),
        *([] if stated else checks.voxel_size_problems(reports, files)),
    ]
