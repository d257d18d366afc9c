"""The survey of an acquisition: its slices in order, voxel size, databar and problems, from the headers of its files."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.ingest import checks, locations
from spherovem_core.ingest.contradictions import contradiction_problems
from spherovem_core.ingest.databar import Databar, find_databar
from spherovem_core.ingest.description import Description, read_description
from spherovem_core.ingest.exclusion import ExcludedStack, exclude_slices
from spherovem_core.ingest.grey_scale import STORED_TYPES, stored_type
from spherovem_core.ingest.ordering import order_slices
from spherovem_core.ingest.plausibility import ARGUMENT
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, Reader, SliceFile
from spherovem_core.ingest.selection import select_files
from spherovem_core.ingest.sidecars import find_sidecars, with_sidecars
from spherovem_core.ingest.source_facts import exclusions, source_facts
from spherovem_core.ingest.source_files import FILE_THREADS, SourceFiles, find_source_files
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.survey_problems import region_problems, slice_problems, spacing_problems
from spherovem_core.ingest.unread_files import unread_problems
from spherovem_core.ingest.voxel_size import VoxelSize, combine, spacing_of
from spherovem_core.parameters import IngestParameters
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
    survey = _survey_whole(source, files, _inspect(source, files), description, parameters)
    # Without a readable slice the shape is unknown, and the problems say so.
    if not region.is_whole and all(survey.stack.shape):
        survey = _cut(survey, region, description, parameters)
    unread = () if description.files else unread_problems(source, files)
    problems = (*unread, *_problems(survey, description, parameters))
    sizes = locations.sizes_of([path for _, path in files.members()])
    return AcquisitionReport(survey.stack, problems, len(sizes), sum(sizes))


@dataclass(frozen=True)
class _Survey:
    """A stack and the findings about it.

    Attributes
    ----------
    reports
        Reports of the files that hold its slices, without those of excluded slices alone.
    excluded
        The slices of the whole stack.
    databars
        Rows that each file has more than the stack, above and below.
    databar
        Databar that the pixels show.
    voxel_sizes
        The most trusted first.
    contradictions, count_problems
        Problems of files that contradict themselves, and of the stated number of slices.
    """

    stack: SliceStack
    reports: Sequence[FileReport]
    excluded: ExcludedStack
    databars: Mapping[Path, int]
    databar: Databar
    voxel_sizes: Sequence[VoxelSize]
    contradictions: Sequence[Problem]
    count_problems: Sequence[Problem]


def _inspect(source: Path, files: SourceFiles) -> list[FileReport]:
    """Describe the files by their headers and the files beside them."""
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        reports = list(threads.map(files.reader.inspect, files.paths))
    return with_sidecars(reports, find_sidecars(source, files.paths))


def _survey_whole(
    source: Path,
    files: SourceFiles,
    every_report: Sequence[FileReport],
    description: Description,
    parameters: IngestParameters,
) -> _Survey:
    """Put the slices in order and leave out those that the user excludes."""
    every = order_slices(every_report, parameters.slice_number_step, description.files)
    excluded = exclude_slices(every, [entry for entry, _ in exclusions(parameters, description)])
    databar = find_databar(files, parameters, dict(zip(files.paths, every_report, strict=True)).__getitem__)
    reports = excluded.reports_of_kept(every_report)
    contradictions = list(contradiction_problems(reports, _stated_size(description, parameters)))
    if parameters.trust_resolution_tags:
        reports = [_with_untrusted_pixel(report) for report in reports]
    top = parameters.databar_top_rows or 0
    databars = {report.path: top + (_databar(report, parameters) or databar.rows) for report in reports}
    voxel_sizes = _voxel_sizes(reports, description, parameters)
    metadata = source_facts(files.reader, reports, excluded, databar, description, parameters)
    return _Survey(
        _stack(source, files.reader, excluded, databars, combine(voxel_sizes), parameters, metadata),
        reports,
        excluded,
        databars,
        databar,
        voxel_sizes,
        contradictions,
        list(checks.slice_count_problems(every, description)),
    )


def _cut(
    survey: _Survey, region: RegionOfInterest, description: Description, parameters: IngestParameters
) -> _Survey:
    """Cut a region out of the stack; leave out the findings about files outside of it and about the number of slices."""
    stack = survey.stack.crop(region)
    reports = _reports_of(stack.files, survey.reports)
    # Where no file of the region states a voxel size, another one may.
    voxel_sizes = _voxel_sizes([*reports, *survey.reports], description, parameters)
    names = {report.path.name for report in reports}
    return replace(
        survey,
        stack=_with_voxel_size(stack, combine(voxel_sizes)),
        reports=reports,
        voxel_sizes=voxel_sizes,
        contradictions=[problem for problem in survey.contradictions if problem.file in names],
        count_problems=(),
    )


def _problems(survey: _Survey, description: Description, parameters: IngestParameters) -> Iterator[Problem]:
    """Check the slices and the voxel size; add the findings."""
    stack, reports = survey.stack, survey.reports
    ordered = replace(survey.excluded.ordered, files=stack.kept_files, numbers=stack.numbers)
    alone = region_problems(stack)
    yield from alone or slice_problems(reports, ordered, survey.databars, stack.excluded, parameters)
    yield from survey.excluded.problems
    yield from survey.count_problems
    yield from spacing_problems(reports, stack.kept_files, description, survey.voxel_sizes, parameters)
    yield from survey.contradictions
    yield from survey.databar.questions


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


def _reports_of(files: Sequence[SliceFile | None], reports: Sequence[FileReport]) -> Sequence[FileReport]:
    """Select the reports of the files that hold the slices; all reports if none does."""
    paths = {file.path for file in files if file is not None}
    return [report for report in reports if report.path in paths] or reports


def _databar(report: FileReport, parameters: IngestParameters) -> int:
    return report.databar_rows if parameters.databar_rows is None else parameters.databar_rows


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
