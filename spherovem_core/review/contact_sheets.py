"""Pictures of suspects: three planes through the place of each, with the outlines of the object and its neighbours."""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.label_statistics import BOX_COLUMNS, CENTROID_COLUMNS
from spherovem_core.report.figures import OUTLINE_COLOURS, SOFT
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import OpenLevel
from spherovem_core.report.page import Page, Panel, Picture, Section, render
from spherovem_core.report.views import View, contrast_limits, cuts_through, level_for
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import Layout, StoredArray, open_array, write_text
from spherovem_core.store.layout import NANOPARTICLES, REGISTERED, labels_group

GROUPS = {"cells": labels_group("cells"), "nuclei": labels_group("nuclei"), "nanoparticles": NANOPARTICLES}
"""Groups of the labels of each kind that is reviewed."""

WIDTH = 2.4
OTHER_COLOUR = "#35c2ff"
OWN_COLOUR = OUTLINE_COLOURS["cells"]
MARK_FRACTION = 0.05
"""Side of the mark at the place, as a fraction of the picture's."""
SURROUNDINGS = 0.25
"""Surroundings on each side, as a fraction of the bounding box."""
LEAST_VOXELS = 24
"""Voxels of the finest level along the side of a picture, for objects as small as nanoparticles."""


def contact_sheet(
    open_level: OpenLevel, group: str, suspects: pd.DataFrame, count: int, image_px: int
) -> list[Picture]:
    """Draw the first suspects.

    Parameters
    ----------
    open_level
        Opens a level of an array of the volume.
    group
        Group of the labels.
    suspects
        Table of suspects.
    count
        Number of suspects to draw.
    image_px
        Largest number of voxels along the side of a picture; for a larger part a coarser level is read.
    """
    return [
        Picture(_panels(open_level, group, row, image_px), _caption(row))
        for row in map(_named, suspects.head(count).to_dict("records"))
    ]


def write_sheets(
    layout: Layout, kind: str, suspects: pd.DataFrame, target: Path, image_px: int = 256
) -> None:
    """Write an HTML page with pictures of suspects.

    Raises
    ------
    IncompleteArtifactError
        If image or labels are not complete.
    """
    open_level = lru_cache(maxsize=None)(partial(open_array, layout))
    pictures = contact_sheet(open_level, GROUPS[kind], suspects, len(suspects), image_px)
    section = Section("review", f"Suspects among {kind}", pictures=pictures)
    summary = [("Suspects", str(len(suspects))), ("Results", str(layout.folder))]
    write_text(target, render(Page(f"{layout.folder.name}: {kind}", summary, [section])))


def _named(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _caption(row: dict[str, Any]) -> str:
    other = f" and {row['other_label']} (blue)" if row["other_label"] else ""
    place = ", ".join(f"{axis} = {row[name]:.2f}" for axis, name in zip("zyx", CENTROID_COLUMNS, strict=True))
    return (
        f"{row['rank']}. {row['operation'].capitalize()} {row['label']} (yellow){other}: {row['reason']}. "
        f"{row['explanation']} Place (µm): {place}; score {row['score']:.1f}."
    )


def _panels(open_level: OpenLevel, group: str, row: dict[str, Any], image_px: int) -> list[Panel]:
    labels = open_level(group)
    bounds = _bounds(labels, row)
    image, labels = (level_for(open_level, name, bounds, image_px) for name in (REGISTERED, group))
    place = [float(row[name]) for name in CENTROID_COLUMNS]
    views = cuts_through(image, place, bounds)
    limits = contrast_limits([view.values for view in views])
    panels = []
    for axis, (view, own) in enumerate(zip(views, cuts_through(labels, place, bounds), strict=True)):
        rows, columns = (a for a in range(3) if a != axis)
        panels.append(
            plane(
                view,
                limits,
                _outlines(own, int(row["label"]), int(row["other_label"])),
                width=WIDTH,
                frame_um=_mark(view, place[columns], place[rows]),
            )
        )
    return panels


def _bounds(labels: StoredArray, row: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Return the extent of the bounding box with its surroundings in µm, moved to hold the place."""
    bounds = {}
    spacing, origin = np.array(labels.spacing_nm) / NM_PER_UM, np.array(labels.origin_nm) / NM_PER_UM
    for axis in range(3):
        low, high = int(row[BOX_COLUMNS[axis]]), int(row[BOX_COLUMNS[3 + axis]])
        margin = max(SURROUNDINGS * (high - low), (LEAST_VOXELS - (high - low)) / 2)
        bounds[axis] = (
            float(origin[axis] + (low - margin) * spacing[axis]),
            float(origin[axis] + (high + margin) * spacing[axis]),
        )
    return bounds


def _outlines(view: View, label: int, other: int) -> Sequence[tuple[View, str]]:
    """Return the outlines of all objects, of the other one and of the suspect, with their colours."""
    layers = [(view.values, SOFT)]
    if other:
        layers.append((np.where(view.values == other, view.values, 0), OTHER_COLOUR))
    layers.append((np.where(view.values == label, view.values, 0), OWN_COLOUR))
    return [(View(values, view.extent_um, view.plane, view.position_um), colour) for values, colour in layers]


def _mark(view: View, across: float, down: float) -> tuple[float, float, float, float]:
    left, right, bottom, top = view.extent_um
    half = MARK_FRACTION / 2 * max(right - left, bottom - top)
    return across - half, across + half, down + half, down - half
