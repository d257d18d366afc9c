"""Chapter on the means over the objects of an acquisition."""

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section, Table

SHOWN = ("kind", "quantity", "unit", "mean", "mean_low", "mean_high", "whole_objects", "cut_objects", "note")

SHOWN_TOTALS = ("quantity", "unit", "found", "low", "high", "note")
TOTALS_TEXT = (
    "95 %, for objects that are no particles, other objects that may be some, particles that were missed or that the border "
    "cuts, and errors of volumes"
)


def means_section(inputs: ReportInputs) -> Section:
    """Show the means with their intervals, and say what the intervals account for."""
    means = inputs.tables.get("means")
    if means is None:
        return Section("means", "Means", [("Means", "not computed by the version that wrote these results")])
    totals = inputs.tables.get("totals")
    facts = [
        ("Objects", "whole ones, weighted by how often objects of their size are whole in the volume"),
        (
            "Intervals",
            "95 %, for the sampling of objects; not for errors of the segmentation, nor for other places",
        ),
    ]
    tables = [Table("Means with 95 % intervals", means[list(SHOWN)])]
    if totals is not None and not inputs.is_absent("nanoparticles"):
        facts.append(("Intervals of totals", TOTALS_TEXT))
        tables.append(Table("Totals with 95 % intervals", totals[list(SHOWN_TOTALS)]))
    return Section("means", "Means", facts, tables=tables)
