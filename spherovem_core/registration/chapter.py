"""Report chapter on registration: xz and yz views before and after, motion and similarity over z, crop."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registration.elastic_chapter import elastic_facts, elastic_pictures, elastic_warnings
from spherovem_core.report.charts import lines
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section
from spherovem_core.report.views import View, contrast_limits, cut, fitting_level, window_around
from spherovem_core.store import StoredArray
from spherovem_core.store.layout import DENOISED, REGISTERED

MOST_NUMBERS = 12
DETAIL_PX = 240
VIEW_WIDTH = 5.3


def registration_section(inputs: ReportInputs) -> Section:
    """Show whether consecutive slices line up."""
    registered = inputs.open_level(REGISTERED)
    slices = inputs.tables["slices"]
    top, left, bottom, right = registered.details["crop"]
    _, height, width = inputs.open_level(DENOISED).shape
    kept = (bottom - top) * (right - left) / (height * width)
    facts = [
        ("Motion model", inputs.parameters.registration.model),
        ("Common field of view", f"rows {top} to {bottom}, columns {left} to {right}"),
        ("Fraction of the field of view kept", f"{100 * kept:.1f} %"),
        ("Similarity of neighbours", _similarity(slices)),
        ("Slices left out as bad", _numbers(slices, ~_flags(slices, "used"))),
        ("Slices held only by longer links", _numbers(slices, _flags(slices, "bridged"))),
        *elastic_facts(inputs),
    ]
    pictures = [
        _views(inputs),
        *_details(inputs),
        _motion(slices),
        *elastic_pictures(inputs),
        _field_of_view(inputs),
    ]
    return Section("registration", "Registration", facts, pictures, (), registration_warnings(inputs))


def registration_warnings(inputs: ReportInputs) -> list[str]:
    """Name the slices whose position is uncertain."""
    slices = inputs.tables["slices"]
    doubtful = _flags(slices, "used") & ~_flags(slices, "trusted")
    found = f"slices not aligned with confidence to the one before: {_numbers(slices, doubtful)}"
    return [*([found] if doubtful.any() else []), *elastic_warnings(inputs)]


def _similarity(slices: pd.DataFrame) -> str:
    before, after = (slices[f"similarity_{when}"].median() for when in ("before", "after"))
    return "not known" if pd.isna(after) else f"{before:.3f} before, {after:.3f} after (median)"


def _flags(slices: pd.DataFrame, name: str) -> "pd.Series[bool]":
    """Return a column of verdicts; slices without registration count as good."""
    found: pd.Series[bool] = slices[name].fillna(name != "bridged").astype(bool)
    return found


def _numbers(slices: pd.DataFrame, chosen: "pd.Series[bool]") -> str:
    """List the numbers of the chosen slices, at most a dozen."""
    numbers = slices.loc[chosen, "z"].astype(str).tolist()
    more = f" and {len(numbers) - MOST_NUMBERS} more" if len(numbers) > MOST_NUMBERS else ""
    return ", ".join(numbers[:MOST_NUMBERS]) + more or "none"


def _views(inputs: ReportInputs) -> Picture:
    """Show planes through one position of the specimen before and after, in the same field of view."""
    panels = []
    for axis in (1, 2):
        before, after = (
            fitting_level(inputs.open_level, group, inputs.image_px, axis) for group in (DENOISED, REGISTERED)
        )
        panels += _pair(before, after, axis, _crop_origin(inputs), {})
    return Picture(
        panels, "Planes along z before and after registration; edges should run smoothly across slices."
    )


def _details(inputs: ReportInputs) -> list[Picture]:
    """Show a window in full resolution, if the planes above are coarser."""
    before, after = (inputs.open_level(group) for group in (DENOISED, REGISTERED))
    if max(after.shape) <= inputs.image_px:
        return []
    window = window_around(after, {0: _middle(after, 0), 2: _middle(after, 2)}, DETAIL_PX)
    panels = _pair(before, after, 1, _crop_origin(inputs), window)
    return [Picture(panels, "The middle in full resolution; every slice is one row.")]


def _pair(
    before: StoredArray,
    after: StoredArray,
    axis: int,
    crop_um: tuple[float, float, float],
    window: dict[int, tuple[float, float]],
) -> list[Panel]:
    position = _middle(after, axis)
    extent = [n * step / 1000 for n, step in zip(after.shape, after.spacing_nm, strict=True)]
    bounds = {a: window.get(a, (0.0, extent[a])) for a in range(3) if a != axis}
    moved = {a: (low + crop_um[a], high + crop_um[a]) for a, (low, high) in bounds.items()}
    views = [cut(before, axis, position + crop_um[axis], moved), cut(after, axis, position, bounds)]
    limits = contrast_limits([view.values for view in views])
    return [
        plane(_at(view, shift), limits, title=f"{view.plane}, {when}", width=VIEW_WIDTH, sharp=True)
        for view, when, shift in zip(
            views, ("before", "after"), (_in_plane(crop_um, axis), (0.0, 0.0)), strict=True
        )
    ]


def _middle(stored: StoredArray, axis: int) -> float:
    return (stored.origin_nm[axis] + stored.shape[axis] // 2 * stored.spacing_nm[axis]) / 1000


def _crop_origin(inputs: ReportInputs) -> tuple[float, float, float]:
    """Compute the origin of the registered image in the frame of the acquisition, in µm."""
    registered = inputs.open_level(REGISTERED)
    top, left, _, _ = registered.details["crop"]
    return 0.0, top * registered.spacing_nm[1] / 1000, left * registered.spacing_nm[2] / 1000


def _in_plane(origin: tuple[float, float, float], axis: int) -> tuple[float, float]:
    rows, columns = (a for a in range(3) if a != axis)
    return origin[rows], origin[columns]


def _at(view: View, shift: tuple[float, float]) -> View:
    """Move a view to the registered frame."""
    left, right, bottom, top = view.extent_um
    extent = (left - shift[1], right - shift[1], bottom - shift[0], top - shift[0])
    return View(view.values, extent, view.plane, view.position_um)


def _field_of_view(inputs: ReportInputs) -> Picture:
    """Show the part of a slice that is kept."""
    before = cut(fitting_level(inputs.open_level, DENOISED, inputs.image_px, across=0), 0)
    registered = inputs.open_level(REGISTERED)
    _, top, left = _crop_origin(inputs)
    _, height, width = (
        n * step / 1000 for n, step in zip(registered.shape, registered.spacing_nm, strict=True)
    )
    frame = (left, left + width, top + height, top)
    return Picture(
        [plane(before, contrast_limits([before.values]), frame_um=frame)],
        "Field of view common to all slices, framed in the middle slice before registration; the rest is cut off.",
    )


def _motion(slices: pd.DataFrame) -> Picture:
    z = slices["z"].to_numpy()
    doubtful = slices.loc[_flags(slices, "used") & ~_flags(slices, "trusted"), "z"].tolist()

    def column(name: str) -> NDArray[np.float64]:
        return slices[name].to_numpy(dtype=float)

    curves = {
        ("Shift", "pixels"): {"y": column("shift_y_px"), "x": column("shift_x_px")},
        ("Slow drift", "pixels"): {"y": column("drift_y_px"), "x": column("drift_x_px")},
        ("Rotation", "degrees"): {"rotation": column("rotation_deg")},
        ("Similarity to the slice before", "correlation"): {
            "before": column("similarity_before"),
            "after": column("similarity_after"),
        },
        ("Uncertainty of that pair", "pixels"): {"uncertainty": column("uncertainty_px")},
    }
    panels = [
        lines(z, found, "slice", unit, title, doubtful, "not trusted")
        for (title, unit), found in curves.items()
    ]
    return Picture(
        panels,
        "Shift and rotation of each slice, its slow drift estimated from its neighbours, and its similarity to the slice "
        "before with the uncertainty of that pair.",
    )
