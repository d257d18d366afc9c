"""Register: xz and yz views before and after, motion and similarity over z, crop."""

import numpy as np
import pandas as pd

from spherovem_core.report.figures import lines_over_z, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import contrast_limits, cut, fitting_level
from spherovem_core.store import open_array
from spherovem_core.store.layout import DENOISED, REGISTERED

MOST_NUMBERS = 12


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
    facts += [
        ("Slices left out as bad", _numbers(slices, ~_flags(slices, "used"))),
        ("Slices held by longer links only", _numbers(slices, _flags(slices, "bridged"))),
    ]
    pictures = [_views(inputs), _motion(inputs)]
    return Section("register", "Registration", facts, pictures, (), registration_warnings(inputs))


def registration_warnings(inputs: ReportInputs) -> list[str]:
    """Name the slices whose place is a guess."""
    slices = inputs.tables["slices"]
    doubtful = _flags(slices, "used") & ~_flags(slices, "trusted")
    found = f"slices not aligned with confidence to the one before: {_numbers(slices, doubtful)}"
    return [found] if doubtful.any() else []


def _flags(slices: pd.DataFrame, name: str) -> pd.Series:
    """A column of verdicts; slices that the registration did not see count as sound."""
    return slices[name].fillna(name != "bridged").astype(bool)


def _numbers(slices: pd.DataFrame, chosen: pd.Series) -> str:
    """Numbers of the chosen slices, the first dozen of them."""
    numbers = slices.loc[chosen, "z"].astype(str).tolist()
    more = f" and {len(numbers) - MOST_NUMBERS} more" if len(numbers) > MOST_NUMBERS else ""
    return ", ".join(numbers[:MOST_NUMBERS]) + more or "none"


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
        ("slow drift (px)", {"y": column("drift_y_px"), "x": column("drift_x_px")}),
        ("rotation (°)", {"rotation": column("rotation_deg")}),
        ("similarity", {"before": column("similarity_before"), "after": column("similarity_after")}),
        ("uncertainty (px)", {"uncertainty": column("uncertainty_px")}),
    ]
    return lines_over_z(
        panels,
        slices["z"].to_numpy(),
        "How far each slice was moved and turned, the slow drift that its neighbours say it has, and its "
        "similarity to the slice before with the uncertainty of that pair.",
    )
