"""An acquisition opened for reading: surveyed, with one error that names all its problems."""

from collections.abc import Sequence
from pathlib import Path

from spherovem_core.ingest import checks
from spherovem_core.ingest.problems import Problem, acquisition_error
from spherovem_core.ingest.stack import SliceStack
from spherovem_core.ingest.survey import survey_stack
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import WHOLE, RegionOfInterest


def open_stack(
    source: Path,
    parameters: IngestParameters,
    *,
    name_all: bool = True,
    region: RegionOfInterest = WHOLE,
) -> SliceStack:
    """Find the slices of an acquisition, check each of them, and refuse an acquisition with problems.

    The header of every file is read: it must hold one greyscale image of the common shape and type whose pixels are
    in the file, and no slice number may be missing or occur twice. Of the pixels, only the lower rows of four slices are read
    as long as there is no problem, to find a databar: blank and saturated slices and damage inside compressed data are found in
    the one pass of `ingest_stack`. If a slice is already known to be bad, all slices are read here, so that the error names
    everything.

    Parameters
    ----------
    source
        A folder of slice files, one file of several slices or a folder that is one volume, as `find_source_files` takes it.
        Pages are taken in the order of the file unless its metadata number them.
    parameters
        Parameters of the stage.
    name_all
        Read all slices if one is already bad. Without it, the error names the problems in the headers, and no acquisition takes
        longer than that, however large it is.
    region
        Region to open. Slices outside of it may be bad; of their pixels, none but those that may show a databar are read.

    Raises
    ------
    NoSlicesError
        If there is no file of a known format.
    BadSlicesError, MissingSpacingError, AcquisitionError
        One error with all problems: the first if slices are among them, the second if it is the spacing, else the third.
        With `on_bad_slice` ``interpolate``, missing and truncated slices are no problem unless too many are in a row.
    ParameterError
        If `databar_rows` leaves nothing of a slice, or `region` reaches beyond the stack.
    """
    report = survey_stack(source, parameters, region)
    _raise_for(report.problems, source, report.stack, name_all=name_all)
    return report.stack


def _raise_for(problems: Sequence[Problem], source: Path, stack: SliceStack, *, name_all: bool) -> None:
    filling = stack.parameters.on_bad_slice == "interpolate"
    blocking = [problem for problem in problems if not (problem.fillable and filling)]
    if not blocking:
        return
    if name_all and not filling and any(problem.about == "slices" for problem in blocking):
        blocking += checks.content_problems(stack, {problem.file for problem in problems})
    raise acquisition_error(source, blocking)
