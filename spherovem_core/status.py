"""Progress of an acquisition, read from its results folder alone: nothing is written, no array is opened."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from spherovem_core.corrections import Journal
from spherovem_core.errors import CorrectionError, FormatError
from spherovem_core.registry import pipeline_of_results
from spherovem_core.stages import STAGE_NAMES, StageName
from spherovem_core.store.adoptions import effective_digest
from spherovem_core.store.discarded import find_discarded
from spherovem_core.store.failures import read_failure, read_rejection
from spherovem_core.store.files import read_json
from spherovem_core.store.format import check_format
from spherovem_core.store.layout import Layout, array_path
from spherovem_core.store.markers import Marker, array_marker, lock_is_held, written_fraction
from spherovem_core.store.nodes import is_own_volume
from spherovem_core.store.reading import ARRAY_LEDGER
from spherovem_core.store.tables import table_marker
from spherovem_core.workflow import ArrayOutput, DocumentOutput, Output, Pipeline, Step, TableOutput
from spherovem_core.workflow.artifacts import AUTOMATIC_DIGEST
from spherovem_core.workflow.step import JOURNAL

State = Literal["absent", "partial", "outdated", "complete"]
OverallState = Literal["absent", "partial", "failed", "rejected", "running", "complete"]

UNREADABLE = "format"
"""Stands for a failed step where results of another format cannot be read."""

FOLDERS_AT_ONCE = 8
"""On network storage reading many small files is latency, not work."""


@dataclass(frozen=True)
class StepState:
    """Progress of one step.

    Attributes
    ----------
    title
        The step as people name it, such as ``masks cells``.
    state
        ``complete``; ``outdated``: complete, but computed by an older version of the step, or from inputs or
        corrections that have been replaced since; ``partial``; ``absent``.
    fraction
        Part of its arrays that is written, 0 to 1; None where it has no unfinished array.
    finished, seconds
        Time when it was finished (ISO 8601) and its duration; None if it is not finished.
    running
        True while a process computes it.
    note
        ``none given`` for a kind of objects that was left out, ``not computed`` for the flows of imported labels, ``array
        discarded`` where lean storage discarded what nothing needs any more; else empty.
    """

    name: str
    stage: StageName
    title: str
    state: State
    fraction: float | None = None
    finished: str | None = None
    seconds: float | None = None
    running: bool = False
    note: str = ""
    digests: frozenset[str] = field(default=frozenset(), repr=False)
    inputs: frozenset[str] = field(default=frozenset(), repr=False)

    def document(self) -> dict[str, Any]:
        """Return the state for users, as JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("digests", "inputs")}


