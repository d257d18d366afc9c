"""Register: xz and yz views before and after, motion and similarity over z, crop."""

import numpy as np

from spherovem_core.report.figures import lines_over_z, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.store import open_array
from spherovem_core.store.layout import DENOISED, REGISTERED


def registration_section(inputs: ReportInputs) -> Section:
    """Show whether consecutive slices line up."""
    registered = open_array(inputs.layout, REGISTERED)
    slices = inputs.tables["slices"]
    top, left, bottom, right = registered.details["crop"]
    before, after = (slices[f"similarity_{when}"].to_numpy(dtype=float) for when in ("before", "after"))
    facts = [
        ("Motion model", inputs.parameters.registration.model),
        ("Common field of view", f"rows {top} to {bottom}, columns {left} to {right}"),
        (
            "Similarity of neighbours",
            f"{np.nanmedian(before):.3f} before, {np.nanmedian(after):.3f} after (median)",
        ),
    ]
    doubtful = int((~slices["trusted"].fillna(True).astype(bool)).sum())
    warnings = [f"{doubtful} pairs of slices could not be aligned with confidence"] if doubtful else []
    return Section("register", "Registration", facts, [_views(inputs), _motion(inputs)], (), warnings)


def _views(inputs: ReportInputs) -> Picture:
    figure, axes = new_figure(2, 2, 10, 6)
    for row, group in enumerate((DENOISED, REGISTERED)):
        stored = fitting_level(inputs.layout, group, inputs.image_px)
        views = [cut(stored, axis) for axis in (1, 2)]
        limits = contrast_limits([view.values for view in views])
        for ax, view in zip(axes[row], views, strict=True):
            show_view(ax, view, limits)
            ax.set_title(("before, " if row == 0 else "after, ") + view.plane, fontsize=9)
    return picture(
        figure, "Planes along z before and after registration: edges should run smoothly across slices."
    )


def _motion(inputs: ReportInputs) -> Picture:
    slices = inputs.tables["slices"]

    def column(name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        return slices[name].to_numpy(dtype=float)

    panels = [
        ("shift (px)", {"y": column("shift_y_px"), "x": column("shift_x_px")}),
        ("rotation (°)", {"rotation": column("rotation_deg")}),
        ("similarity", {"before": column("similarity_before"), "after": column("similarity_after")}),
    ]
    return lines_over_z(
        panels, slices["z"].to_numpy(), "Motion of each slice against the one before, and their similarity."
    )
