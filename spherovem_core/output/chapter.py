"""Chapter with slices of the registered image to scroll through, and the outlines of all labels."""

from dataclasses import replace

import numpy as np

from spherovem_core.report.data_uris import grey
from spherovem_core.report.figures import OUTLINE_COLOURS
from spherovem_core.report.images import LABEL_PIXELS, outlines_over
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Section, Slices
from spherovem_core.report.views import contrast_limits, cuts_along_z, fitting_level
from spherovem_core.store.layout import NANOPARTICLES, REGISTERED, labels_group

MOST_SLICES = 48
SIDE_PX = 560
LEAST_WIDTH_PX = 600
COLOURS = {"cells": "yellow", "nuclei": "blue", "nanoparticles": "red"}


def slices_section(inputs: ReportInputs) -> Section:
    """Draw slices spread evenly over the stack, each with the outlines of its labels."""
    side = min(SIDE_PX, inputs.image_px)
    image = fitting_level(inputs.open_level, REGISTERED, side, across=0)
    groups: dict[str, str] = {kind: labels_group(kind) for kind in inputs.given_kinds}
    if not inputs.is_absent("nanoparticles"):
        groups["nanoparticles"] = NANOPARTICLES
    labels = {name: fitting_level(inputs.open_level, group, side, across=0) for name, group in groups.items()}
    depth = image.shape[0]
    numbers = np.unique(np.linspace(0, depth - 1, min(depth, MOST_SLICES)).round().astype(int))
    step = image.spacing_nm[0] / 1000
    positions = [float(image.origin_nm[0] / 1000 + number * step) for number in numbers]
    views = list(cuts_along_z(image, positions))
    limits = contrast_limits([view.values for view in views])
    columns = views[0].values.shape[1]
    left, right, bottom, top = views[0].extent_um
    width = max(columns, LEAST_WIDTH_PX)
    height = max(1, round(width * (bottom - top) / (right - left)))
    fine = (round(LABEL_PIXELS * height), round(LABEL_PIXELS * width))
    # A generator: memory holds one plane of each kind at a time.
    planes = zip(*(cuts_along_z(stored, positions) for stored in labels.values()), strict=True)
    # Without labels, the slices have outlines of nothing.
    drawn = planes if labels else (() for _ in views)
    overlays = [
        outlines_over(
            view,
            [(own, OUTLINE_COLOURS[name]) for name, own in zip(labels, found, strict=True)]
            or [(replace(view, values=np.zeros((2, 2), np.uint32)), OUTLINE_COLOURS["cells"])],
            fine,
        )
        for view, found in zip(views, drawn, strict=True)
    ]
    named = ", ".join(f"{name} {COLOURS[name]}" for name in labels) or "no objects were given"
    slices = Slices(
        images=[grey(view.values, limits) for view in views],
        outlines=overlays,
        titles=[f"z = {view.position_um:.2f} µm" for view in views],
        width_px=width,
        height_px=height,
        caption=f"Slices of the registered image with outlines: {named}.",
    )
    return Section("slices", "Slices", slices=slices)
