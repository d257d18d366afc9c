"""Report chapter on registration: xz and yz views before and after, motion and similarity over z, crop."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration.elastic_chapter import elastic_facts, elastic_pictures, elastic_warnings
from spherovem_core.registration.jump_report import SIZES, jump_texts, scale_text
from spherovem_core.registration.placement_chapter import (
    placement_facts,
    placement_picture,
    placement_warnings,
)
from spherovem_core.registration.places_chapter import (
    is_resampled,
    places_facts,
    places_pictures,
    places_warnings,
)
from spherovem_core.registration.report_lists import listed, numbers
from spherovem_core.registration.thickness_chapter import (
    thickness_facts,
    thickness_picture,
    thickness_warnings,
)
from spherovem_core.report.charts import lines
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.kept import if_kept
from spherovem_core.report.page import Panel, Picture, Section
from spherovem_core.report.views import View, contrast_limits, cut, fitting_level, window_around
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store import StoredArray
from spherovem_core.store.columns import REGISTRATION
from spherovem_core.store.layout import DENOISED, REGISTERED

DETAIL_PX = 240
VIEW_WIDTH = 5.3
MOST_FIXED = 0.1
AROUND_SLICES = 5
INTERVAL = 1.96
MOST_LEAN_ERROR_PX = 0.05


def registration_section(inputs: ReportInputs) -> Section:
    """Show whether consecutive slices line up."""
    registered = inputs.open_level(REGISTERED)
    if _is_given(inputs):
        facts = [
            ("Method", "none: the slices were given as aligned already"),
            ("Field of view", "as given, nothing is cut off"),
        ]
        return Section("registration", "Registration", facts)
    slices = _slices(inputs)
    top, left, bottom, right = registered.details["crop"]
    _, height, width = inputs.open_level(DENOISED).shape
    kept = (bottom - top) * (right - left) / (height * width)
    facts = [
        ("Motion model", inputs.parameters.registration.model),
        ("Common field of view", f"rows {top} to {bottom}, columns {left} to {right}"),
        ("Fraction of the field of view kept", f"{100 * kept:.1f} %"),
        ("Slices left out as bad", numbers(slices, ~_flags(slices, "used"))),
        ("Slices held only by longer links", numbers(slices, _flags(slices, "bridged"))),
    ]
    if _is_older(inputs):
        pictures = [*_before_and_after(inputs), _motion(slices), *_field_of_view(inputs)]
        return Section("registration", "Registration", facts, pictures, (), registration_warnings(inputs))
    facts += [
        ("Similarity of neighbours", _similarity(slices)),
        ("Pattern fixed to the frame", _pattern(slices)),
        ("Area without weight", _area_without_weight(slices)),
        *([("Geometry of the region", _geometry(inputs))] if _geometry(inputs) else []),
        *placement_facts(slices),
        *thickness_facts(slices, registered.spacing_nm),
        *places_facts(inputs),
        ("Jumps corrected", listed(jump_texts(slices))),
        ("Slices of another magnification", scale_text(slices) or "none"),
        *elastic_facts(inputs),
    ]
    pictures = [
        *_before_and_after(inputs),
        _motion(slices),
        placement_picture(slices),
        thickness_picture(slices),
        *places_pictures(inputs),
        *elastic_pictures(inputs),
        *_field_of_view(inputs),
    ]
    return Section("registration", "Registration", facts, pictures, (), registration_warnings(inputs))


def look_at_unregistered(inputs: ReportInputs) -> None:
    """Read what the section shows of the image before registration."""
    if not _is_given(inputs):
        _views(inputs)
        _details(inputs)
        _frame(inputs)


def registration_warnings(inputs: ReportInputs) -> list[str]:
    """Name slices whose position is uncertain or does not fit or that are fixed to the frame, jumps, and uneven thickness."""
    if _is_given(inputs):
        return []
    slices = _slices(inputs)
    doubtful = _flags(slices, "used") & ~_flags(slices, "trusted")
    warnings = []
    if doubtful.any():
        warnings.append(f"slices not aligned with confidence to the one before: {numbers(slices, doubtful)}")
    if _is_older(inputs):
        return [
            "an older version registered the slices and knew neither jumps nor misfit as placed nor thickness: "
            "run the acquisition again",
            *warnings,
        ]
    covered = _stays_covered(slices["fixed_fraction"])
    if covered.any():
        warnings.append(
            f"more than {MOST_FIXED:.0%} of the image stays in the frame while the specimen moves "
            f"(a databar, dust, a detector pattern), in slices: {numbers(slices, covered)}"
        )
    grey = float(slices["fixed_pattern_grey"].max())
    if grey > 0.0:
        warnings.append(
            f"all slices share a pattern of {grey:.1f} grey values (standard deviation) that stays in the frame, such as that "
            "of a detector; it has no part in the alignment, but is still in the image"
        )
    if _geometry(inputs).startswith("its own"):
        warnings.append(f"the region has a geometry of {_geometry(inputs)}")
    if jumps := jump_texts(slices):
        warnings.append(
            f"the stage or the magnification jumped and was corrected from these slices on: {listed(jumps)}"
        )
    error = inputs.open_level(REGISTERED).details.get("lean_error_px")
    if error is not None and INTERVAL * error > MOST_LEAN_ERROR_PX:
        warnings.append(
            f"the stack is too short to tell its lean from jitter: what stands out is kept as acquired, "
            f"to within {INTERVAL * error:.2f} px per slice"
        )
    if scales := scale_text(slices):
        warnings.append(f"brought to one scale: slices {scales}")
    spacing = inputs.open_level(REGISTERED).spacing_nm
    return [
        *warnings,
        *placement_warnings(slices),
        *thickness_warnings(slices, spacing, resampled=is_resampled(inputs)),
        *places_warnings(inputs),
        *elastic_warnings(inputs),
    ]


def _is_given(inputs: ReportInputs) -> bool:
    """Return whether the slices were aligned before, and not by this program."""
    return inputs.parameters.registration.model == "none"


def _is_older(inputs: ReportInputs) -> bool:
    """Return whether a version registered the slices that stated the pairs, but not the slices as placed."""
    return "pair_similarity" not in inputs.tables["slices"]


def _slices(inputs: ReportInputs) -> pd.DataFrame:
    """Return the table of slices; columns that an older version did not write are unknown."""
    slices = inputs.tables["slices"]
    if _is_older(inputs):
        slices = slices.rename(columns={"similarity_after": "pair_similarity"})
        absent = [column.name for column in REGISTRATION if column.name not in slices]
        slices = slices.assign(**dict.fromkeys(absent, np.nan))
    return slices


def _geometry(inputs: ReportInputs) -> str:
    """Say whose geometry a region has; empty for a full acquisition."""
    geometry: str = inputs.open_level(REGISTERED).details.get("geometry", "")
    return f"that of the {geometry}" if geometry and not geometry.startswith("its own") else geometry


def _similarity(slices: pd.DataFrame) -> str:
    before, after = (slices[f"similarity_{when}"].median() for when in ("before", "after"))
    return "not known" if pd.isna(after) else f"{before:.3f} before, {after:.3f} as placed (median)"


def _pattern(slices: pd.DataFrame) -> str:
    """State the pattern that was subtracted from all slices for the estimate of their motion."""
    grey = float(slices["fixed_pattern_grey"].max())
    if not grey > 0.0:
        return "none found, or too little motion to find one"
    return f"standard deviation {grey:.1f} grey values; left out of the estimate, not removed from the image"


def _stays_covered(fraction: "pd.Series[float]") -> "pd.Series[bool]":
    """Tell the slices a large part of which stays in the frame, like that of most slices beside them.

    What is fixed to the frame is so in many slices. In a single pair, tissue that is locally distorted or changed can seem to
    stay: by 13 to 17 % in stacks bent by 3 px, where the median of five slices was 8 % at most; with a databar of 8 to 15 %
    of the rows it was 12 to 23 %.
    """
    usual = fraction.rolling(AROUND_SLICES, center=True, min_periods=1).median()
    return (fraction > MOST_FIXED) & (usual > MOST_FIXED)


def _area_without_weight(slices: pd.DataFrame) -> str:
    """State how much of the slices stays in the frame, and how much shows nothing to align."""
    fixed, empty = (float(slices[f"{name}_fraction"].median()) for name in ("fixed", "featureless"))
    if np.isnan(fixed):
        return "not known"
    return f"{fixed:.1%} fixed to the frame, {empty:.1%} without features in common with the slice before (median)"


def _flags(slices: pd.DataFrame, name: str) -> "pd.Series[bool]":
    """Return a column of verdicts; slices without registration count as good."""
    found: pd.Series[bool] = slices[name].fillna(name != "bridged").astype(bool)
    return found


def _before_and_after(inputs: ReportInputs) -> list[Picture]:
    return if_kept(lambda: [_views(inputs), *_details(inputs)], "Planes before and after registration")


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
    if 0 in window:
        moved[0] = _as_acquired(after, bounds[0])
    views = [cut(before, axis, position + crop_um[axis], moved), cut(after, axis, position, bounds)]
    limits = contrast_limits([view.values for view in views])
    return [
        plane(_at(view, shift), limits, title=f"{view.plane}, {when}", width=VIEW_WIDTH, sharp=True)
        for view, when, shift in zip(
            views, ("before", "after"), (_in_plane(crop_um, axis), (0.0, 0.0)), strict=True
        )
    ]


def _as_acquired(registered: StoredArray, bounds_um: tuple[float, float]) -> tuple[float, float]:
    """Find the positions along z, as acquired, of positions in the registered image."""
    step = registered.spacing_nm[0] / NM_PER_UM
    slices = RegisteredSlices.of(registered.details, registered.shape[0])
    low, high = slices.in_acquisition(np.array(bounds_um) / step) * step
    return float(low), float(high)


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


def _field_of_view(inputs: ReportInputs) -> list[Picture]:
    return if_kept(lambda: [_frame(inputs)], "The field of view common to all slices")


def _frame(inputs: ReportInputs) -> Picture:
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
            "pair": column("pair_similarity"),
            "as placed": column("similarity_after"),
        },
        ("Uncertainty of that pair", "pixels"): {"uncertainty": column("uncertainty_px")},
    }
    jumps = slices.loc[(slices[list(SIZES)].fillna(0.0) != 0.0).any(axis=1), "z"].tolist()
    panels = []
    for (title, unit), found in curves.items():
        marked = (jumps, "jump") if title == "Shift" else (doubtful, "not trusted")
        panels.append(lines(z, found, "slice", unit, title, *marked))
    return Picture(
        panels,
        "Shift and rotation of each slice, its slow drift estimated from its neighbours, and its similarity to the slice "
        "before with the uncertainty of that pair.",
    )
