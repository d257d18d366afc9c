"""Report chapter of the review: the suspects of each kind, and pictures of the first ones."""

import pandas as pd

from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.review.contact_sheets import GROUPS, contact_sheet

SHOWN = {"cells": 12, "nuclei": 6, "nanoparticles": 6}
"""Suspects of each kind in pictures."""

LISTED = 60
"""Suspects of each kind in a table."""

COLUMNS = {
    "rank": "rank",
    "label": "label",
    "other_label": "other",
    "operation": "suggested",
    "reason": "reason",
    "score": "score",
    "centroid_z_um": "z (µm)",
    "centroid_y_um": "y (µm)",
    "centroid_x_um": "x (µm)",
}


def suspects_name(kind: str) -> str:
    """Return the name of the table of suspects of a kind."""
    return f"suspects_{kind}"


def review_section(inputs: ReportInputs) -> Section:
    """Show the objects that are probably wrong."""
    tables = {
        kind: inputs.tables[suspects_name(kind)] for kind in GROUPS if suspects_name(kind) in inputs.tables
    }
    if not tables:
        return Section(
            "review", "Suspects", [("Suspects", "not looked for by the version that wrote these results")]
        )
    facts = [
        (f"Suspects among {kind}", _count(table, inputs.accepted.get(suspects_name(kind), 0)))
        for kind, table in tables.items()
    ]
    pictures: list[Picture] = []
    lists = []
    for kind, table in tables.items():
        shown = table[table["score"] > 0]
        pictures += contact_sheet(inputs.open_level, GROUPS[kind], shown, SHOWN[kind], inputs.image_px)
        more = f", the first {LISTED} of {len(table)}" if len(table) > LISTED else ""
        if len(table):
            rows = table.head(LISTED)[list(COLUMNS)].rename(columns=COLUMNS)
            lists.append(Table(f"Suspects among {kind}{more}", rows, folded=True))
    return Section("review", "Suspects", facts, pictures, lists)


def _count(table: pd.DataFrame, accepted: int) -> str:
    likely = int((table["score"] > 0).sum())
    text = f"{likely} more probably wrong than right, {len(table)} in all" if len(table) else "none"
    return f"{text}; {accepted} left out, accepted by hand" if accepted else text
