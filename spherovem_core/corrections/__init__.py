"""Corrections by hand: operations on labels, and the journal that keeps them."""

from spherovem_core.corrections.application import Replay, correct_labels, replay
from spherovem_core.corrections.codes import MaskCodes
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.journal import Entry, Journal
from spherovem_core.corrections.operations import (
    Accept,
    Add,
    Anchor,
    CutLine,
    Delete,
    Exclude,
    Merge,
    Operation,
    Reject,
    Replace,
    Split,
    Undo,
    parse_operation,
)
from spherovem_core.corrections.outcomes import Applied, Outcome

__all__ = [
    "Accept",
    "Add",
    "Anchor",
    "Applied",
    "CutLine",
    "Delete",
    "Entry",
    "Exclude",
    "Journal",
    "LabelGrid",
    "MaskCodes",
    "Merge",
    "Operation",
    "Outcome",
    "Reject",
    "Replace",
    "Replay",
    "Split",
    "Undo",
    "correct_labels",
    "parse_operation",
    "replay",
]
