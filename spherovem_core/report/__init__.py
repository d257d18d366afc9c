"""The HTML report of an acquisition."""

from spherovem_core.report.build import build_report
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.summary import summarise

__all__ = ["ReportInputs", "build_report", "summarise"]
