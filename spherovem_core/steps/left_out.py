"""Arrays that lean storage leaves out, once all that is computed from them is complete."""

import logging
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.parameters import PipelineParameters
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.steps.ingest import SLICES
from spherovem_core.store import Layout, open_array, read_table
from spherovem_core.store.adoptions import ADOPTED
from spherovem_core.store.discarded import (
    discard_array,
    discard_unfinished,
    find_discarded,
    plain_bytes,
)
from spherovem_core.store.groups import empty_trash
from spherovem_core.store.kept_parts import recording_opener
from spherovem_core.store.layout import RAW, array_path
from spherovem_core.store.markers import array_marker
from spherovem_core.workflow import ArrayOutput, Pipeline, Step
from spherovem_core.workflow.artifacts import last_entry, open_pyramid
from spherovem_core.workflow.step import JOURNAL

logger = logging.getLogger(__name__)

LEAST_FRACTION = 0.1
"""Bytes before compression, as a fraction of those of the raw image, below which an array stays: flows at 100 nm of a volume of
50 x 10 x 10 nm are 0.04 of it, and a correction by hand makes the review ask for them again."""


def discard_unneeded(
    pipeline: Pipeline, layout: Layout, parameters: PipelineParameters, done: Collection[str]
) -> list[str]:
    """Discard the arrays that only steps which are complete read, and what killed runs left.

    The result of each step stays complete; its array is computed again only if a step that reads it has to be.

    Parameters
    ----------
    parameters
        Parameters of the run; what the report shows of an array is kept.
    done
        Names of the steps that are complete.

    Returns
    -------
    list of str
        Groups that were discarded.
    """
    discard_leftovers(pipeline, layout, done)
    discarded = []
    for step in pipeline.steps:
        for output in step.transient:
            if _is_unneeded(pipeline, layout, step, output, done):
                parts = _shown_parts(pipeline, layout, parameters, output)
                if step.keep is not None:
                    parts.update(step.keep(open_array(layout, output.group)))
                found = discard_array(layout, output.group, parts)
                logger.info(
                    "%s: discarded, %.2f GB, because all that is computed from it is complete (storage: lean)",
                    array_path(output.group),
                    found.bytes_freed / 1e9,
                )
                discarded.append(output.group)
    empty_trash(layout)
    return discarded


def discard_leftovers(pipeline: Pipeline, layout: Layout, done: Collection[str]) -> None:
    """Delete what killed runs left: of earlier discards, and unfinished arrays in the place of discarded ones that count.

    Parameters
    ----------
    done
        Names of the steps that are complete.
    """
    for step in pipeline.steps:
        for output in step.transient if step.name in done else ():
            left = find_discarded(layout, output.group)
            if left is not None and not left.is_wanted:
                discard_unfinished(layout, left)
    empty_trash(layout)


def _is_unneeded(
    pipeline: Pipeline, layout: Layout, step: Step[Any], output: ArrayOutput, done: Collection[str]
) -> bool:
    """Return whether an array is complete and worth discarding, and no step or person needs it."""
    readers = [each for each in pipeline.steps if output in each.inputs]
    if step.name not in done or not all(reader.name in done for reader in readers):
        return False
    marker, raw = array_marker(layout.path(output.path)), array_marker(layout.path(array_path(RAW)))
    if marker is None or not marker.get("complete") or raw is None:
        return False
    if ADOPTED in marker or not marker.get("computed", True):
        return False
    if plain_bytes(marker) < LEAST_FRACTION * plain_bytes(raw) or _are_corrected(layout, readers):
        return False
    try:
        open_pyramid(layout, output.group)
    except (ChangedArtifactError, IncompleteArtifactError):
        # The next run says what was changed.
        return False
    return True


def _are_corrected(layout: Layout, readers: Collection[Step[Any]]) -> bool:
    """Return whether labels that are made from an array hold corrections: the next one would ask for the array again."""
    for reader in readers:
        entry = last_entry(layout, reader.main_output, reader.name)
        if reader.journal is not None and entry is not None and JOURNAL in entry.get("external", {}):
            return True
    return False


def _shown_parts(
    pipeline: Pipeline, layout: Layout, parameters: PipelineParameters, output: ArrayOutput
) -> dict[str, NDArray[Any]]:
    """Read what the report shows of an array; its chapters show images alone."""
    parts: dict[str, NDArray[Any]] = {}
    if output.content != "image":
        return parts
    inputs = ReportInputs(
        layout.folder.name,
        layout,
        parameters,
        {"slices": read_table(layout, SLICES.path)},
        {},
        parameters.output.report_image_px,
        opener=recording_opener(layout, output.group, parts),
    )
    for chapter in pipeline.chapters():
        chapter.look(inputs)
    return {name: np.ascontiguousarray(values) for name, values in parts.items()}
