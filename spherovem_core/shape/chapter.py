"""Shape: distributions of the descriptors, sphericity against volume, the most unusual cells."""

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
    "shape_index_mean": "shape index",
    "curvedness_mean_per_um": "curvedness (1/µm)",
    "fractal_dimension": "fractal dimension",
}
SPREAD_WIDELY = ("volume_um3", "surface_area_um2")
MESHES = 5
MESH_WIDTH, MESH_HEIGHT = 1.66, 2.2
MESH_PX = 320
CELL_COLOUR = "#e3b45a"
# As their outlines are: cells yellow, nuclei blue.
KIND_COLOURS = (PALETTE[2], PALETTE[0])
MOST_ROWS = 300
LISTED = ("label", *DESCRIPTORS, "truncated_fraction", "shape_note")


def shape_section(inputs: ReportInputs) -> Section:
    """Show what shape cells and nuclei have, the whole ones apart from those cut by the border."""
    if all(inputs.tables[kind].empty for kind in OBJECT_KINDS):
        return Section("shape", "Shape", [("Cells and nuclei", "none to measure")])
    pictures = [
        Picture(
            [_distribution(inputs, column, label) for column, label in DESCRIPTORS.items()],
            "Shape descriptors of cells and nuclei, upon each other; those that the volume's border cuts are left out "
            "wherever others are whole.",
        ),
        Picture([_scatter(inputs, kind) for kind in OBJECT_KINDS], "Sphericity against volume."),
        *_unusual(inputs),
    ]
    tables = [Table("Median and quartiles of whole objects", _quartiles(inputs))]
    for kind in OBJECT_KINDS:
        rows = inputs.tables[kind].reindex(columns=LISTED).rename(columns=DESCRIPTORS)
        more = f", the first {MOST_ROWS} of {len(rows)}" if len(rows) > MOST_ROWS else ""
        tables.append(Table(f"All {kind}{more}", rows.head(MOST_ROWS), folded=True))
    return Section("shape", "Shape", _facts(inputs), pictures, tables)


def _facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    return [
        (
            f"Whole {kind}",
            f"{int((inputs.tables[kind]['truncated_fraction'] == 0).sum())} of {len(inputs.tables[kind])}",
        )
        for kind in OBJECT_KINDS
    ]


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Objects that the border does not cut; all of them where it cuts every one."""
    whole = table[table["truncated_fraction"] == 0]
    return whole if len(whole) else table


def _distribution(inputs: ReportInputs, column: str, label: str) -> Panel:
    groups = {kind: _whole(inputs.tables[kind])[column] for kind in OBJECT_KINDS}
    return distribution(groups, label, log_x=column in SPREAD_WIDELY, colours=KIND_COLOURS)


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
    for kind in OBJECT_KINDS:
        whole = inputs.tables[kind][inputs.tables[kind]["truncated_fraction"] == 0]
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
    """The cells that are most unlike the others, and the one that is most like them."""
    table = inputs.tables["cells"]
    whole = table[table["truncated_fraction"] == 0]
    enough = len(whole) >= FEWEST
    ranked = rank_unusual(whole if enough else table)
    if ranked.empty:
        return []
    which = "whole cells" if enough else "cells, cut by the volume's border or not, for too few are whole,"
    rows = table.set_index("label")
    labels, distances = ranked["label"].tolist(), ranked["distance"].tolist()
    what, above = ranked["descriptor"].tolist(), ranked["above"].tolist()
    shown = [
        (labels[n], f"{JUDGED[what[n]]}\n{distances[n]:.1f} sd {'above' if above[n] else 'below'}")
        for n in range(min(MESHES, len(ranked) - 1))
    ]
    shown.append((labels[-1], "most like\nthe others"))
    panels = [_mesh(inputs, label, said, rows.loc[label]) for label, said in shown]
    return [
        Picture(
            panels,
            f"The {which} that are most unlike the others, and last the one that is most like them: what is unusual, by how "
            "many robust standard deviations from the median. Wrong segmentations are among the first to show here.",
        )
    ]


def _mesh(inputs: ReportInputs, label: int, said: str, row: "pd.Series[Any]") -> Panel:
    box = {str(name): int(row[name]) for name in row.index if str(name).startswith("bbox_")}
    triangles = label_surface(inputs.open_level, labels_group("cells"), label, box)
    image = draw([Body(triangles, CELL_COLOUR)], MESH_PX)
    # The picture keeps its shape and stands on the text below it.
    across = min(MESH_WIDTH, MESH_WIDTH * image.width / image.height)
    up = across * image.height / image.width
    beside = (MESH_WIDTH - across) / 2
    axes = new_panel(MESH_WIDTH, MESH_HEIGHT, "", Margins(beside, beside, MESH_HEIGHT - 0.5 - up, 0.5))
    axes.set(xticks=[], yticks=[], xlabel=f"cell {label}: {said}")
    axes.xaxis.label.set_fontsize(8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return finish(axes, f"Surface of cell {label}", [Layer(image.uri)])
