"""Adopted changes: a result that a person changed by hand and declared to be right."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ADOPTED = "adopted"
"""Name of the adoption in a marker: content before and after, author, reason and time."""
ADOPTION_STEP = "adoption"
"""Name of an adoption in histories, in place of a step's."""


def effective_digest(own: str, markers: Iterable[Mapping[str, Any] | None]) -> str:
    """Return the digest under which others read a result.

    That of a result as computed is its own. Where a change was adopted, it is the sha256 of the own digest and the content
    digest, so that everything that was computed from the result is computed again.

    Parameters
    ----------
    own
        Digest under which the step was computed.
    markers
        Markers of all outputs of the step, in their order.
    """
    contents = [str(marker[ADOPTED]["content"]) for marker in markers if marker and ADOPTED in marker]
    return hashlib.sha256("".join((own, *contents)).encode()).hexdigest() if contents else own


def is_adoption(entry: Mapping[str, Any]) -> bool:
    """Return whether a history entry is an adoption."""
    return entry.get("step") == ADOPTION_STEP


def last_computed(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the entry of the step that computed a result: the last one that is no adoption; empty for an empty history."""
    return next((entry for entry in reversed(history) if not is_adoption(entry)), {})


def describe_adoption(adopted: Mapping[str, Any]) -> str:
    """Return author, time and reason of an adoption."""
    reason = f": {adopted['reason']}" if adopted.get("reason") else ""
    return f"adopted by {adopted['author']} on {adopted['time']}{reason}"
