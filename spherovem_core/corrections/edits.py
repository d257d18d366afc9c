"""Edits from a file: read, checked against the present labels, and added to the journal all together or not at all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spherovem_core.blocks import Region
from spherovem_core.corrections.application import Replay
from spherovem_core.corrections.grid import sample
from spherovem_core.corrections.journal import (
    OWN_KEYS,
    Draft,
    Entry,
    Journal,
    changing_labels,
    operations_digest,
    parse_object,
)
from spherovem_core.corrections.operations import (
    Add,
    Anchor,
    Replace,
    Undo,
    anchors,
    parse_operation,
    with_anchors,
)
from spherovem_core.corrections.outcomes import Outcome
from spherovem_core.corrections.painted_labels import PaintedLabels
from spherovem_core.corrections.state import (
    held_journal,
    kept_automatic,
    present_labels,
    refuse_lost_lines,
    refuse_to_lose_adopted,
    start_replay,
)
from spherovem_core.errors import CorrectionError, IncompleteArtifactError
from spherovem_core.store import Layout
from spherovem_core.store.layout import CorrectedKind, corrected_group

SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class CheckedEdits:
    """Edits checked against the present labels.

    Attributes
    ----------
    fitting
        Those that fit, with the volumes of the objects that they name.
    outcomes
        What each of them does.
    problems
        Why others do not fit, each with its line.
    known
        Identifiers of those that the journal has already.
    head
        `Journal.head` that they were checked on.
    """

    fitting: tuple[Draft, ...]
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    known: tuple[str, ...]
    head: str


def read_edits(path: Path) -> tuple[Draft, ...]:
    """Read a file of operations, one JSON object a line.

    A line needs no ``id``, ``author``, ``time`` or ``reason``; ``previous`` is ignored. Empty lines are skipped.

    Raises
    ------
    CorrectionError
        For the first line that is no operation, or if there is none.
    """
    try:
        # Programs on Windows begin a text with a byte order mark.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CorrectionError(
            f"{path} is not a text file: {error}; expected one JSON operation a line"
        ) from error
    except OSError as error:
        raise CorrectionError(f"{path} cannot be read ({error.strerror})") from error
    return parse_edits(lines, str(path))


def parse_edits(lines: Iterable[str], name: str = "edits") -> tuple[Draft, ...]:
    """Parse lines of operations; see `read_edits`."""
    drafts = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                drafts.append(_draft(number, line))
            except CorrectionError as error:
                raise CorrectionError(f"{name}: line {number}: {error}") from error
    if not drafts:
        raise CorrectionError(f"{name} holds no operation; expected one JSON object a line")
    names = [draft.id for draft in drafts if draft.id]
    if len(set(names)) < len(names):
        twice = next(own for own in names if names.count(own) > 1)
        raise CorrectionError(f"{name}: two lines have the identifier {twice}")
    return tuple(drafts)


def _draft(number: int, line: str) -> Draft:
    values = parse_object(line)
    own = {key: values.pop(key, "") for key in OWN_KEYS}
    wrong = [key for key, value in own.items() if not isinstance(value, str)]
    if wrong:
        raise CorrectionError(f"{', '.join(wrong)}: expected a text")
    operation = parse_operation(values)
    if isinstance(operation, Undo):
        raise CorrectionError("an undo is no edit; use `spherovem labels undo NAME ID`")
    return Draft(operation, own["id"], own["author"], own["time"], own["reason"], number)


def check_edits(layout: Layout, kind: CorrectedKind, drafts: Sequence[Draft]) -> CheckedEdits:
    """Check edits on the present labels, one after another, without writing anything.

    Anchors without a volume get that of the object. Lines without an identifier are taken to be made on the present labels: two
    of them that edit one place are a problem. Lines with an identifier are a sequence, each made on what those before left.

    Raises
    ------
    CorrectionError
        If the journal is damaged or lacks lines that the labels hold, or the labels hold an adopted change that would be lost.
    IncompleteArtifactError
        If there are no labels.
    ChangedArtifactError
        If they were changed by another program, and nobody adopted the change.
    """
    journal = Journal(layout.journal(kind))
    entries, head = journal.entries(), journal.head
    refuse_lost_lines(layout, kind)
    known = {entry.id for entry in entries}
    new = [draft for draft in drafts if draft.id not in known or not draft.id]
    if any(draft.operation.changes_labels for draft in new):
        refuse_to_lose_adopted(layout, kind, None)
    check = _Check(_present(layout, kind, journal), first_number=len(entries) + 1)
    for draft in new:
        check.apply(draft)
    return CheckedEdits(
        tuple(check.fitting),
        tuple(check.outcomes),
        tuple(check.problems),
        tuple(draft.id for draft in drafts if draft.id in known and draft.id),
        head,
    )


def append_edits(
    layout: Layout,
    kind: CorrectedKind,
    drafts: Sequence[Draft],
    *,
    author: str = "",
    reason: str = "",
    keep_what_fits: bool = False,
    name_of: Callable[[Draft], str] | None = None,
) -> tuple[tuple[Entry, ...], CheckedEdits]:
    """Check edits and add them to the journal, all or none; the labels follow with the next run.

    Parameters
    ----------
    author, reason
        Of edits that state none.
    keep_what_fits
        Add those that fit and leave out the others.
    name_of
        Makes the identifiers of edits that state none; by default they are drawn at random.

    Returns
    -------
    entries
        The new lines of the journal.
    checked
        What they do, and what does not fit.

    Raises
    ------
    CorrectionError
        If one does not fit, unless `keep_what_fits`; or if the journal is damaged or was written meanwhile.
    """
    checked = check_edits(layout, kind, drafts)
    if checked.problems and not keep_what_fits:
        more = len(checked.problems) - SHOWN_PROBLEMS
        shown = "; ".join(checked.problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise CorrectionError(f"nothing was written: {shown}{_waiting(layout, kind)}")
    named = [
        replace(
            draft,
            id=draft.id or (name_of(draft) if name_of else ""),
            author=draft.author or author,
            reason=draft.reason or reason,
        )
        for draft in checked.fitting
    ]
    return Journal(layout.journal(kind)).append_drafts(named, after=checked.head), checked


def _waiting(layout: Layout, kind: CorrectedKind) -> str:
    """Say that the journal holds operations that labels lack: edits that are given twice do not fit after themselves."""
    journal, labels = Journal(layout.journal(kind)), present_labels(layout, kind)
    if labels is None or held_journal(labels) == journal.label_digest:
        return ""
    return (
        f". {journal.path} has operations that the labels do not hold yet, since a run stopped, and the edits were checked "
        "on what they leave; if these are among them, process the acquisition, which applies them"
    )


def undo_operations(
    layout: Layout,
    kind: CorrectedKind,
    which: int | Sequence[str],
    *,
    author: str = "",
    reason: str = "",
) -> tuple[Entry, ...]:
    """Take back operations, all or none; the labels follow with the next run.

    Parameters
    ----------
    which
        Identifiers, or a number: that many of the last operations that count.

    Returns
    -------
    tuple of Entry
        The operations that were taken back.

    Raises
    ------
    CorrectionError
        If an operation does not count, or fewer count than are to be taken back; if the labels hold an adopted change that
        would be lost, or lines that the journal lacks.
    ChangedArtifactError
        If the labels were changed by another program, and nobody adopted the change.
    """
    journal = Journal(layout.journal(kind))
    counted, head = journal.effective(), journal.head
    refuse_lost_lines(layout, kind)
    if isinstance(which, int):
        if which > len(counted):
            raise CorrectionError(
                f"{journal.path} has {len(counted)} operations that count; {which} cannot be undone"
            )
        chosen = list(counted[len(counted) - which :])[::-1]
    else:
        by_id = {entry.id: entry for entry in counted}
        unknown = [name for name in which if name not in by_id]
        if unknown:
            raise CorrectionError(
                f"{journal.path} has no operation {unknown[0]} that counts; `spherovem labels log` lists them"
            )
        chosen = [by_id[name] for name in which]
    left = [entry for entry in counted if entry not in chosen]
    refuse_to_lose_adopted(layout, kind, operations_digest(changing_labels(left)))
    undos = [Undo(of=entry.id) for entry in chosen]
    journal.append(undos, author=author, reason=reason, after=head)
    return tuple(chosen)


def _present(layout: Layout, kind: CorrectedKind, journal: Journal) -> Replay:
    """Return the labels as the journal leaves them: those on disk where they hold it, else the automatic ones corrected."""
    labels = present_labels(layout, kind)
    if labels is not None and held_journal(labels) == journal.label_digest:
        return start_replay(layout, kind, labels)
    automatic = kept_automatic(layout, kind)
    if automatic is None and labels is not None and not held_journal(labels):
        automatic = labels
    if automatic is None:
        raise IncompleteArtifactError(
            f"{layout.volume / corrected_group(kind)} is not complete; process the acquisition up to its labels first"
        )
    found = start_replay(layout, kind, automatic)
    for entry in journal.effective():
        found.apply(entry)
    return found


class _Check:
    """Edits applied one after another to the present labels, in memory."""

    def __init__(self, labels: Replay, first_number: int) -> None:
        self.labels = labels
        self.fitting: list[Draft] = []
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        self._number = first_number
        now = labels.canvas.labels
        self._before = PaintedLabels(now.base, dict(now.numbers), dict(now.painted))
        self._touched: dict[int, int] = {}

    def apply(self, draft: Draft) -> None:
        """Apply one edit, or note why it does not fit."""
        problem = "" if draft.id else self._conflict(draft)
        filled = self._with_volumes(draft)
        if not problem:
            entry = Entry(self._number, filled.id, "", "", "", filled.operation)
            outcome = self.labels.apply(entry)
            if not outcome.reason:
                self.fitting.append(filled)
                self.outcomes.append(outcome)
                self._number += 1
                if draft.operation.changes_labels:
                    self._touched |= dict.fromkeys((*outcome.before, *outcome.after), draft.line)
                return
            place = outcome.point_um
            at = "" if place is None else f" (z, y, x = {', '.join(f'{own:g}' for own in place)} µm)"
            problem = f"{outcome.reason}{at}"
        self.problems.append(f"line {draft.line}, {draft.operation.operation}: {problem}")

    def _conflict(self, draft: Draft) -> str:
        """Return why an edit made on the labels before this file meets an earlier line of it."""
        for anchor in anchors(draft.operation):
            index = self.labels.grid.index_of(anchor.point_um)
            if index is None or anchor.volume_um3 is not None:
                continue
            now = self.labels.canvas.voxel(index)
            one = tuple(slice(i, i + 1) for i in index)
            then = int(self._before[one].reshape(-1)[0])
            line = self._touched.get(now or then)
            if line is not None:
                return self._two_edits(line, then or now)
        if isinstance(draft.operation, Add | Replace):
            region, wanted = self._painted(draft.operation)
            now_there, then_there = self.labels.canvas.read(region)[wanted], self._before[region][wanted]
            changed = now_there != then_there
            if changed.any():
                both = {*now_there[changed].tolist(), *then_there[changed].tolist()} & self._touched.keys()
                if both:
                    return self._two_edits(self._touched[min(both)], min(both))
        return ""

    def _two_edits(self, line: int, label: int) -> str:
        return (
            f"two edits of one place: line {line} changes object {label} as well; apply them one after the other, or state the "
            "volume_um3 that the object then has"
        )

    def _painted(self, operation: Add | Replace) -> tuple[Region, Any]:
        region, indices = self.labels.grid.place(operation.mask)
        return region, sample(operation.mask.unpack(), indices) > 0

    def _with_volumes(self, draft: Draft) -> Draft:
        filled = [self._with_volume(anchor) for anchor in anchors(draft.operation)]
        return replace(draft, operation=with_anchors(draft.operation, filled))

    def _with_volume(self, anchor: Anchor) -> Anchor:
        if anchor.volume_um3 is not None:
            return anchor
        label = self.labels.label_at(anchor.point_um)
        volume = self.labels.volume_um3(label) if label else None
        return anchor.model_copy(update={"volume_um3": volume})
