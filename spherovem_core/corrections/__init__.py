"""Corrections by hand: operations on labels, and the journal that keeps them."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.corrections.application import Replay, correct_labels, replay
    from spherovem_core.corrections.codes import MaskCodes
    from spherovem_core.corrections.edits import (
        CheckedEdits,
        append_edits,
        check_edits,
        parse_edits,
        read_edits,
        undo_operations,
    )
    from spherovem_core.corrections.grid import LabelGrid
    from spherovem_core.corrections.journal import Draft, Entry, Journal, journal_lines
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
    from spherovem_core.corrections.state import CorrectionState, correction_state, marks_of
    from spherovem_core.corrections.writing import apply_journal

__getattr__ = lazy_names(__name__, __file__)

__all__ = [
    "Accept",
    "Add",
    "Anchor",
    "Applied",
    "CheckedEdits",
    "CorrectionState",
    "CutLine",
    "Delete",
    "Draft",
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
    "append_edits",
    "apply_journal",
    "check_edits",
    "correct_labels",
    "correction_state",
    "journal_lines",
    "marks_of",
    "parse_edits",
    "parse_operation",
    "read_edits",
    "replay",
    "undo_operations",
]
