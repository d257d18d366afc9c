"""Stage 8: final tables, report, provenance and exports."""

from spherovem_core.output.report import build_report
from spherovem_core.output.summary import summarise

__all__ = ["build_report", "summarise"]
