"""Open an acquisition: find its slices, check every one of them, settle spacing and databar."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from spherovem_core.ingest import checks
from spherovem_core.ingest.description import Description, read_description
from spherovem_core.ingest.inspection import FileReport, inspect_file
from spherovem_core.ingest.ordering import OrderedSlices, order_slices
from spherovem_core.ingest.problems import Problem, acquisition_error
from spherovem_core.ingest.sources import FILE_THREADS, find_slices
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.voxel_size import VoxelSize, combine, spacing_of
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest


def open_stack(
    source: Path,
    parameters: IngestParameters,
    *,
    name_all: bool = True,
    region: RegionOfInterest = WHOLE,
) -> SliceStack:
    """Find the slices of an acquisition and check each of them.

    Every file's directory is read: that it holds one greyscale uint8 or uint16 image of the common shape whose pixels
    are in the file, and that no slice number is missing or there twice. Nothing is decoded as long as nothing is wrong:
    what only the pixels tell (blank, saturated, damaged inside compressed data) comes out in the one pass of
    `ingest_stack`. Where a slice is bad already, all are read here, so that the error names everything.

    Parameters
    ----------
    source
        A folder of single-page TIFFs, or one multi-page TIFF, OME-TIFF or BigTIFF. Pages are taken in the order of the file
        unless OME metadata or a Zeiss instrument number them.
    name_all
        Whether all slices are read where one is bad already. Without, the error names what the directories tell, and no
        acquisition takes longer than that, however large it is.
    region
        What is wrong with slices outside of it is no problem, and nothing outside of it is read.

    Raises
    ------
    NoSlicesError
        If there is no TIFF file.
    BadSlicesError, MissingSpacingError, AcquisitionError
        One error with all problems: the first if slices are among them, the second if it is the spacing, else the third.
        With `on_bad_slice` ``interpolate``, missing and truncated slices are no problem unless too many are in a row.
    ParameterError
        If `databar_rows` leaves nothing of a slice, or `region` reaches beyond the stack.
    """
    survey = survey_stack(source, parameters, region)
    _raise_for(survey.problems, source, survey.stack, name_all=name_all)
    return survey.stack


@dataclass(frozen=True)
class Survey:
    """What the directories of an acquisition's files tell, with what is wrong.

    Attributes
    ----------
    stack
        As far as it is known: a shape of 0 where no file can be read, a spacing of 0 where it is missing.
    problems
        Everything that is wrong, also what ``on_bad_slice = interpolate`` gets over.
    file_count, file_bytes
        Of the slice files.
    """

    stack: SliceStack
    problems: tuple[Problem, ...]
    file_count: int
    file_bytes: int


def survey_stack(source: Path, parameters: IngestParameters, region: RegionOfInterest = WHOLE) -> Survey:
    """Find the slices of an acquisition and check each of them, naming problems rather than raising them.

    Raises
    ------
    NoSlicesError
        If there is no TIFF file.
    ParameterError
        If `databar_rows` leaves nothing of a slice, or `region` reaches beyond the stack.
    """
    paths = find_slices(source)
    inspect = partial(inspect_file, trust_resolution_tags=parameters.trust_resolution_tags)
    with ThreadPoolExecutor(FILE_THREADS) as threads:
        reports = list(threads.map(inspect, paths))
    description = read_description(source)
    ordered = order_slices(reports, parameters.slice_number_step)
    databars = {report.path: _databar(report, parameters) for report in reports}
    size = combine(_voxel_sizes(reports, description, parameters))
    stack = _stack(source, ordered, databars, size, parameters, {**reports[0].facts, **_history(description)})
    stated = list(checks.count_problems(ordered, description))
    if not region.is_whole:
        stack = stack.crop(region)
        ordered = replace(ordered, files=stack.files, numbers=stack.numbers)
        reports = _reports_of(ordered, reports)
        stated = []
    problems = [
        *_slice_problems(reports, ordered, databars, parameters),
        *stated,
        *_spacing_problems(reports, description, size, parameters),
    ]
    return Survey(stack, tuple(problems), len(paths), sum(path.stat().st_size for path in paths))


def _stack(
    source: Path,
    ordered: OrderedSlices,
    databars: Mapping[Path, int],
    size: VoxelSize,
    parameters: IngestParameters,
    metadata: Mapping[str, object],
) -> SliceStack:
    shape, dtype = checks.usual_kind(ordered.files, databars)
    return SliceStack(
        source=source,
        shape=(len(ordered.files), *shape),
        dtype=dtype,
        spacing_nm=spacing_of(size) or (0.0, 0.0, 0.0),
        spacing_origin=size.origin,
        files=ordered.files,
        numbers=ordered.numbers,
        parameters=parameters,
        metadata={**metadata, "databar_rows": max(databars.values())},
    )


def _reports_of(ordered: OrderedSlices, reports: list[FileReport]) -> list[FileReport]:
    """Reports of the files that hold the slices; of all files if none does."""
    paths = {file.path for file in ordered.files if file is not None}
    return [report for report in reports if report.path in paths] or reports


def _databar(report: FileReport, parameters: IngestParameters) -> int:
    return report.databar_rows if parameters.databar_rows is None else parameters.databar_rows


def _history(description: Description) -> dict[str, object]:
    return {"acquisition": dict(description.content)} if description.content else {}


def _voxel_sizes(
    reports: Sequence[FileReport], description: Description, parameters: IngestParameters
) -> list[VoxelSize]:
    if parameters.spacing_nm is not None:
        z, y, x = parameters.spacing_nm
        return [VoxelSize(z, (y, x), "argument")]
    stated = [] if description.voxel_size is None else [description.voxel_size]
    found = next((report.voxel_sizes for report in reports if report.voxel_sizes), ())
    return [*stated, *found]


def _slice_problems(
    reports: Sequence[FileReport],
    ordered: OrderedSlices,
    databars: Mapping[Path, int],
    parameters: IngestParameters,
) -> list[Problem]:
    kind = [problem for report in reports for problem in report.problems]
    # A slice of a kind that is not accepted need not be told that it differs from the others too.
    named = {problem.file for problem in kind}
    usual = checks.usual_kind(ordered.files, databars)
    fit = [p for p in checks.misfits(ordered.files, databars, usual) if p.file not in named]
    absent = checks.absent_slices(ordered, parameters.max_filled_slices)
    return [*kind, *ordered.problems, *fit, *absent]


def _spacing_problems(
    reports: Sequence[FileReport], description: Description, size: VoxelSize, parameters: IngestParameters
) -> list[Problem]:
    if parameters.spacing_nm is not None:
        return []
    if description.problems:
        return list(description.problems)
    missing = checks.spacing_problems(size, reports, trust_resolution_tags=parameters.trust_resolution_tags)
    stated = description.voxel_size is not None and spacing_of(description.voxel_size) is not None
    return [*missing, *([] if stated else checks.changing_voxel_size(reports))]


def _raise_for(problems: Sequence[Problem], source: Path, stack: SliceStack, *, name_all: bool) -> None:
    filling = stack.parameters.on_bad_slice == "interpolate"
    blocking = [problem for problem in problems if not (problem.fillable and filling)]
    if not blocking:
        return
    if name_all and not filling and any(problem.about == "slices" for problem in blocking):
        blocking += checks.content_problems(stack, {problem.file for problem in problems})
    raise acquisition_error(source, blocking)
