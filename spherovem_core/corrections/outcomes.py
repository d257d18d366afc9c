"""Outcomes of the operations of a journal: those that fit the labels, and those that do not, with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spherovem_core.corrections.operations import Operation, anchors


@dataclass(frozen=True)
class Outcome:
    """Outcome of one operation.

    Attributes
    ----------
    number, id, operation
        Line in the journal, identifier, and name, such as ``merge``.
    before
        Numbers of the objects that it touched, as they were.
    after
        Numbers of what became of them; an object that keeps its number is in both.
    reason
        Why it does not fit; empty if it was applied.
    point_um
        Place z, y, x where it does not fit, or the first place of an applied one.
    note
        What a reader of an applied operation should know.
    """

    number: int
    id: str
    operation: str
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    reason: str = ""
    point_um: tuple[float, float, float] | None = None
    note: str = ""

    def document(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {
            "number": self.number,
            "id": self.id,
            "operation": self.operation,
            "before": list(self.before),
            "after": list(self.after),
            "reason": self.reason,
            "point_um": None if self.point_um is None else list(self.point_um),
            "note": self.note,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Outcome":
        """Make an outcome from its document."""
        point = document["point_um"]
        lists = {key: tuple(document[key]) for key in ("before", "after")}
        return cls(**{**document, **lists, "point_um": None if point is None else tuple(point)})


@dataclass(frozen=True)
class Applied:
    """Outcomes of the operations of a journal, in order, and the final labels.

    Attributes
    ----------
    outcomes
        One for each operation.
    corrected
        Labels of objects that an operation made or changed.
    excluded, accepted
        By the identifier of the operation: labels of the objects that are now what it named.
    count
        Number of objects.
    """

    outcomes: tuple[Outcome, ...] = ()
    corrected: frozenset[int] = frozenset()
    excluded: Mapping[str, frozenset[int]] = field(default_factory=dict)
    accepted: Mapping[str, frozenset[int]] = field(default_factory=dict)
    count: int = 0

    @property
    def applied(self) -> tuple[Outcome, ...]:
        """Operations that fit."""
        return tuple(outcome for outcome in self.outcomes if not outcome.reason)

    @property
    def not_applied(self) -> tuple[Outcome, ...]:
        """Operations that do not fit."""
        return tuple(outcome for outcome in self.outcomes if outcome.reason)

    @property
    def excluded_labels(self) -> frozenset[int]:
        """Labels of all excluded objects."""
        return frozenset[int]().union(*self.excluded.values())

    @property
    def accepted_labels(self) -> frozenset[int]:
        """Labels of all accepted objects."""
        return frozenset[int]().union(*self.accepted.values())

    def document(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {
            "outcomes": [outcome.document() for outcome in self.outcomes],
            "corrected": sorted(self.corrected),
            "excluded": {key: sorted(labels) for key, labels in self.excluded.items()},
            "accepted": {key: sorted(labels) for key, labels in self.accepted.items()},
            "count": self.count,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Applied":
        """Make it from its document."""
        return cls(
            tuple(map(Outcome.read, document["outcomes"])),
            frozenset(document["corrected"]),
            {key: frozenset(labels) for key, labels in document["excluded"].items()},
            {key: frozenset(labels) for key, labels in document["accepted"].items()},
            document["count"],
        )


def sources_of(outcomes: Sequence[Outcome]) -> dict[int, tuple[int, ...]]:
    """Return the labels before the first operation that each touched object was made from; none for one that was added."""
    sources: dict[int, frozenset[int]] = {}
    for outcome in outcomes:
        if outcome.reason or (outcome.before == outcome.after and outcome.operation != "replace"):
            continue
        known = {label: sources.get(label, frozenset([label])) for label in outcome.before}
        every = frozenset[int]().union(*known.values())
        for label in outcome.before:
            sources[label] = frozenset()
        for label in outcome.after:
            own = known.get(label) if outcome.operation == "replace" else None
            sources[label] = every if own is None else own
    return {label: tuple(sorted(own)) for label, own in sources.items()}


def place_of(operation: Operation) -> tuple[float, float, float] | None:
    """Return the first place of an operation: its first anchor, or the origin of its mask; None for an undo."""
    found = anchors(operation)
    if found:
        return found[0].point_um
    mask = getattr(operation, "mask", None)
    return None if mask is None else mask.origin_um