@dataclass(frozen=True)
class AcquisitionState:
    """Progress of an acquisition.

    Attributes
    ----------
    state
        ``running`` while a process holds the acquisition; ``rejected``: the watcher refused it; ``failed``: the last
        run ended in an error.
    step
        Title of the step that is running, failed, or is next; None where all are complete.
    fraction
        Of that step, as in `StepState`.
    last
        Time when anything was last finished or written (ISO 8601, local time with its offset from UTC).
    error
        Reason of the failure or rejection, or the reason why the results cannot be read.
    expected_end
        When the run at work is expected to end (ISO 8601, local time with its offset from UTC), by its forecast as its steps so
        far correct it; None where none is at work, or nothing like one of its steps was ever measured.
    """

    name: str
    folder: Path
    state: OverallState
    step: str | None
    fraction: float | None
    last: str | None
    error: str | None
    steps: tuple[StepState, ...]
    expected_end: str | None = None

    @property
    def stages(self) -> tuple[StageName, ...]:
        """Stages that have steps, in order."""
        return tuple(stage for stage in STAGE_NAMES if any(step.stage == stage for step in self.steps))

    @property
    def stages_complete(self) -> int:
        """Number of stages whose steps are all complete."""
        open_stages = {step.stage for step in self.steps if step.state != "complete"}
        return len(self.stages) - len(open_stages)

    def document(self) -> dict[str, Any]:
        """Return the whole state as JSON."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "state": self.state,
            "step": self.step,
            "fraction": self.fraction,
            "stages_complete": self.stages_complete,
            "last": self.last,
            "error": self.error,
            "expected_end": self.expected_end,
            "steps": [step.document() for step in self.steps],
        }


def is_results_folder(folder: Path) -> bool:
    """Return whether a folder holds results of ours, or the note that an acquisition was rejected."""
    layout = Layout(folder)
    # Another program's volume may have the name of ours.
    return layout.scratch.exists() or layout.rejection.exists() or is_own_volume(layout.volume)


def acquisition_states(root: Path, pipeline: Pipeline | None = None) -> Iterator[AcquisitionState]:
    """Yield the state of every results folder directly below `root`, by name."""
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and is_results_folder(folder)]
    with ThreadPoolExecutor(FOLDERS_AT_ONCE) as threads:
        yield from threads.map(lambda folder: acquisition_state(folder, pipeline), folders)


def acquisition_state(folder: Path, pipeline: Pipeline | None = None) -> AcquisitionState:
    """Read how far one acquisition is.

    Only markers are read: a complete array that has lost a file since still counts as complete.
    """
    layout = Layout(folder)
    pipeline = pipeline or pipeline_of_results(folder)
    steps = _mark_outdated([_step_state(layout, step) for step in pipeline.steps])
    held = lock_is_held(layout.locks / "acquisition.lock")
    if held:
        steps = _mark_running(layout, steps)
    state, error, failed = _overall(layout, steps, held)
    unfinished = [step for step in steps if step.state != "complete"]
    current = next(
        (step for step in steps if step.running or step.title == failed), next(iter(unfinished), None)
    )
    if failed == UNREADABLE:
        current = None
    return AcquisitionState(
        folder.name,
        folder,
        state,
        None if current is None else current.title,
        None if current is None else current.fraction,
        _last_change(layout, steps, pipeline),
        error,
        tuple(steps),
        _expected_end(layout) if held else None,
    )


def _step_state(layout: Layout, step: Step[Any]) -> StepState:
    markers = [_marker(layout, output) for output in step.outputs]
    complete = [marker for marker in markers if marker is not None and marker.get("complete", True)]
    digests = frozenset(str(marker["fingerprint"]) for marker in complete if "fingerprint" in marker)
    entry = _own_entry(complete[0], step) if complete else {}
    # An older version may have had fewer outputs.
    older = markers[0] in complete and (
        entry.get("version", step.version) < step.version or not _holds_corrections(layout, step, entry)
    )
    automatic = {str(markers[0].get(AUTOMATIC_DIGEST))} if markers[0] in complete and markers[0] else set()
    if len(digests - automatic) == 1 and (older or len(complete) == len(step.outputs)):
        return StepState(
            step.name,
            step.stage,
            step.title,
            "outdated" if older else "complete",
            finished=entry.get("finished"),
            seconds=entry.get("seconds"),
            note=_note(complete[0]) or _discarded_note(layout, step),
            digests=frozenset(effective_digest(own, markers) for own in digests),
            inputs=frozenset(entry.get("inputs", ())),
        )
    fraction = _written_fraction(layout, step)
    has_ledger = bool(step.ledger and layout.ledger(step.ledger).exists())
    begun = any(markers) or fraction is not None or has_ledger
    return StepState(step.name, step.stage, step.title, "partial" if begun else "absent", fraction)


def _expected_end(layout: Layout) -> str | None:
    """Return when the run at work is expected to end, from the note that it keeps; None where there is none, or it is damaged."""
    end = (read_json(layout.expected_end) or {}).get("end")
    try:
        return end if isinstance(end, str) and datetime.fromisoformat(end).tzinfo else None
    except ValueError:
        return None


def _own_entry(marker: Marker, step: Step[Any]) -> dict[str, Any]:
    """Return the entry of the step itself in the history of its output; an adopted change adds one of its own after it."""
    history = [dict(entry) for entry in marker.get("history") or [{}]]
    own = [entry for entry in history if entry.get("step") == step.name]
    return (own or history)[-1]


def _holds_corrections(layout: Layout, step: Step[Any], entry: Mapping[str, Any]) -> bool:
    """Return whether an output holds the corrections of the journal, or there are none to hold."""
    if step.journal is None:
        return True
    try:
        wanted = Journal(layout.journal(step.journal)).label_digest
    except CorrectionError:
        return False
    return bool(wanted == entry.get("external", {}).get(JOURNAL, ""))


def _note(marker: Marker) -> str:
    """Say what a complete output does not hold."""
    if marker.get("absent"):
        return "none given"
    return "" if marker.get("computed", True) else "not computed"


def _discarded_note(layout: Layout, step: Step[Any]) -> str:
    """Say whether an array of a complete step was discarded, because all that is computed from it is complete."""
    found = [find_discarded(layout, output.group) for output in step.transient]
    return "array discarded" if any(found) else ""


def _written_fraction(layout: Layout, step: Step[Any]) -> float | None:
    """Return the mean over the arrays that a step writes; one that is not begun counts as 0, a complete one as 1."""
    folders = [layout.path(output.path) for output in step.outputs if isinstance(output, ArrayOutput)]
    own = Layout(layout.provisional(step.provisional))
    parts = [own.path(array_path(part)) for part in step.provisional_parts]
    begun = [array_marker(folder) is not None for folder in parts]
    # Parts are begun together, and the first ones go before the others are done; with other parameters there are none.
    discarded = begun.index(True) if any(begun) else 0
    folders += parts[discarded:] if any(begun) else []
    if step.provisional and not step.provisional_parts:
        folders.append(own.path(array_path(step.provisional)))
    written = [written_fraction(folder) for folder in folders]
    if all(fraction is None for fraction in written):
        return None
    done = [
        fraction if fraction is not None else float(array_marker(folder) is not None)
        for fraction, folder in zip(written, folders, strict=True)
    ]
    return (sum(done) + discarded) / (len(done) + discarded)


def _marker(layout: Layout, output: Output) -> Marker | None:
    """Return the marker of an output; None where it is absent or damaged."""
    place = layout.path(output.path)
    match output:
        case ArrayOutput():
            own, left = array_marker(place), find_discarded(layout, output.group)
            # One of other parameters is being written, or was when its run was killed.
            is_replaced = left is not None and own is not None and own.get("fingerprint") != left.own_digest
            return own if left is None or left.is_wanted or is_replaced else left.marker
        case TableOutput():
            return table_marker(place)
        case DocumentOutput():
            return read_json(place)
        case _:
            return {} if place.is_file() else None


def _mark_outdated(steps: Sequence[StepState]) -> list[StepState]:
    """Mark complete steps as outdated when an input that they were computed from is outdated or not there any more."""
    marked: list[StepState] = []
    current: frozenset[str] = frozenset()
    for step in steps:
        if step.state == "complete" and not step.inputs <= current:
            step = replace(step, state="outdated")
        elif step.state != "outdated":
            current |= step.digests
        marked.append(step)
    return marked


def _mark_running(layout: Layout, steps: Sequence[StepState]) -> list[StepState]:
    """Mark the first unfinished step whose name a held lock bears as running."""
    held = {path.name.rpartition("-")[0] for path in layout.locks.glob("*-*.lock") if lock_is_held(path)}
    for index, step in enumerate(steps):
        if step.state != "complete" and step.name in held:
            return [*steps[:index], replace(step, running=True), *steps[index + 1 :]]
    return list(steps)


def _overall(
    layout: Layout, steps: Sequence[StepState], held: bool
) -> tuple[OverallState, str | None, str | None]:
    """Return state, error, and the title of the step that failed."""
    rejection, failure = read_rejection(layout), read_failure(layout)
    if held:
        return "running", None, None
    if rejection is not None:
        return "rejected", rejection, None
    try:
        check_format(layout.folder)
    except FormatError as error:
        return "failed", str(error), UNREADABLE
    if all(step.state == "complete" for step in steps):
        return "complete", None, None
    if failure is not None:
        return "failed", failure.error, failure.stage
    return ("absent" if all(step.state == "absent" for step in steps) else "partial"), None, None


def _last_change(layout: Layout, steps: Sequence[StepState], pipeline: Pipeline) -> str | None:
    moments = [datetime.fromisoformat(step.finished) for step in steps if step.finished]
    outputs = [output for step in pipeline.steps for output in step.outputs]
    ledgers = [
        layout.path(output.path) / ARRAY_LEDGER for output in outputs if isinstance(output, ArrayOutput)
    ]
    for path in (*ledgers, layout.failure, layout.rejection, layout.locks / "acquisition.lock"):
        if path.exists():
            moments.append(datetime.fromtimestamp(path.stat().st_mtime).astimezone())
    return max(moments).isoformat(timespec="seconds") if moments else None
