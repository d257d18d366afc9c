"""``acquisition.json``: the description of an acquisition by the operator or the microscope's software."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spherovem_core.ingest import locations
from spherovem_core.ingest.problems import Problem
from spherovem_core.ingest.source_files import DESCRIPTION, description_path
from spherovem_core.ingest.voxel_size import VoxelSize

LARGEST_BYTES = 2**26


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
    problems
        Entries that cannot be used.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    voxel_size: VoxelSize | None = None
    slice_count: int | None = None
    problems: tuple[Problem, ...] = ()


def read_description(source: Path) -> Description:
    """Read the description in the source folder or beside the multi-page file."""
    path = description_path(source)
    if not locations.is_file(path):
        return Description()
    try:
        text = locations.read_range(path, 0, LARGEST_BYTES).decode("utf-8")
        content = json.loads(text, parse_constant=_refuse)
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
                _problem(f"spacing_nm is {spacing!r}; expected three positive numbers [z, y, x] in nm")
            )
    if (stated := content.get("slice_count")) is not None:
        if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0:
            count = stated
        else:
            problems.append(_problem(f"slice_count is {stated!r}; expected a positive whole number"))
    return Description(content, voxel_size, count, tuple(problems))


def _refuse(constant: str) -> None:
    # Python reads NaN and Infinity, which are no JSON and cannot be written into the array's history.
    raise ValueError(f"{constant} is no number")


def _voxel_size(spacing: object) -> VoxelSize | None:
    if not isinstance(spacing, list) or len(spacing) != 3:
        return None
    if not all(value is None or _is_length(value) for value in spacing):
        return None
    z, y, x = spacing
    return VoxelSize.from_axes(z, y, x, DESCRIPTION)


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _problem(found: str) -> Problem:
    return Problem(found, DESCRIPTION, about="description")
