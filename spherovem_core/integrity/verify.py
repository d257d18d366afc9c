"""Check of every finished result of an acquisition, bytes included."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spherovem_core.errors import ChangedArtifactError, IncompleteArtifactError
from spherovem_core.integrity.shard_faults import shard_fault
from spherovem_core.integrity.targets import artifact_path
from spherovem_core.registry import pipeline_of_results
from spherovem_core.store.adoptions import ADOPTED, describe_adoption
from spherovem_core.store.array_check import ArrayCheck, check_array
from spherovem_core.store.changes import Change
from spherovem_core.store.discarded import find_discarded
from spherovem_core.store.file_records import find_change, read_record
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.nodes import (
    METADATA,
    Node,
    is_array_folder,
    is_replaced_group,
    marker_of,
    read_node,
    shard_grid,
)
from spherovem_core.store.reading import is_emptied
from spherovem_core.store.table_inventory import table_inventory
from spherovem_core.store.tables import is_table, table_marker
from spherovem_core.workflow import ArrayOutput, Output, Pipeline, TableOutput
from spherovem_core.workflow.artifacts import open_pyramid

Soundness = Literal["sound", "changed", "damaged", "missing", "unrecorded", "unfinished", "discarded"]
ORDER: tuple[Soundness, ...] = (
    "sound",
    "discarded",
    "unfinished",
    "unrecorded",
    "missing",
    "changed",
    "damaged",
)
Verdict = tuple[Soundness, tuple[str, ...], int, int]
"""State, findings, number of files and bytes on disk."""


@dataclass(frozen=True)
class ArtifactState:
    """State of one result.

    Attributes
    ----------
    path
        Group of an array, or file, in the results folder.
    state
        ``sound``: as it was written; ``changed``: other bytes; ``damaged``: other bytes that cannot be read; ``missing``: files
        that are not there; ``unrecorded``: written by a version that kept no record, so that nothing can be said;
        ``unfinished``: a run will go on with it; ``discarded``: an array that lean storage left out, because all that is computed
        from it is complete.
    details
        One line for each finding; for a sound result whose change was adopted, by whom and why.
    """

    path: str
    step: str
    state: Soundness
    files: int
    bytes_on_disk: int
    details: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """True if it is as it was written, was discarded, or is not finished yet."""
        return self.state in ("sound", "unfinished", "discarded")

    def document(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return asdict(self)


def verify_results(folder: Path, pipeline: Pipeline | None = None) -> Iterator[ArtifactState]:
    """Read every file of every finished result, and yield the state of each in the order of the steps.

    Results that were not computed yet are left out. Memory does not grow with their size.

    Raises
    ------
    FormatError
        If another version wrote them.
    """
    layout = Layout(folder.absolute())
    check_format(layout.folder)
    for step in (pipeline or pipeline_of_results(layout.folder)).steps:
        begun = any(_exists(layout, output) for output in step.outputs)
        for output in (*step.outputs, *(output for output in step.kept if _exists(layout, output))):
            state, details, files, size = (
                _verify_array(layout, output.group)
                if isinstance(output, ArrayOutput)
                else _verify_file(layout, output)
            )
            if state != "missing" or begun:
                yield ArtifactState(artifact_path(output), step.title, state, files, size, details)


def _exists(layout: Layout, output: Output) -> bool:
    return layout.path(output.path).exists() or (
        not isinstance(output, ArrayOutput) and read_record(layout, output.path) is not None
    )


def _verify_array(layout: Layout, group: str) -> Verdict:
    """Check all levels of an array; the worst state counts."""
    if is_replaced_group(layout.volume / group):
        return "changed", (f"{METADATA} was written by another program over the group",), 0, 0
    left = find_discarded(layout, group)
    if left is not None and not left.is_wanted:
        day = left.time.partition("T")[0]
        return "discarded", (f"on {day}, when all that is computed from it was complete",), 0, 0
    finest = marker_of(read_node(layout.path(array_path(group)))) or {}
    verdicts = [
        _verify_level(layout, group, level) for level in range(len(finest.get("level_factors", [None])))
    ]
    worst = max((state for state, *_ in verdicts), key=ORDER.index)
    details = [text for _, found, _, _ in verdicts for text in found]
    if worst == "sound":
        worst, details = _verify_levels_together(layout, group)
    if ADOPTED in finest:
        details.insert(0, describe_adoption(finest[ADOPTED]))
    return worst, tuple(details), sum(files for *_, files, _ in verdicts), sum(size for *_, size in verdicts)


def _verify_level(layout: Layout, group: str, level: int) -> Verdict:
    folder = layout.path(array_path(group, level))
    node = read_node(folder)
    if node is None and not is_array_folder(folder):
        return "missing", (f"level {level} is not there",), 0, 0
    marker = marker_of(node)
    if node is None or marker is None:
        return "changed", (f"{level}/{METADATA} is damaged, or was written by another program",), 0, 0
    if not marker.get("complete"):
        return "unfinished", (), 0, 0
    check = check_array(folder, node, read_all=True)
    state, found = _judge(folder, node, check)
    if state == "missing" and is_emptied(group, check):
        state = "changed"
    return state, tuple(f"{level}/{text}" for text in found), check.files, check.bytes_on_disk


def _verify_levels_together(layout: Layout, group: str) -> tuple[Soundness, list[str]]:
    """Check that sound levels belong together."""
    try:
        open_pyramid(layout, group)
    except ChangedArtifactError as error:
        return "changed", [str(error)]
    except IncompleteArtifactError as error:
        return "missing", [str(error)]
    return "sound", []


def _judge(folder: Path, node: Node, check: ArrayCheck) -> tuple[Soundness, list[str]]:
    """Return the state of a level and its findings."""
    faults = _faults(folder, node, check)
    missing = [f"{name} is not there" for name in check.missing]
    changes = [str(change) for change in check.changes if change.file not in faults]
    found = [*(f"{file} {fault}" for file, fault in faults.items()), *changes, *missing]
    if faults:
        return "damaged", found
    if changes:
        return "changed", found
    if missing:
        return "missing", found
    return ("sound", []) if check.is_recorded else ("unrecorded", [])


def _faults(folder: Path, node: Node, check: ArrayCheck) -> dict[str, str]:
    """Look at the indices of the files that are not known to be sound."""
    if check.is_recorded:
        names = [change.file for change in check.changes if change.file.startswith("c/")]
    else:
        names = ["/".join(("c", *map(str, index))) for index in np.ndindex(*shard_grid(node))]
    found = {name: shard_fault(folder / name, node) for name in names if (folder / name).is_file()}
    return {name: fault for name, fault in found.items() if fault is not None}


def _verify_file(layout: Layout, output: Output) -> Verdict:
    place, record = layout.path(output.path), read_record(layout, output.path)
    if not place.is_file():
        return "missing", (), 0, 0
    size = place.stat().st_size
    change = find_change(layout, output.path, read=True)
    if change is not None:
        return _judge_file(place, output, change, size)
    if record is None:
        foreign = isinstance(output, TableOutput) and is_table(place) and table_marker(place) is None
        return (
            ("changed", ("was written by another program",), 1, size)
            if foreign
            else ("unrecorded", (), 1, size)
        )
    adopted = record.kept.get(ADOPTED)
    return "sound", (describe_adoption(adopted),) if adopted else (), 1, size


def _judge_file(place: Path, output: Output, change: Change, size: int) -> Verdict:
    if isinstance(output, TableOutput):
        try:
            table_inventory(place)
        except IncompleteArtifactError:
            return "damaged", (f"{change.what}; it is no whole Parquet file",), 1, size
    return "changed", (change.what,), 1, size
