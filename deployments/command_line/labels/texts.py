"""Texts on operations and what became of them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spherovem_core.corrections import Outcome


def effect(outcome: "Outcome") -> str:
    """Say what an operation did, in one line."""
    if outcome.reason:
        return f"{outcome.operation}: does not fit: {outcome.reason}"
    before, after = (", ".join(map(str, labels)) for labels in (outcome.before, outcome.after))
    becomes = f" -> {after or 'background'}" if outcome.before != outcome.after else ""
    change = f"{before or 'nothing'}{becomes}"
    return f"{outcome.operation}: {change}" + (f" ({outcome.note})" if outcome.note else "")
