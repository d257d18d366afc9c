"""Part of the report chapter on registration about the slices as placed: misfit and lean."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registration.report_lists import listed, numbers
from spherovem_core.report.charts import lines
from spherovem_core.report.page import Picture

LARGE_DEVIATION_PX = 1.0
LEAN_CHANGE_PX = 1.0


def placement_facts(slices: pd.DataFrame) -> list[tuple[str, str]]:
    """State the misfit of neighbours as placed and the lean that is left in the image."""
    deviation = slices["misfit_deviation_px"]
    if deviation.isna().all():
        return [("Misfit of neighbours as placed", "not known")]
    leans = [slices[f"lean_{axis}_px"] for axis in "yx"]
    ranges = [
        f"{axis} {lean.min():+.2f} to {lean.max():+.2f}" for axis, lean in zip("yx", leans, strict=True)
    ]
    return [
        (
            "Misfit of neighbours as placed, without the lean",
            f"{deviation.median():.2f} px (median), {deviation.max():.2f} px (largest, slice {_worst(slices)})",
        ),
        ("Lean left in the image", f"{', '.join(ranges)} px a slice"),
    ]


def placement_warnings(slices: pd.DataFrame) -> list[str]:
    """Name the slices that do not fit those before them, and a lean that changes."""
    deviation, uncertainty = slices["misfit_deviation_px"], slices["misfit_uncertainty_px"]
    large = deviation > np.maximum(LARGE_DEVIATION_PX, 2.0 * uncertainty)
    found = []
    if large.any():
        named = [f"{z} ({px:.1f} px)" for z, px in zip(slices.loc[large, "z"], deviation[large], strict=True)]
        found.append(f"slices that do not fit the ones before them as placed: {listed(named)}")
    lost = (
        slices["used"].fillna(True).astype(bool)
        & slices["misfit_steps"].isna()
        & (slices["z"] > _first(slices))
    )
    if lost.any() and not slices["misfit_steps"].isna().all():
        found.append(f"slices whose fit as placed could not be measured: {numbers(slices, lost)}")
    change = max(float(slices[f"lean_{axis}_px"].max() - slices[f"lean_{axis}_px"].min()) for axis in "yx")
    if change > LEAN_CHANGE_PX:
        low, high = _steepest(slices)
        found.append(
            f"the lean of the image changes by {change:.1f} px a slice between slices {low} and {high}: bent tissue, or a drift "
            "or jump of the microscope that was left"
        )
    return found


def placement_picture(slices: pd.DataFrame) -> Picture:
    """Draw the misfit as placed over the slices."""

    def column(name: str) -> NDArray[np.float64]:
        return slices[name].to_numpy(dtype=float)

    z = slices["z"].to_numpy()
    panels = [
        lines(
            z,
            {"y": column("misfit_y_px"), "x": column("misfit_x_px")},
            "slice",
            "pixels",
            "Misfit to the slice before, as placed",
        ),
        lines(
            z, {"y": column("lean_y_px"), "x": column("lean_x_px")}, "slice", "pixels a slice", "Lean left"
        ),
        lines(
            z,
            {"deviation": column("misfit_deviation_px"), "uncertainty": column("misfit_uncertainty_px")},
            "slice",
            "pixels",
            "Misfit without the lean",
            level=LARGE_DEVIATION_PX,
        ),
    ]
    return Picture(
        panels,
        "Fit of the slices as placed, measured again on the images. A constant misfit is a lean of the tissue, or a steady drift "
        "that was left; a slice that deviates from it is misplaced.",
    )


def _worst(slices: pd.DataFrame) -> int:
    return int(slices["z"].to_numpy()[np.nanargmax(slices["misfit_deviation_px"].to_numpy(dtype=float))])


def _first(slices: pd.DataFrame) -> int:
    """Return the first slice that took part; it has none before it."""
    used = slices["used"].fillna(True).astype(bool)
    return int(slices.loc[used, "z"].min()) if used.any() else 0


def _steepest(slices: pd.DataFrame) -> list[int]:
    """Return the slices with the least and the greatest lean, in rising order."""
    axis = max("yx", key=lambda a: slices[f"lean_{a}_px"].max() - slices[f"lean_{a}_px"].min())
    lean = slices[f"lean_{axis}_px"].to_numpy(dtype=float)
    z = slices["z"].to_numpy()
    return sorted((int(z[np.nanargmin(lean)]), int(z[np.nanargmax(lean)])))
