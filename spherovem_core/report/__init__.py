"""Building blocks of report chapters: inputs, sections, charts and pictures."""

from spherovem_core.report.chapter import Chapter
from spherovem_core.report.inputs import ReportInputs

__all__ = ["Chapter", "ReportInputs"]
