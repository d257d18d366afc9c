"""Databar that the metadata do not state, found in the pixels: cut off where it is certain, asked about where it is likely."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.lettering import Lettering, count_databar_rows, find_lettering
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.reader import FileReport, Reader, SliceFile, read_window
from spherovem_core.ingest.sidecars import find_sidecars, with_sidecars
from spherovem_core.ingest.source_files import SourceFiles
from spherovem_core.parameters import IngestParameters

T = TypeVar("T")
Edge = Literal["lower", "upper"]

# Slices that are compared, and the part of their rows, from the edge, in which the databar may lie.
_SLICES, _PART, _MOST_ROWS = 4, 0.25, 512
_PARAMETERS: dict[Edge, str] = {"lower": "databar_rows", "upper": "databar_top_rows"}


@dataclass(frozen=True)
class Databar:
    """Databar that the pixels show.

    Attributes
    ----------
    rows
        Rows at the lower end that are a databar for certain; 0 if there are none.
    questions
        Rows at an end that may be one, with the parameter that answers.
    """

    rows: int = 0
    questions: tuple[Problem, ...] = ()


def unstated_databar(files: SourceFiles, parameters: IngestParameters) -> int:
    """Count the rows of a databar that is certain and neither given nor in the metadata; see `find_databar`."""
    return find_databar(files, parameters, only_certain=True).rows


def find_databar(
    files: SourceFiles,
    parameters: IngestParameters,
    inspect: Callable[[Path], FileReport] | None = None,
    *,
    only_certain: bool = False,
) -> Databar:
    """Find a databar at the ends of the slices that neither the parameters nor the metadata state.

    The lower and the upper rows of four slices are read. A databar at the lower end is certain where its rows are the same in all
    slices up to the edge, with lettering on a ground of one grey value. Other rows that hold lettering that stays are asked
    about. Without lettering the rows are a border, and belong to the image.

    Parameters
    ----------
    files
        The slice files.
    parameters
        With `databar_rows`, nothing is looked for at the lower end, with `databar_top_rows` nothing at the upper one.
    inspect
        Describes a file by its header and the files beside it; by default the files' reader does.
    only_certain
        Leave out the questions.

    Returns
    -------
    Databar
        Nothing if fewer than two slices can be read, or the metadata state a databar.

    Raises
    ------
    OSError
        If the disk or network fails.
    """
    edges: list[Edge] = ["lower"] if parameters.databar_rows is None else []
    if parameters.databar_top_rows is None and not only_certain:
        edges.append("upper")
    if not edges:
        return Databar()

    paths = _spread(files.paths)
    reports = [inspect(path) for path in paths] if inspect else _inspect(files.reader, paths)
    if any(report.databar_rows for report in reports):
        return Databar()
    # Pages of another kind than slices may ask for any amount of memory.
    sound = [report for report in reports if not report.problems]
    compared = _alike([file for report in sound for file in report.slices if not file.fault])
    rows, questions = 0, []
    for edge in edges:
        strips = _read_strips(files.reader, compared, edge)
        certain = count_databar_rows(strips) if edge == "lower" else 0
        likely = find_lettering(strips)
        # Lossy compression blurs the upper end of a databar; and there may be more lettering above it.
        if certain and (likely is None or likely.rows <= certain):
            rows = certain
        elif likely is not None:
            questions.append(_question(likely, edge, compared[0].shape[0]))
    return Databar(rows, tuple(questions))


def _inspect(reader: Reader, paths: Sequence[Path]) -> list[FileReport]:
    """Describe slices of one folder by their headers and the files beside each of them."""
    return with_sidecars([reader.inspect(path) for path in paths], find_sidecars(paths[0], paths))


def _alike(slices: Sequence[SliceFile]) -> list[SliceFile]:
    """Choose slices from the first to the last, of the shape and type that most have."""
    kinds = Counter((file.shape, file.dtype) for file in slices)
    if not kinds:
        return []
    kind = kinds.most_common(1)[0][0]
    return _spread([file for file in slices if (file.shape, file.dtype) == kind])


def _read_strips(reader: Reader, slices: Sequence[SliceFile], edge: Edge) -> list[NDArray[Any]]:
    """Read the rows at an edge, the outermost last; slices that cannot be read are left out."""
    strips = []
    for file in slices:
        rows, columns = file.shape
        height = min(int(_PART * rows), _MOST_ROWS)
        part = slice(rows - height, rows) if edge == "lower" else slice(0, height)
        with suppress(BadSlicesError):
            strip = read_window(reader, file, part, slice(0, columns))
            strips.append(strip if edge == "lower" else strip[::-1])
    return strips


def _question(likely: Lettering, edge: Edge, height: int) -> Problem:
    name = _PARAMETERS[edge]
    first, last = likely.first, likely.last
    if edge == "lower":
        first, last = height - 1 - last, height - 1 - first
    return Problem(
        f"rows {first} to {last} of {height} hold lettering that stays from slice to slice, probably a databar at the {edge} "
        f"end; set ingest.{name} = {likely.rows} to cut the {edge} {likely.rows} rows off, or ingest.{name} = 0 to keep them",
        about="description",
    )


def _spread(entries: Sequence[T]) -> list[T]:
    """Choose a few entries from the first to the last."""
    if not entries:
        return []
    places = np.linspace(0, len(entries) - 1, _SLICES).astype(int).tolist()
    return [entries[n] for n in dict.fromkeys(places)]
