"""``acquisition.json``: the description of an acquisition by the operator or the microscope's software."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
from spherovem_core.ingest.strict_json import read_strict_json
from spherovem_core.ingest.voxel_size import VoxelSize
from spherovem_core.parameters.ingest import LARGEST_SIDE_NM, SMALLEST_SIDE_NM


@dataclass(frozen=True)
class Description:
    """Content of ``acquisition.json``; empty if there is none.

    Attributes
    ----------
    content
        All entries, kept in the array's history.
    voxel_size
        From ``spacing_nm`` = [z, y, x] in nm. [60, null, null] leaves y and x to the metadata of the files, for
        instruments that store the pixel size but not the slice thickness.
    slice_count
        Number of slices that the acquisition should have.
    series
        Series of slices that is read, of several in the folder; empty for all files.
    files
        Names of the slice files in order; empty to go by the names.
    problems
        Entries that cannot be used.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    voxel_size: VoxelSize | None = None
    slice_count: int | None = None
    series: str = ""
    files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_description(source: Path) -> Description:
    """Read the description in the source folder or beside the multi-page file."""
    path = description_path(source)
    if not path.is_file():
        return Description()
    try:
        content = read_strict_json(path)
    except ValueError as error:
        return Description(problems=(_problem(f"is not valid JSON ({error}); correct or remove it"),))
    if not isinstance(content, dict):
        return Description(problems=(_problem('holds no object; expected {"spacing_nm": [z, y, x]}'),))
    problems = []
    voxel_size = count = None
    if (spacing := content.get("spacing_nm")) is not None:
        voxel_size = _voxel_size(spacing)
        if voxel_size is None:
            problems.append(
                _problem(
                    f"spacing_nm is {_short(spacing)}; expected three numbers [z, y, x] in nm, from {SMALLEST_SIDE_NM:g} to "
                    f"{LARGEST_SIDE_NM:g}"
                )
            )
    if (stated := content.get("slice_count")) is not None:
        if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
            count = stated
        else:
            problems.append(_problem(f"slice_count is {_short(stated)}; expected a positive whole number"))
    series = content.get("series") or ""
    if not isinstance(series, str):
        problems.append(
            _problem(f"series is {_short(series)}; expected the name of a series, such as InLens")
        )
        series = ""
    files = content.get("files") or []
    if not _are_names(files):
        problems.append(
            _problem(f"files is {_short(files)}; expected the names of the slice files in order, each once")
        )
        files = []
    return Description(content, voxel_size, count, series, tuple(files), tuple(problems))


def _are_names(files: object) -> bool:
    return (
        isinstance(files, list)
        and all(isinstance(name, str) for name in files)
        and len(set(files)) == len(files)
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _voxel_size(spacing: object) -> VoxelSize | None:
    if not isinstance(spacing, list) or len(spacing) != 3:
        return None
    if not all(value is None or _is_length(value) for value in spacing):
        return None
    z, y, x = spacing
    return VoxelSize.from_axes(z, y, x, DESCRIPTION)


def _is_length(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (SMALLEST_SIDE_NM <= value <= LARGEST_SIDE_NM)
    )


def _problem(found: str) -> Problem:
    return Problem(found, DESCRIPTION, about="description")
