"""The report's pictures of repairs: a slice before and after, and what was corrected over z and across the frame."""

from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.repairs import RepairedStack, Repairs, Shading
from spherovem_core.report.charts import WIDE, lines
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture
from spherovem_core.report.views import View, contrast_limits, cut
from spherovem_core.store.columns import filled_positions
from spherovem_core.store.layout import RAW

LONGEST = 700


def recorded_repairs(found: dict[str, Any]) -> Repairs:
    """Return the repairs that the record of a denoised stack holds; none where nothing was asked for."""
    return Repairs.model_validate(found.get("repairs", {}))


def repair_facts(repairs: Repairs) -> list[tuple[str, str]]:
    """State what each repair that was asked for found."""
    return [(f"Repair of the {name}", note) for name, note in repairs.notes.items()]


def denoised_source(inputs: ReportInputs, repairs: Repairs) -> Any:
    """Return the slices as denoising read them: raw, or repaired."""
    raw = inputs.open_level(RAW)
    return RepairedStack(raw, repairs, filled_positions(inputs.tables["slices"])) if repairs.changes else raw


def repair_pictures(inputs: ReportInputs, source: Any, repairs: Repairs, z_um: float) -> list[Picture]:
    """Show a slice before and after the repairs, the brightness of each slice, and the shading.

    Parameters
    ----------
    source
        The slices as `denoised_source` returns them.
    repairs
        Repairs of these slices.
    z_um
        Position of the slice.
    """
    if not repairs.changes:
        return []
    raw = inputs.open_level(RAW)
    before, after = (_smaller(cut(stored, 0, z_um)) for stored in (raw, source))
    difference = View(after.values - before.values, before.extent_um, before.plane, before.position_um)
    spread = float(3 * difference.values.std()) or 1.0
    limits = contrast_limits([before.values])
    pictures = [
        Picture(
            [
                plane(before, limits, title="as acquired"),
                plane(after, limits, title="repaired"),
                plane(difference, (-spread, spread), title="after minus before"),
            ],
            f"The slice at z = {before.position_um:.2f} µm before and after the repairs, and their difference, which should show "
            "no structure of the specimen. The raw image is kept as acquired.",
        )
    ]
    if repairs.contrast:
        pictures.append(_brightness(inputs.tables["slices"], repairs))
    if repairs.shading:
        field = Shading(repairs.shading).field((before.values.shape[0], before.values.shape[1]))
        shown = View(field, before.extent_um, before.plane, before.position_um)
        ends = (float(field.min()), float(field.max()))
        caption = f"Shading of the frame: from {ends[0]:.3f} (black) to {ends[1]:.3f} (white) of the mean brightness."
        pictures.append(Picture([plane(shown, ends, title="shading")], caption))
    return pictures


def _brightness(slices: pd.DataFrame, repairs: Repairs) -> Picture:
    z = slices["z"].to_numpy()
    before = slices["intensity_mean"].to_numpy(dtype=float)
    lines_of = [repairs.contrast.get(int(place), (1.0, 0.0)) for place in z]
    after = np.array([gain * value + offset for value, (gain, offset) in zip(before, lines_of, strict=True)])
    panel = lines(
        z,
        {"as acquired": before, "matched": after},
        "slice",
        "mean grey value",
        "Contrast from slice to slice",
        width=WIDE,
    )
    return Picture(
        [panel], "Mean grey value of each slice before and after it was matched to those around it."
    )


def _smaller(view: View) -> View:
    """Average square cells of a plane so that it fits into the report."""
    side = -(-max(view.values.shape) // LONGEST)
    rows, columns = (extent // side for extent in view.values.shape)
    cells = view.values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return View(cells.mean((1, 3), dtype=np.float32), view.extent_um, view.plane, view.position_um)
