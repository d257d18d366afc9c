"""Corrections of an acquisition as they stand: journal, labels, and what became of each operation."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from spherovem_core.corrections.application import Replay
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.journal import Entry, Journal, changing_labels, operations_digest
from spherovem_core.corrections.label_index import load_index
from spherovem_core.corrections.outcomes import Applied
from spherovem_core.corrections.split_cache import SplitCache
from spherovem_core.errors import CorrectionError, IncompleteArtifactError
from spherovem_core.store import Layout, StoredArray, open_array
from spherovem_core.store.adoptions import ADOPTED, describe_adoption, last_computed
from spherovem_core.store.changes import command
from spherovem_core.store.layout import VOLUME, CorrectedKind, array_path, automatic_group, corrected_group
from spherovem_core.store.markers import array_marker
from spherovem_core.workflow.step import JOURNAL

CORRECTIONS = "corrections"
"""Name of what became of the operations among the details of corrected labels."""


@dataclass(frozen=True)
class CorrectionState:
    """Corrections of one kind of object.

    Attributes
    ----------
    entries
        Operations that count.
    applied
        What became of them; None while the labels do not hold them yet.
    labels
        The present labels; None where they are not complete.
    """

    entries: tuple[Entry, ...]
    applied: Applied | None
    labels: StoredArray | None

    def outcome(self, entry: Entry) -> str:
        """Return what became of an operation in a few words."""
        if self.applied is None:
            return "not applied yet"
        found = next((own for own in self.applied.outcomes if own.id == entry.id), None)
        if found is None:
            return "undone"
        return f"does not fit: {found.reason}" if found.reason else "applied"


def held_journal(labels: StoredArray) -> str:
    """Return the digest of the corrections that labels hold; empty for automatic ones."""
    history = labels.history
    return str(last_computed(history).get("external", {}).get(JOURNAL, ""))


def present_labels(layout: Layout, kind: CorrectedKind) -> StoredArray | None:
    """Return the labels of a kind of object; None where they are not complete."""
    try:
        return open_array(layout, corrected_group(kind))
    except IncompleteArtifactError:
        return None


def refuse_to_lose_adopted(layout: Layout, kind: CorrectedKind, label_digest: str | None) -> None:
    """Refuse to change the corrections of labels that hold a change by hand, adopted on top of them.

    Corrections are applied to the labels as computed, which do not hold that change. A change that was adopted before the first
    correction is no obstacle.

    Parameters
    ----------
    label_digest
        `Journal.label_digest` as it is to become; None for another than ever before.

    Raises
    ------
    CorrectionError
        If the change would be lost.
    ChangedArtifactError
        If the labels were changed and nobody adopted the change.
    """
    labels = present_labels(layout, kind)
    adopted = None if labels is None else labels.details.get(ADOPTED)
    if labels is None or adopted is None or held_journal(labels) in ("", label_digest):
        return
    place, folder = corrected_group(kind), layout.folder.absolute()
    where = shlex.join(["--kind", kind, "--results-root", str(folder.parent)])
    raise CorrectionError(
        f"{layout.volume / place} holds a change by hand on top of corrections ({describe_adoption(adopted)}), and another "
        "correction would lose it. Nothing was written. To make the change a correction itself: write the labels to a file "
        f"(spherovem labels export {folder.name} {where} --out FILE.ome.tif), discard the change "
        f"({command(layout, 'recompute', f'{VOLUME}/{place}')}), process the acquisition, and import the file "
        f"(spherovem labels import {folder.name} FILE.ome.tif {where})"
    )


def refuse_lost_lines(layout: Layout, kind: CorrectedKind) -> None:
    """Refuse a journal that was removed or cut after it was applied; an operation that is undone keeps its line.

    Raises
    ------
    CorrectionError
        If the labels hold corrections that the journal lacks, or it is damaged.
    """
    group, journal = corrected_group(kind), Journal(layout.journal(kind))
    marker = array_marker(layout.path(array_path(group))) or {}
    known = {entry.id for entry in journal.entries()}
    outcomes = marker.get(CORRECTIONS, {}).get("outcomes", ())
    lost = [own for own in outcomes if own["id"] not in known]
    if lost:
        first = lost[0]
        raise CorrectionError(
            f"{layout.volume / group} holds {len(lost)} corrections of which {journal.path} has no line, such as "
            f"line {first['number']}, {first['operation']}: the journal was removed or cut. Nothing was written or computed. "
            "Restore it from a copy; or, to go on without these corrections, discard the labels that hold them: "
            f"{command(layout, 'recompute', f'{VOLUME}/{group}')}"
        )


def correction_state(layout: Layout, kind: CorrectedKind, digest: str | None = None) -> CorrectionState:
    """Read the corrections of one kind of object, and what became of them.

    With a `digest`, those that counted when the journal had it.

    Marks (accept, exclude) made after the labels were written do not change them; they are looked up in the labels, which are
    the labels on which they were made: no operation that changes labels came after them.

    Raises
    ------
    CorrectionError
        If the journal is damaged.
    """
    journal = Journal(layout.journal(kind))
    entries = journal.effective() if digest is None else journal.as_of(digest)
    labels = present_labels(layout, kind)
    if labels is None or held_journal(labels) != operations_digest(changing_labels(entries)):
        return CorrectionState(entries, None if entries else Applied(), labels)
    if not entries:
        return CorrectionState((), Applied(), labels)
    return CorrectionState(entries, _with_later_marks(layout, kind, labels, entries), labels)


def _with_later_marks(
    layout: Layout, kind: CorrectedKind, labels: StoredArray, entries: tuple[Entry, ...]
) -> Applied:
    """Read what labels hold of operations, without marks that were undone since, and with those that were made since."""
    kept = labels.details.get(CORRECTIONS)
    applied = Applied() if kept is None else Applied.read(kept)
    known = {outcome.id: outcome for outcome in applied.outcomes}
    counted = {entry.id for entry in entries}
    outcomes = {name: outcome for name, outcome in known.items() if name in counted}
    excluded, accepted = (
        {name: own for name, own in marks.items() if name in counted}
        for marks in (applied.excluded, applied.accepted)
    )
    later = [entry for entry in entries if entry.id not in known]
    if later:
        found = start_replay(layout, kind, labels)
        outcomes |= {entry.id: found.apply(entry) for entry in later}
        excluded |= dict(found.applied.excluded)
        accepted |= dict(found.applied.accepted)
    ordered = tuple(outcomes[entry.id] for entry in entries)
    return replace(applied, outcomes=ordered, excluded=excluded, accepted=accepted)


def excluded_objects(layout: Layout, kind: CorrectedKind, exclusion_digest: str) -> frozenset[int]:
    """Return the labels of the objects that are excluded from statistics, in the present labels.

    Parameters
    ----------
    exclusion_digest
        `Journal.exclusion_digest` of the exclusions that count; empty for none.

    Raises
    ------
    CorrectionError
        If the journal is damaged, or never held these exclusions together with the corrections of the labels.
    IncompleteArtifactError
        If there are no labels.
    """
    if not exclusion_digest:
        return frozenset()
    labels = open_array(layout, corrected_group(kind))
    entries = Journal(layout.journal(kind)).as_of(
        label_digest=held_journal(labels), exclusion_digest=exclusion_digest
    )
    return _with_later_marks(layout, kind, labels, entries).excluded_labels


def start_replay(layout: Layout, kind: CorrectedKind, labels: StoredArray) -> Replay:
    """Begin to apply operations to stored labels, in memory; nothing is written."""
    grid = LabelGrid(labels.shape, labels.spacing_nm, labels.origin_nm)
    path = layout.label_index(kind)
    if held_journal(labels):
        path = path.with_stem(f"{path.stem}-corrected")
    index = load_index(path, labels, labels.digest)
    return Replay(labels, grid, index, splits=SplitCache(layout.splits(kind)))


def kept_automatic(layout: Layout, kind: CorrectedKind) -> StoredArray | None:
    """Return the labels as computed, where they are kept beside corrected ones."""
    try:
        return open_array(layout, automatic_group(corrected_group(kind)))
    except IncompleteArtifactError:
        return None


def marks_of(state: CorrectionState) -> Mapping[str, frozenset[int]]:
    """Return the labels that are ``corrected``, ``excluded`` and ``accepted``; none while they are not applied."""
    applied = state.applied or Applied()
    return {
        "corrected": applied.corrected,
        "excluded": applied.excluded_labels,
        "accepted": applied.accepted_labels,
    }
