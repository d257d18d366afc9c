"""The files that an acquisition is read from: all of its folder, one series of them, or those that it lists."""

from dataclasses import replace
from pathlib import Path

from spherovem_core.ingest import locations
from spherovem_core.ingest.description import Description, read_description
from spherovem_core.ingest.file_names import names_of_series
from spherovem_core.ingest.numbering import number_slices
from spherovem_core.ingest.problems import Problem, acquisition_error, some_of
from spherovem_core.ingest.source_files import DESCRIPTION, SourceFiles, find_source_files
from spherovem_core.parameters import IngestParameters


def acquired_files(source: Path, parameters: IngestParameters) -> SourceFiles:
    """Find the slice files that are read, as `select_files` does, with the description beside them."""
    return select_files(source, find_source_files(source, parameters), read_description(source), parameters)


def select_files(
    source: Path, files: SourceFiles, description: Description, parameters: IngestParameters
) -> SourceFiles:
    """Select the series that the parameters or ``acquisition.json`` name, and the files that the latter lists, in its order.

    Raises
    ------
    BadSlicesError
        If a series or a listed file is not there.
    """
    series = parameters.series or description.series
    if series:
        files = _series(source, files, series)
    return _listed(source, files, description.files, series) if description.files else files


def _series(source: Path, files: SourceFiles, series: str) -> SourceFiles:
    names = [path.name for path in files.paths]
    if not locations.is_folder(source):
        found = f"the series {series!r} is chosen, but the source is one file; expected a folder with several series"
        raise acquisition_error(source, [Problem(found)])
    chosen = set(names_of_series(names, series))
    if not chosen:
        there = number_slices(names).fault or f"its files are {some_of(names)}"
        raise acquisition_error(source, [Problem(f"no file is of the series {series!r}; {there}")])
    return _with(files, tuple(path for path in files.paths if path.name in chosen))


def _listed(source: Path, files: SourceFiles, names: tuple[str, ...], series: str) -> SourceFiles:
    paths = {path.name: path for path in files.paths}
    absent = [name for name in names if name not in paths]
    if absent:
        what = "not there, no slices or of another series" if series else "not there or no slices"
        found = f"lists {len(absent)} of {len(names)} files that are {what}: {some_of(absent)}; correct files"
        raise acquisition_error(source, [Problem(found, DESCRIPTION)])
    return _with(files, tuple(paths[name] for name in names))


def _with(files: SourceFiles, paths: tuple[Path, ...]) -> SourceFiles:
    return replace(files, paths=paths, files=paths)
