"""Report chapter of shape: distributions of the descriptors, sphericity against volume, the most unusual cells."""

from typing import Any

import pandas as pd

from spherovem_core.report.charts import distribution, scatter
from spherovem_core.report.figures import PALETTE, Layer, Margins, finish, new_panel
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.outliers import DESCRIPTORS as JUDGED
from spherovem_core.report.outliers import FEWEST, rank_unusual
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.surfaces import Body, draw, label_surface
from spherovem_core.store.layout import OBJECT_KINDS, ObjectKind, labels_group

DESCRIPTORS = {
    "volume_um3": "volume (µm³)",
    "surface_area_um2": "surface area (µm²)",
    "sphericity": "sphericity",
    "mean_curvature_mean_per_um": "mean curvature (1/µm)",
    "gaussian_curvature_mean_per_um2": "Gaussian curvature (1/µm²)",
    "shape_index_mean_at_scale": "shape index at the stated scale",
    "curvedness_mean_at_scale_per_um": "curvedness at the stated scale (1/µm)",
    "solidity": "solidity",
    "fractal_dimension": "fractal dimension",
}
LOGARITHMIC = ("volume_um3", "surface_area_um2")
MESHES = 5
MESH_WIDTH, MESH_HEIGHT = 1.66, 2.2
MESH_PX = 320
CELL_COLOUR = "#e3b45a"
# The colours of their outlines: cells yellow, nuclei blue.
KIND_COLOURS = {"cells": PALETTE[2], "nuclei": PALETTE[0]}
MOST_ROWS = 300
LISTED = ("label", *DESCRIPTORS, "truncated_fraction", "shape_note")


def shape_section(inputs: ReportInputs) -> Section:
    """Show the shape of cells and nuclei; whole objects and those cut by the border are shown apart."""
    if not inputs.given_kinds:
        return Section("shape", "Shape", [("Cells and nuclei", "none given")])
    if all(inputs.tables[kind].empty for kind in OBJECT_KINDS):
        return Section("shape", "Shape", [("Cells and nuclei", "none to measure")])
    pictures = [
        Picture(
            [_distribution(inputs, column, label) for column, label in DESCRIPTORS.items()],
            f"Shape descriptors of {' and '.join(inputs.given_kinds)}, stacked. Objects cut by the border are left out if others "
            "are whole.",
        ),
        Picture([_scatter(inputs, kind) for kind in inputs.given_kinds], "Sphericity against volume."),
        *_unusual(inputs),
    ]
    tables = [Table("Median and quartiles of whole objects", _quartiles(inputs))]
    for kind in inputs.given_kinds:
        rows = inputs.tables[kind].reindex(columns=LISTED).rename(columns=DESCRIPTORS)
        more = f", the first {MOST_ROWS} of {len(rows)}" if len(rows) > MOST_ROWS else ""
        tables.append(Table(f"All {kind}{more}", rows.head(MOST_ROWS), folded=True))
    return Section("shape", "Shape", _facts(inputs), pictures, tables)


def _facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    return [
        (
            f"Whole {kind}",
            "none given"
            if inputs.is_absent(kind)
            else f"{int((inputs.tables[kind]['truncated_fraction'] == 0).sum())} of {len(inputs.tables[kind])}",
        )
        for kind in OBJECT_KINDS
    ]


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Select the objects that the border does not cut, or all of them if it cuts every one."""
    whole = table[table["truncated_fraction"] == 0]
    return whole if len(whole) else table


def _descriptors(table: pd.DataFrame) -> pd.DataFrame:
    """Select the descriptors; those that a table of an earlier version lacks, which a migration keeps, are NaN."""
    return table.reindex(columns=list(DESCRIPTORS)).astype(float)


def _distribution(inputs: ReportInputs, column: str, label: str) -> Panel:
    groups = {kind: _descriptors(_whole(inputs.tables[kind]))[column] for kind in inputs.given_kinds}
    colours = [KIND_COLOURS[kind] for kind in groups]
    return distribution(groups, label, log_x=column in LOGARITHMIC, colours=colours)


def _scatter(inputs: ReportInputs, kind: ObjectKind) -> Panel:
    table = inputs.tables[kind].dropna(subset=["volume_um3", "sphericity"])
    cut_off = table["truncated_fraction"] > 0
    groups = {
        name: (rows["volume_um3"].to_numpy(), rows["sphericity"].to_numpy())
        for name, rows in (("whole", table[~cut_off]), ("cut by the border", table[cut_off]))
    }
    return scatter(groups, "volume (µm³)", "sphericity", kind.capitalize(), log_x=True)


def _quartiles(inputs: ReportInputs) -> pd.DataFrame:
    rows = []
    for kind in inputs.given_kinds:
        whole = _descriptors(inputs.tables[kind][inputs.tables[kind]["truncated_fraction"] == 0])
        for column, label in DESCRIPTORS.items():
            low, middle, high = (float(whole[column].quantile(q)) for q in (0.25, 0.5, 0.75))
            count = int(whole[column].notna().sum())
            rows.append(
                {
                    "objects": kind,
                    "descriptor": label,
                    "count": count,
                    "25 %": low,
                    "median": middle,
                    "75 %": high,
                }
            )
    return pd.DataFrame(rows)


def _unusual(inputs: ReportInputs) -> list[Picture]:
    """Draw the most unusual cells and the most typical one."""
    table = inputs.tables["cells"]
    whole = table[table["truncated_fraction"] == 0]
    enough = len(whole) >= FEWEST
    ranked = rank_unusual(whole if enough else table)
    if ranked.empty:
        return []
    described = "whole cells," if enough else "cells, whole or cut by the volume's border,"
    rows = table.set_index("label")
    labels, distances = ranked["label"].tolist(), ranked["distance"].tolist()
    descriptors, above = ranked["descriptor"].tolist(), ranked["above"].tolist()
    shown = [
        (labels[n], f"{JUDGED[descriptors[n]]}\n{distances[n]:.1f} sd {'above' if above[n] else 'below'}")
        for n in range(min(MESHES, len(ranked) - 1))
    ]
    shown.append((labels[-1], "most\ntypical"))
    panels = [_mesh(inputs, label, caption, rows.loc[label]) for label, caption in shown]
    return [
        Picture(
            panels,
            f"The most unusual {described} each with its most unusual descriptor and the distance from the median in robust "
            "standard deviations; the last one is the most typical. Wrong segmentations often appear here first.",
        )
    ]


def _mesh(inputs: ReportInputs, label: int, caption: str, row: "pd.Series[Any]") -> Panel:
    box = {str(name): int(row[name]) for name in row.index if str(name).startswith("bbox_")}
    triangles = label_surface(inputs.open_level, labels_group("cells"), label, box)
    image = draw([Body(triangles, CELL_COLOUR)], MESH_PX)
    # The picture keeps its aspect ratio and stands on its caption.
    across = min(MESH_WIDTH, MESH_WIDTH * image.width / image.height)
    up = across * image.height / image.width
    beside = (MESH_WIDTH - across) / 2
    axes = new_panel(MESH_WIDTH, MESH_HEIGHT, "", Margins(beside, beside, MESH_HEIGHT - 0.5 - up, 0.5))
    axes.set(xticks=[], yticks=[], xlabel=f"cell {label}: {caption}")
    axes.xaxis.label.set_fontsize(8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return finish(axes, f"Surface of cell {label}", [Layer(image.uri)])
