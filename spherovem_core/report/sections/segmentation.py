"""Cells and nuclei: outlines in three planes, size distribution, counts, share cut by the border."""

import numpy as np
import pandas as pd

from spherovem_core.report.figures import (
    big_and_two_small,
    draw_outlines,
    histograms,
    picture,
    show_view,
)
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.store import open_array
from spherovem_core.store.layout import OBJECT_KINDS, REGISTERED, ObjectKind, labels_group

COLOURS: dict[ObjectKind, str] = {"cells": "#edae49", "nuclei": "#35c2ff"}


def segmentation_section(inputs: ReportInputs) -> Section:
    """Show cells and nuclei over the image, and say where the segmentation is not to be believed."""
    rows = [_summary(inputs, "cells"), _summary(inputs, "nuclei")]
    sizes = {
        f"{kind}: equivalent diameter (µm)": inputs.tables[kind]["equivalent_diameter_um"].to_numpy()
        for kind in ("cells", "nuclei")
    }
    nuclei = inputs.tables["nuclei"]
    facts = [
        ("Networks", f"cells {inputs.parameters.cells.network}, nuclei {inputs.parameters.nuclei.network}"),
        ("Nuclei inside a cell", f"{int((nuclei['parent_cell'] > 0).sum())} of {len(nuclei)}"),
    ]
    pictures = [_overlay(inputs), histograms(sizes, "Size distribution of cells and nuclei.")]
    tables = [("Counts", pd.DataFrame(rows))]
    return Section("segment", "Cells and nuclei", facts, pictures, tables, segmentation_warnings(inputs))


def _summary(inputs: ReportInputs, kind: ObjectKind) -> dict[str, object]:
    table = inputs.tables[kind]
    return {
        "objects": kind,
        "count": len(table),
        "median volume (µm³)": float(table["volume_um3"].median()),
        "cut by the border": int((table["truncated_fraction"] > 0).sum()),
        "share of the volume": _share(inputs, kind),
    }


def _share(inputs: ReportInputs, kind: ObjectKind) -> float:
    stored = open_array(inputs.layout, labels_group(kind))
    return float(inputs.tables[kind]["voxel_count"].sum() / np.prod(stored.shape))


def segmentation_warnings(inputs: ReportInputs) -> list[str]:
    """Say where cells and nuclei are not to be believed."""
    warnings = []
    if "phantom-compact" in (inputs.parameters.cells.network, inputs.parameters.nuclei.network):
        warnings.append(
            "the network phantom-compact was trained on synthetic phantoms only: on real tissue its cells and nuclei "
            "have no meaning, nor has any number derived from them; use cpsam_v2 or fine-tuned weights"
        )
    cells, nuclei = inputs.tables["cells"], inputs.tables["nuclei"]
    for kind, table in (("cells", cells), ("nuclei", nuclei)):
        if table.empty:
            warnings.append(f"no {kind} were found")
    if len(nuclei) and (nuclei["parent_cell"] == 0).mean() > 0.2:
        warnings.append(f"{100 * (nuclei['parent_cell'] == 0).mean():.0f} % of the nuclei lie in no cell")
    if len(cells) and (cells["nucleus_count"] == 0).mean() > 0.5:
        warnings.append(f"{100 * (cells['nucleus_count'] == 0).mean():.0f} % of the cells have no nucleus")
    return warnings


def _overlay(inputs: ReportInputs) -> Picture:
    image = fitting_level(inputs.layout, REGISTERED, inputs.image_px)
    views = [cut(image, axis) for axis in (0, 1, 2)]
    limits = contrast_limits([view.values for view in views])
    figure, panels = big_and_two_small(views[0])
    for axis, (ax, view) in enumerate(zip(panels, views, strict=True)):
        show_view(ax, view, limits)
        for kind in OBJECT_KINDS:
            labels = fitting_level(inputs.layout, labels_group(kind), inputs.image_px)
            draw_outlines(ax, cut(labels, axis, view.position_um), COLOURS[kind])
        ax.set_title(f"{view.plane} at {view.position_um:.2f} µm", fontsize=9)
    return picture(
        figure, "Outlines of cells (yellow) and nuclei (blue) over the registered image, in three planes."
    )
