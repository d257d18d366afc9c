"""Stage 8: final tables, report and summary."""

from spherovem_core.output.report import build_report
from spherovem_core.output.summary import summarise
from spherovem_core.output.tables import join_tables

__all__ = ["build_report", "join_tables", "summarise"]
