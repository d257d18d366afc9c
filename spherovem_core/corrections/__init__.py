"""Corrections by hand: operations on labels, and the journal that keeps them."""

from spherovem_core.corrections.codes import MaskCodes
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

__all__ = [
    "Accept",
    "Add",
    "Anchor",
    "CutLine",
    "Delete",
    "Entry",
    "Exclude",
    "Journal",
    "MaskCodes",
    "Merge",
    "Operation",
    "Reject",
    "Replace",
    "Split",
    "Undo",
    "parse_operation",
]
