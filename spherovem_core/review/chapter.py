"""Report chapter of the review: the suspects of each kind, pictures of the first ones, and the least confident objects."""

import pandas as pd

from spherovem_core.label_statistics import CENTROID_COLUMNS
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section, Table
from spherovem_core.review.contact_sheets import GROUPS, contact_sheet
from spherovem_core.store.layout import OBJECT_KINDS

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


CONFIDENCE_SHOWN = ("label", "confidence", "volume_um3", "truncated_fraction", *CENTROID_COLUMNS)


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
    for kind in OBJECT_KINDS:
        objects = inputs.tables.get(kind)
        if objects is not None and "confidence" in objects and objects["confidence"].notna().any():
            facts.append((f"Confidence of {kind}", _confidence(objects)))
            lists.append(_least_confident(kind, objects))
    return Section("review", "Suspects", facts, pictures, lists)


def _confidence(objects: pd.DataFrame) -> str:
    known = objects["confidence"].dropna()
    return f"{known.sum():.0f} of {len(known)} are right by the sum of their confidences; median {known.median():.2f}"


def _least_confident(kind: str, objects: pd.DataFrame) -> Table:
    """List the objects whose confidence is least."""
    order = objects["confidence"].sort_values(kind="stable").dropna().index[:LISTED]
    more = f", the least sure {LISTED} of {len(objects)}" if len(objects) > LISTED else ""
    shown = [name for name in CONFIDENCE_SHOWN if name in objects]
    return Table(f"Confidence of {kind}{more}", objects.loc[order, shown], folded=True)


def _count(table: pd.DataFrame, accepted: int) -> str:
    likely = int((table["score"] > 0).sum())
    text = f"{likely} more probably wrong than right, {len(table)} in all" if len(table) else "none"
    return f"{text}; {accepted} left out, accepted by hand" if accepted else text
