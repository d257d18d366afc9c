"""The survey of an acquisition: its slices in order, voxel size, databar and problems, from the headers of its files."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.ingest import checks, locations
from spherovem_core.ingest.contradictions import contradiction_problems
from spherovem_core.ingest.databar import find_databar
from spherovem_core.ingest.description import Description, read_description
from spherovem_core.ingest.exclusion import ExcludedStack, exclude_slices
from spherovem_core.ingest.grey_scale import STORED_TYPES, stored_type
from spherovem_core.ingest.numbering import ranges
from spherovem_core.ingest.ordering import OrderedSlices, order_slices
from spherovem_core.ingest.plausibility import ARGUMENT, plausibility_problems
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, Reader
from spherovem_core.ingest.selection import select_files
from spherovem_core.ingest.sidecars import find_sidecars, with_sidecars
from spherovem_core.ingest.source_files import DESCRIPTION, FILE_THREADS, find_source_files
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.voxel_size import VoxelSize, combine, spacing_of
from spherovem_core.parameters import IngestParameters
from spherovem_core.parameters.exclusions import parse_exclusion
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest


@dataclass(frozen=True)
class AcquisitionReport:
    """Content of an acquisition, as the headers of its files tell.

    Attributes
    ----------
    stack
        The slices, as far as they are known: the shape is 0 if no file can be read, the spacing 0 if it is missing.
    problems
        Everything that is wrong, also what ``on_bad_slice = interpolate`` repairs.
    file_count, file_bytes
        Number and total size of the slice files.
    """

    stack: SliceStack
    problems: tuple[Problem, ...]
    file_count: int
    file_bytes: int


def survey_stack(
    source: Path, parameters: IngestParameters, region: RegionOfInterest = WHOLE
) -> AcquisitionReport:
    """Find the slices of an acquisition and check each of them by the header of its file.

    Problems are collected, not raised, and of the pixels only the lower and upper rows of four slices are read, for a databar: an
    acquisition of any size is surveyed in the time that opening its files takes.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.
    parameters
        Parameters of the stage: a given spacing, databar and step of the slice numbers count before the metadata.
    region
        Region to survey; problems outside of it are left out.

    Returns
    -------
    AcquisitionReport
        The stack of slices, with everything that is wrong in ``problems``.

    Raises
    ------
    NoSlicesError
        If there is no file of a known format.
    ParameterError
        If `databar_rows` leaves nothing of a slice, or `region` reaches beyond the stack.
    OSError
        If a file cannot be read for another reason than damage.

    Examples
    --------
    Four slices of which the third is missing, without a voxel size in their metadata:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, tifffile
    >>> from spherovem_core.ingest import survey_stack
    >>> from spherovem_core.parameters import IngestParameters
    >>> folder = tempfile.TemporaryDirectory()
    >>> source = Path(folder.name)
    >>> for z in (0, 1, 3):
    ...     tifffile.imwrite(source / f"slice_{z}.tif", np.full((20, 30), 100 + z, np.uint8), metadata=None)
    >>> report = survey_stack(source, IngestParameters())
    >>> report.stack.shape
    (4, 20, 30)
    >>> report.stack.missing.tolist()
    [False, False, True, False]
    >>> for problem in report.problems:
    ...     print(problem.found.split(":")[0])
    slice number missing
    no voxel size

    With a spacing, only the missing slice is left to complain about:

    >>> report = survey_stack(source, IngestParameters(spacing_nm=(50, 10, 10)))
    >>> report.stack.spacing_nm, len(report.problems)
    ((50.0, 10.0, 10.0), 1)
    >>> folder.cleanup()
    """
    present = find_source_files(source, parameters)
    description = read_description(source)
    files = select_files(source, present, description, parameters)
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        reports = list(threads.map(files.reader.inspect, files.paths))
    reports = with_sidecars(reports, find_sidecars(source, files.paths))
    every = order_slices(reports, parameters.slice_number_step, description.files)
    excluded = exclude_slices(every, [entry for entry, _ in _exclusions(parameters, description)])
    ordered = excluded.ordered
    found = find_databar(files, parameters, dict(zip(files.paths, reports, strict=True)).__getitem__)
    reports = excluded.reports_of_kept(reports)
    contradictions = list(contradiction_problems(reports, _stated_size(description, parameters)))
    if parameters.trust_resolution_tags:
        reports = [_with_untrusted_pixel(report) for report in reports]
    top = parameters.databar_top_rows or 0
    databars = {report.path: top + (_databar(report, parameters) or found.rows) for report in reports}
    voxel_sizes = _voxel_sizes(reports, description, parameters)
    metadata = {**_facts(files.reader, reports), **_acquisition_facts(description)}
    metadata |= _exclusion_facts(excluded, parameters, description)
    if found.rows:
        metadata["databar_origin"] = "pixels"
    if top:
        metadata["databar_top_rows"] = top
    stack = _stack(source, files.reader, excluded, databars, combine(voxel_sizes), parameters, metadata)
    stated = list(checks.slice_count_problems(every, description))
    # Without a readable slice the shape is unknown, and the problems say so.
    if not region.is_whole and all(stack.shape):
        stack = stack.crop(region)
        ordered = replace(ordered, files=stack.files, numbers=stack.numbers)
        in_region = _reports_of(ordered, reports)
        # Where no file of the region states a voxel size, another one may.
        voxel_sizes = _voxel_sizes([*in_region, *reports], description, parameters)
        stack = _with_voxel_size(stack, combine(voxel_sizes))
        reports = in_region
        names = {report.path.name for report in reports}
        contradictions = [problem for problem in contradictions if problem.file in names]
        stated = []
    ordered = replace(ordered, files=stack.kept_files)
    problems = [
        *_slice_problems(reports, ordered, databars, stack.excluded, parameters),
        *excluded.problems,
        *stated,
        *_spacing_problems(reports, description, voxel_sizes, parameters),
        *contradictions,
        *found.questions,
    ]
    sizes = locations.sizes_of([path for _, path in files.members()])
    return AcquisitionReport(stack, tuple(problems), len(sizes), sum(sizes))


def _stack(
    source: Path,
    reader: Reader,
    excluded: ExcludedStack,
    databars: Mapping[Path, int],
    size: VoxelSize,
    parameters: IngestParameters,
    metadata: Mapping[str, object],
) -> SliceStack:
    ordered = excluded.ordered
    shape, dtype = checks.usual_shape_and_type(excluded.kept.files, databars)
    top = parameters.databar_top_rows or 0
    return SliceStack(
        source=source,
        reader=reader,
        shape=(len(ordered.files), *shape),
        dtype=stored_type(dtype),
        spacing_nm=spacing_of(size) or (0.0, 0.0, 0.0),
        spacing_origin=size.origin,
        files=ordered.files,
        numbers=ordered.numbers,
        parameters=parameters,
        metadata={**metadata, "databar_rows": max(databars.values()) - top, **_conversion(dtype)},
        source_dtype=dtype,
        first_row=top,
        excluded=excluded.reasons,
    )


def _with_voxel_size(stack: SliceStack, size: VoxelSize) -> SliceStack:
    return replace(stack, spacing_nm=spacing_of(size) or (0.0, 0.0, 0.0), spacing_origin=size.origin)


def _conversion(dtype: np.dtype[Any]) -> dict[str, str]:
    return {} if dtype in STORED_TYPES else {"source_dtype": dtype.name}


def _with_untrusted_pixel(report: FileReport) -> FileReport:
    pixel = report.untrusted_pixel
    if pixel is None or not pixel.has_values:
        return report
    return replace(report, voxel_sizes=(*report.voxel_sizes, pixel))


def _reports_of(ordered: OrderedSlices, reports: list[FileReport]) -> list[FileReport]:
    """Select the reports of the files that hold the slices; all reports if none does."""
    paths = {file.path for file in ordered.files if file is not None}
    return [report for report in reports if report.path in paths] or reports


def _databar(report: FileReport, parameters: IngestParameters) -> int:
    return report.databar_rows if parameters.databar_rows is None else parameters.databar_rows


def _facts(reader: Reader, reports: Sequence[FileReport]) -> dict[str, object]:
    """Return the facts of the first file that could be read, with a default for each fact that all readers share."""
    report = next((report for report in reports if report.facts), reports[0])
    bits = report.slices[0].dtype.itemsize * 8 if report.slices else 0
    defaults = {"container": reader.name, "compression": "none", "bits": bits, "metadata": "none"}
    return {**report.facts, **{name: value for name, value in defaults.items() if name not in report.facts}}


def _acquisition_facts(description: Description) -> dict[str, object]:
    return {"acquisition": dict(description.content)} if description.content else {}


def _exclusions(parameters: IngestParameters, description: Description) -> list[tuple[str, str]]:
    """Return the entries of excluded slices, each with its source."""
    stated = description.entries.exclude_slices or ()
    return [
        *((entry, "parameter") for entry in parameters.exclude_slices),
        *((entry, DESCRIPTION) for entry in stated),
    ]


def _exclusion_facts(
    excluded: ExcludedStack, parameters: IngestParameters, description: Description
) -> dict[str, object]:
    entries = _exclusions(parameters, description)
    if not entries or excluded.problems:
        return {}
    cut_off = {"slices_cut_off": ranges(excluded.cut_off)} if excluded.cut_off else {}
    found = [parse_exclusion(entry) for entry, _ in entries]
    return {
        "excluded": [
            {"slices": each.what, "reason": each.reason, "origin": origin}
            for each, (_, origin) in zip(found, entries, strict=True)
        ],
        **cut_off,
    }


def _voxel_sizes(
    reports: Sequence[FileReport], description: Description, parameters: IngestParameters
) -> list[VoxelSize]:
    user = _stated_size(description, parameters)
    if user is not None and parameters.spacing_nm is not None:
        return [user]
    stated = [] if user is None else [user]
    found = next((report.voxel_sizes for report in reports if report.voxel_sizes), ())
    return [*stated, *found]


def _stated_size(description: Description, parameters: IngestParameters) -> VoxelSize | None:
    """Return the voxel size that the user states; None if there is none."""
    if parameters.spacing_nm is None:
        return description.voxel_size
    z, y, x = parameters.spacing_nm
    return VoxelSize(z, (y, x), ARGUMENT)


def _slice_problems(
    reports: Sequence[FileReport],
    ordered: OrderedSlices,
    databars: Mapping[Path, int],
    excluded: Mapping[int, str],
    parameters: IngestParameters,
) -> list[Problem]:
    unaccepted = [problem for report in reports for problem in report.problems]
    # A slice of an unaccepted type also differs from the others; one problem per slice is enough.
    named = {problem.file for problem in unaccepted}
    usual = checks.usual_shape_and_type(ordered.files, databars)
    shape_problems = [p for p in checks.shape_problems(ordered.files, databars, usual) if p.file not in named]
    absent = checks.missing_slice_problems(ordered, parameters.max_filled_slices, excluded)
    # A file that holds no stack of slices is not read: that it is not is said once.
    refused = {problem.found for problem in unaccepted}
    return [*unaccepted, *ordered.problems, *shape_problems, *(p for p in absent if p.found not in refused)]


def _any_readable(report: FileReport) -> bool:
    return any(not file.fault for file in report.slices)


def _spacing_problems(
    reports: Sequence[FileReport],
    description: Description,
    sizes: Sequence[VoxelSize],
    parameters: IngestParameters,
) -> list[Problem]:
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
    return [*missing, *plausibility_problems(sizes), *([] if stated else checks.voxel_size_problems(reports))]
