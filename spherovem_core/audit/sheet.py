"""The sheet of an audit: pictures of each object and place in three planes, to judge on screen or on paper."""

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from spherovem_core.audit.sample import AuditSample, SampledObject, SampledPlace
from spherovem_core.audit.verdicts import COLUMNS, OBJECT_VERDICTS
from spherovem_core.report.figures import OUTLINE_COLOURS, SOFT
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import OpenLevel
from spherovem_core.report.page import Panel
from spherovem_core.report.views import View, contrast_limits, cut, cuts_through, fitting_level, level_for
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import Layout, open_array, write_text
from spherovem_core.store.layout import REGISTERED, CorrectedKind, corrected_group

Bounds = dict[int, tuple[float, float]]
OWN_COLOUR = OUTLINE_COLOURS["cells"]
WIDTH = 3.0
IMAGE_PX = 256
"""Largest number of voxels along the side of a picture; of a larger part a coarser level is read."""

LIMITS_PX = 1024
"""Longest side of the slice from which the grey scale is taken."""

SURROUNDINGS = 0.3
"""Surroundings on each side, as a fraction of the object or frame."""

LEAST_VOXELS = 24
"""Voxels of the finest level along the side of a picture."""


def write_sheet(
    layout: Layout, kind: CorrectedKind, sample: AuditSample, target: Path, verdicts_name: str, command: str
) -> None:
    """Write the sheet as one HTML file that needs no network.

    Parameters
    ----------
    target
        File; an existing one is replaced.
    verdicts_name
        Name of the file of verdicts.
    command
        Command that reads it.

    Raises
    ------
    IncompleteArtifactError
        If image or labels are not complete.
    """
    open_level = lru_cache(maxsize=None)(partial(open_array, layout))
    group = corrected_group(kind)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (
        files("spherovem_core.audit").joinpath("templates", "sheet.html.j2").read_text(encoding="utf-8")
    )
    style = files("spherovem_core.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        title=f"Audit of {kind}: {layout.folder.name}",
        sample=sample,
        population=sum(sample.object_counts),
        objects=[(each, _object_panels(open_level, group, each)) for each in sample.objects],
        places=[(each, _place_panels(open_level, group, each)) for each in sample.places],
        verdicts=OBJECT_VERDICTS,
        columns=COLUMNS,
        verdicts_name=verdicts_name,
        command=command,
        style=Markup(style),
    )
    write_text(target, text)


@lru_cache(maxsize=4)
def _limits(open_level: OpenLevel) -> tuple[float, float]:
    """Find the grey scale of the middle slice."""
    return contrast_limits([cut(fitting_level(open_level, REGISTERED, LIMITS_PX, 0), 0).values])


def _object_panels(open_level: OpenLevel, group: str, item: SampledObject) -> list[Panel]:
    labels = open_level(group)
    spacing, origin = np.array(labels.spacing_nm) / NM_PER_UM, np.array(labels.origin_nm) / NM_PER_UM
    bounds: Bounds = {}
    for axis in range(3):
        low, high = item.box[axis], item.box[3 + axis]
        margin = max(SURROUNDINGS * (high - low), (LEAST_VOXELS - (high - low)) / 2)
        bounds[axis] = (
            float(origin[axis] + (low - margin) * spacing[axis]),
            float(origin[axis] + (high + margin) * spacing[axis]),
        )
    return _panels(open_level, group, item.point_um, bounds, item.label)


def _place_panels(open_level: OpenLevel, group: str, item: SampledPlace) -> list[Panel]:
    labels = open_level(group)
    spacing, origin = np.array(labels.spacing_nm) / NM_PER_UM, np.array(labels.origin_nm) / NM_PER_UM
    middle = origin[0] + item.z * spacing[0]
    # The frame's edges lie between voxels.
    frame: Bounds = {
        axis: (
            float(origin[axis] + (low - 0.5) * spacing[axis]),
            float(origin[axis] + (high - 0.5) * spacing[axis]),
        )
        for axis, (low, high) in ((1, item.rows), (2, item.columns))
    }
    side = max(high - low for low, high in frame.values())
    frame[0] = (float(middle - spacing[0] / 2), float(middle + spacing[0] / 2))
    margin = max(SURROUNDINGS * side, LEAST_VOXELS * float(spacing[1:].min()) / 2)
    bounds = {axis: (low - margin, high + margin) for axis, (low, high) in frame.items()}
    bounds[0] = (float(middle - side / 2 - margin), float(middle + side / 2 + margin))
    point = (float(middle), sum(frame[1]) / 2, sum(frame[2]) / 2)
    return _panels(open_level, group, point, bounds, 0, frame)


def _panels(
    open_level: OpenLevel,
    group: str,
    point_um: Sequence[float],
    bounds: Bounds,
    label: int,
    frame: Bounds | None = None,
) -> list[Panel]:
    """Draw the planes across z, y and x through a point, with outlines, and with the frame where there is one."""
    image, labels = (level_for(open_level, name, bounds, IMAGE_PX) for name in (REGISTERED, group))
    views = cuts_through(image, point_um, bounds)
    # One grey scale for all pictures: that of a small part would make noise look like an object.
    limits = _limits(open_level)
    panels = []
    for axis, (view, own) in enumerate(zip(views, cuts_through(labels, point_um, bounds), strict=True)):
        rows, columns = (a for a in range(3) if a != axis)
        layers = [(own.values, SOFT if label else OWN_COLOUR)]
        if label:
            layers.append((np.where(own.values == label, own.values, 0), OWN_COLOUR))
        outlines = [(View(v, own.extent_um, own.plane, own.position_um), colour) for v, colour in layers]
        square = None if frame is None else (*frame[columns], frame[rows][1], frame[rows][0])
        panels.append(plane(view, limits, outlines, width=WIDTH, frame_um=square))
    return panels
