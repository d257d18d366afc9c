"""A changed result discarded, so that the next run computes it again."""

import time
from pathlib import Path

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.integrity.levels import rebuild_levels
from spherovem_core.integrity.targets import find_target, held
from spherovem_core.registry import pipeline_of_results
from spherovem_core.store import discard
from spherovem_core.store.discarded import find_discarded, forget_discarded
from spherovem_core.store.file_records import forget_file
from spherovem_core.store.layout import VOLUME, Layout
from spherovem_core.store.nodes import is_replaced_group, marker_of, read_node
from spherovem_core.store.reading import complete_node
from spherovem_core.workflow import ArrayOutput, Pipeline

SET_ASIDE = "set-aside"
"""Folder in the results folder that keeps discarded files and labels, and arrays of other programs."""


def recompute(folder: Path, path: str, pipeline: Pipeline | None = None) -> str:
    """Discard a result, so that the next run computes it again, and return what was done.

    A file, labels, or an array of another program are moved to the folder ``set-aside`` of the results. An image or a field is
    deleted with all its levels; labels drawn on it stay. Where only coarser levels were changed, they are built again from the
    finest.

    Parameters
    ----------
    path
        A group of the volume such as ``registered/labels/cells``, or a file such as ``tables/cells.parquet``.

    Raises
    ------
    ParameterError
        If `path` names no result.
    IncompleteArtifactError
        If it is not there.
    StoreNotWritableError
        If a run holds the folder, or it cannot be written.
    """
    layout = Layout(folder.absolute())
    target = find_target(layout, pipeline or pipeline_of_results(layout.folder), path)
    with held(layout):
        if isinstance(target.output, ArrayOutput):
            return _discard_array(layout, target.output)
        place = layout.path(target.path)
        if not place.is_file():
            raise IncompleteArtifactError(f"{place} is not there; the next run computes it")
        aside = _aside(layout, target.path)
        aside.parent.mkdir(parents=True, exist_ok=True)
        place.replace(aside)
        forget_file(layout, target.path)
        return f"{target.path} is now {aside.relative_to(layout.folder)}; the next run computes it again"


def _aside(layout: Layout, path: str) -> Path:
    """Return a new place in the folder that keeps what was discarded."""
    moment, place = time.strftime("%Y%m%dT%H%M%S"), layout.folder / SET_ASIDE / path
    number = 0
    while (
        aside := place.with_name(f"{place.stem}.{moment}{f'-{number}' if number else ''}{place.suffix}")
    ).exists():
        number += 1
    return aside


def _discard_array(layout: Layout, output: ArrayOutput) -> str:
    if _is_finest_sound(layout, output.group) and rebuild_levels(layout, output):
        return f"{output.group}: the coarser levels were built again from the finest"
    if find_discarded(layout, output.group) is not None:
        discard(layout, layout.volume / output.group)
        forget_discarded(layout, output.group)
        return f"{output.group} was discarded (storage: lean); the next run computes it again, and keeps it with --storage full"
    group = layout.volume / output.group
    aside = _aside(layout, f"{VOLUME}/{output.group}")
    if is_replaced_group(group):
        aside.parent.mkdir(parents=True, exist_ok=True)
        group.replace(aside)
        return f"{output.group} is now {aside.relative_to(layout.folder)}; the next run computes it again"
    levels = (
        sorted((each for each in group.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
        if group.is_dir()
        else []
    )
    if not levels:
        raise IncompleteArtifactError(f"{group} is not there; the next run computes it")
    is_kept = output.content == "label" or not _is_ours(levels[0])
    # The finest last: a kill before leaves an array that is still known to be changed.
    for level in levels[::-1]:
        if is_kept:
            aside.mkdir(parents=True, exist_ok=True)
            level.replace(aside / level.name)
        else:
            discard(layout, level)
    done = f"is now {aside.relative_to(layout.folder)}" if is_kept else "was discarded"
    return f"{output.group} {done}; the next run computes it again"


def _is_ours(level: Path) -> bool:
    return marker_of(read_node(level)) is not None


def _is_finest_sound(layout: Layout, group: str) -> bool:
    try:
        complete_node(layout, group)
    except (ChangedArtifactError, IncompleteArtifactError):
        return False
    return True
