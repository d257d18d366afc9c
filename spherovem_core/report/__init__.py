"""What the chapters of a report are made of: inputs, sections, charts and pictures."""

from spherovem_core.report.chapter import Chapter
from spherovem_core.report.inputs import ReportInputs

__all__ = ["Chapter", "ReportInputs"]
