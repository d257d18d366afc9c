"""Databar that the metadata do not state, found in the pixels: rows that are the same in all slices, with lettering."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.reader import FileReport, read_window
from spherovem_core.ingest.sidecars import find_sidecars, with_sidecars
from spherovem_core.ingest.source_files import SourceFiles
from spherovem_core.parameters import IngestParameters

T = TypeVar("T")

# Slices that are compared, and the part of their rows, from the lowest, in which the databar may lie.
_SLICES, _PART, _MOST_ROWS = 4, 0.25, 512
_FEWEST_ROWS = 6
# A row of the databar is the same in all slices but for numbers that count. Noise leaves less than a tenth of the pixels of
# tissue the same, and a border of saturated resin ends slowly.
_SAME, _CHANGED = 0.8, 0.5
# The ground of a databar is one grey value; lettering takes at least this fraction of it, and differs by this fraction of the
# grey values of the type.
_GROUND, _LETTERING, _CONTRAST = 0.4, 0.005, 0.25


def unstated_databar(
    files: SourceFiles, parameters: IngestParameters, inspect: Callable[[Path], FileReport] | None = None
) -> int:
    """Count the rows of a databar at the lower end of the slices that neither the parameters nor the metadata state.

    The lower rows of four slices are read. A databar has a ground of one grey value, lettering and no noise, so that it is the
    same in all slices; tissue is not. Without lettering the rows are a border, and belong to the image.

    Parameters
    ----------
    files
        The slice files.
    parameters
        With `databar_rows`, nothing is looked for.
    inspect
        Describes a file by its header and the files beside it; by default the files' reader does.

    Returns
    -------
    int
        0 if there is none, or if fewer than two slices can be read.

    Raises
    ------
    OSError
        If the disk or network fails.
    """
    if parameters.databar_rows is not None:
        return 0

    def inspect_slice(path: Path) -> FileReport:
        return with_sidecars([files.reader.inspect(path)], find_sidecars(path, [path]))[0]

    inspect = inspect or inspect_slice
    reports = [inspect(path) for path in _spread(files.paths)]
    if any(report.databar_rows for report in reports):
        return 0
    slices = [file for report in reports for file in report.slices if not file.fault]
    kinds = Counter((file.shape, file.dtype) for file in slices)
    if not kinds:
        return 0
    kind = kinds.most_common(1)[0][0]
    strips = []
    for file in _spread([file for file in slices if (file.shape, file.dtype) == kind]):
        rows, columns = file.shape
        height = min(int(_PART * rows), _MOST_ROWS)
        with suppress(BadSlicesError):
            strips.append(read_window(files.reader, file, slice(rows - height, rows), slice(0, columns)))
    return count_databar_rows(strips)


def _spread(entries: Sequence[T]) -> list[T]:
    """Choose a few entries from the first to the last."""
    return [entries[n] for n in dict.fromkeys(np.linspace(0, len(entries) - 1, _SLICES).astype(int).tolist())]


def count_databar_rows(strips: Sequence[NDArray[Any]]) -> int:
    """Count the rows of a databar at the lower end of strips (Y, X) of several slices; 0 if there is none."""
    if len(strips) < 2 or not strips[0].size:
        return 0
    same = np.logical_and.reduce([strip == strips[0] for strip in strips[1:]])
    others = np.flatnonzero(same.mean(axis=1) < _SAME)
    if not others.size:
        # Slices that are the same all over are copies.
        return 0
    rows = len(same) - 1 - int(others[-1])
    if rows < _FEWEST_ROWS or same[others[-1]].mean() > _CHANGED:
        return 0
    return rows if _is_lettered(strips[0][-rows:]) else 0


def _is_lettered(bar: NDArray[Any]) -> bool:
    values, counts = np.unique(bar, return_counts=True)
    ground = float(values[counts.argmax()])
    apart = np.abs(values.astype(np.float64) - ground) > _CONTRAST * np.iinfo(bar.dtype).max
    return bool(counts.max() >= _GROUND * bar.size and counts[apart].sum() >= _LETTERING * bar.size)
