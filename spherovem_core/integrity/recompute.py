"""A changed result discarded, so that the next run computes it again."""

import time
from pathlib import Path

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.integrity.levels import rebuild_levels
from spherovem_core.integrity.targets import find_target, held
from spherovem_core.registry import PIPELINE
from spherovem_core.store import discard
from spherovem_core.store.file_records import forget_file
from spherovem_core.store.layout import Layout
from spherovem_core.store.reading import complete_node
from spherovem_core.workflow import ArrayOutput, Pipeline

SET_ASIDE = "set-aside"
"""Folder in the results folder that keeps discarded tables, documents and reports."""


def recompute(folder: Path, path: str, pipeline: Pipeline = PIPELINE) -> str:
    """Discard a result, so that the next run computes it again, and return what was done.

    A file is moved to the folder ``set-aside`` of the results. An array is deleted with all its levels; labels drawn on it stay.
    Where only coarser levels were changed, they are built again from the finest.

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
    target = find_target(layout, pipeline, path)
    with held(layout):
        if isinstance(target.output, ArrayOutput):
            return _discard_array(layout, target.output)
        place = layout.path(target.path)
        if not place.is_file():
            raise IncompleteArtifactError(f"{place} is not there; the next run computes it")
        moment = time.strftime("%Y%m%dT%H%M%S")
        aside = layout.folder / SET_ASIDE / Path(target.path).with_suffix(f".{moment}{place.suffix}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        place.replace(aside)
        forget_file(layout, target.path)
        return f"{target.path} is now {aside.relative_to(layout.folder)}; the next run computes it again"


def _discard_array(layout: Layout, output: ArrayOutput) -> str:
    if _is_finest_sound(layout, output.group) and rebuild_levels(layout, output):
        return f"{output.group}: the coarser levels were built again from the finest"
    group = layout.volume / output.group
    levels = (
        sorted((each for each in group.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
        if group.is_dir()
        else []
    )
    if not levels:
        raise IncompleteArtifactError(f"{group} is not there; the next run computes it")
    # The finest last: a kill before leaves an array that is still known to be changed.
    for level in levels[::-1]:
        discard(layout, level)
    return f"{output.group} was discarded; the next run computes it again"


def _is_finest_sound(layout: Layout, group: str) -> bool:
    try:
        complete_node(layout, group)
    except (ChangedArtifactError, IncompleteArtifactError):
        return False
    return True
