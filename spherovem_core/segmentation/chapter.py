"""Report chapter on cells and nuclei: outlines in three planes, sizes, counts, fraction cut by the border."""

import numpy as np
import pandas as pd

from spherovem_core.report.charts import distribution
from spherovem_core.report.figures import OUTLINE_COLOURS
from spherovem_core.report.images import LARGE, plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section, Table
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.segmentation.networks import COMPACT_NAMES
from spherovem_core.store.layout import (
    OBJECT_KINDS,
    REGISTERED,
    ObjectKind,
    array_path,
    automatic_group,
    labels_group,
)
from spherovem_core.store.markers import array_marker

COLOURS = {"cells": "cells (yellow)", "nuclei": "nuclei (blue)"}


def segmentation_section(inputs: ReportInputs) -> Section:
    """Show cells and nuclei over the image, and warn of unreliable results."""
    nuclei, kinds = inputs.tables["nuclei"], inputs.given_kinds
    facts = [(kind.capitalize(), _origin(inputs, kind)) for kind in OBJECT_KINDS]
    if not kinds:
        return Section("segmentation", "Cells and nuclei", facts)
    if len(kinds) == len(OBJECT_KINDS):
        facts.append(("Nuclei inside a cell", f"{int((nuclei['parent_cell'] > 0).sum())} of {len(nuclei)}"))
    counts = pd.DataFrame([_summary(inputs, kind) for kind in kinds])
    pictures = [
        _overlay(inputs),
        Picture(
            [_sizes(inputs, kind) for kind in kinds],
            f"Sizes of {' and '.join(kinds)}; objects cut by the border of the volume look smaller than they are.",
        ),
    ]
    tables = [Table("Counts", counts)]
    return Section("segmentation", "Cells and nuclei", facts, pictures, tables, segmentation_warnings(inputs))


def segmentation_warnings(inputs: ReportInputs) -> list[str]:
    """Return warnings of unreliable cells and nuclei."""
    warnings = []
    groups = [inputs.parameters.segmentation.of(kind) for kind in inputs.given_kinds]
    compact = {own.network for own in groups if own.segmenter == "cellpose" and own.network in COMPACT_NAMES}
    warnings += [
        f"the network {name} was trained on synthetic phantoms only: on real tissue its cells and nuclei, and "
        "all numbers derived from them, are meaningless; use cpsam_v2 or fine-tuned weights"
        for name in sorted(compact)
    ]
    warnings += [text for kind in inputs.given_kinds if (text := _unlike(inputs, kind))]
    cells, nuclei = inputs.tables["cells"], inputs.tables["nuclei"]
    for kind, table in (("cells", cells), ("nuclei", nuclei)):
        if table.empty and not inputs.is_absent(kind):
            warnings.append(f"no {kind} were found")
    if inputs.is_absent("cells") or inputs.is_absent("nuclei"):
        return warnings
    if len(nuclei) and (nuclei["parent_cell"] == 0).mean() > 0.2:
        warnings.append(f"{100 * (nuclei['parent_cell'] == 0).mean():.0f} % of the nuclei lie in no cell")
    if len(cells) and (cells["nucleus_count"] == 0).mean() > 0.5:
        warnings.append(f"{100 * (cells['nucleus_count'] == 0).mean():.0f} % of the cells have no nucleus")
    return warnings


def _unlike(inputs: ReportInputs, kind: ObjectKind) -> str:
    """Say that the image is unlike the training of the network; empty if it is not, or if that was not measured."""
    from spherovem_core.segmentation.familiarity import Familiarity

    for group in (automatic_group(labels_group(kind)), labels_group(kind)):
        marker = array_marker(inputs.layout.path(array_path(group))) or {}
        record = marker.get("details", marker).get("familiarity")
        if record:
            found = Familiarity(**record)
            network = inputs.parameters.segmentation.of(kind).network
            return found.explanation(kind, network) if found.unlike else ""
    return ""


def _origin(inputs: ReportInputs, kind: ObjectKind) -> str:
    """Say what found the objects of a kind."""
    own = inputs.parameters.segmentation.of(kind)
    if own.segmenter == "none":
        return "none given"
    if own.segmenter == "imported":
        found = inputs.open_level(labels_group(kind)).details.get("imported", {})
        return f"imported from {found.get('origin', own.network)}"
    return f"network {own.network}"


def _summary(inputs: ReportInputs, kind: ObjectKind) -> dict[str, object]:
    table = inputs.tables[kind]
    cut_off = int((table["truncated_fraction"] > 0).sum())
    voxels = float(np.prod(inputs.open_level(labels_group(kind)).shape))
    return {
        "objects": kind,
        "count": len(table),
        "median volume (µm³)": float(table["volume_um3"].median()),
        "cut by the border": cut_off,
        "fraction cut by the border (%)": 100 * cut_off / len(table) if len(table) else np.nan,
        "fraction of the volume (%)": 100 * float(table["voxel_count"].sum()) / voxels,
    }


def _sizes(inputs: ReportInputs, kind: ObjectKind) -> Panel:
    table = inputs.tables[kind]
    whole = table["truncated_fraction"] == 0
    sizes = table["equivalent_diameter_um"]
    groups = {"whole": sizes[whole], "cut by the border": sizes[~whole]}
    return distribution(groups, "equivalent diameter (µm)", kind.capitalize(), kind)


def _overlay(inputs: ReportInputs) -> Picture:
    views = [
        cut(fitting_level(inputs.open_level, REGISTERED, inputs.image_px, axis), axis) for axis in (0, 1, 2)
    ]
    limits = contrast_limits([view.values for view in views])
    panels = []
    for axis, view in enumerate(views):
        labels = [
            (
                cut(
                    fitting_level(inputs.open_level, labels_group(kind), inputs.image_px, axis),
                    axis,
                    view.position_um,
                ),
                OUTLINE_COLOURS[kind],
            )
            for kind in inputs.given_kinds
        ]
        panels.append(plane(view, limits, labels, width=LARGE))
    return Picture(
        [panels[0], panels[1:]],
        f"Outlines of {' and '.join(COLOURS[kind] for kind in inputs.given_kinds)} over the registered image, in three planes.",
    )
