"""Part of the registration chapter on local fields: their size by slice, the largest one, fields that are not plausible."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration.elastic_fields import ElasticFields
from spherovem_core.registration.elastic_solution import MIN_SLICES
from spherovem_core.registration.report_lists import numbers
from spherovem_core.report.charts import lines
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture
from spherovem_core.report.views import View
from spherovem_core.store.layout import REGISTERED

IMPLAUSIBLE_PX = 20.0
"""Local displacement that the search from coarse to fine is not made for."""


def elastic_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    """State how many slices have a local field and how large it is."""
    if inputs.parameters.registration.refinement == "none":
        return []
    size = _column(inputs.tables["slices"], "elastic_rms_px")
    moved = size > 0.0
    if _too_few(inputs.tables["slices"]):
        return [("Local fields", f"none: they take {MIN_SLICES} good slices")]
    if not moved.any():
        return [("Local fields", "none: no slice jitters locally beyond its uncertainty")]
    largest = _column(inputs.tables["slices"], "elastic_max_px").max()
    return [
        ("Slices with a local field", f"{int(moved.sum())} of {len(size)}"),
        ("Local displacement", f"{np.median(size[moved]):.2f} px rms (median), {largest:.1f} px at most"),
    ]


def elastic_warnings(inputs: ReportInputs) -> list[str]:
    """Name slices whose field is not plausible, and say why there are no fields or wrong ones."""
    slices = inputs.tables["slices"]
    if inputs.parameters.registration.refinement == "none":
        return []
    folded = _column(slices, "elastic_limited") > 0.0
    large = _column(slices, "elastic_max_px") > IMPLAUSIBLE_PX
    found = []
    if _too_few(slices):
        found.append(
            f"no elastic refinement: it takes {MIN_SLICES} good slices to tell jitter from tissue, and there are fewer"
        )
    if _column(slices, "fixed_pattern_grey").any() and _column(slices, "elastic_max_px").any():
        found.append(
            "local fields were measured with the pattern in the image that stays in the frame, and may follow it"
        )
    if folded.any():
        found.append(
            f"local fields would have folded the slices and were scaled down: {numbers(slices, folded)}"
        )
    if large.any():
        found.append(f"local fields of more than {IMPLAUSIBLE_PX:.0f} px: slices {numbers(slices, large)}")
    return found


def elastic_pictures(inputs: ReportInputs) -> list[Picture]:
    """Show the size of the fields by slice, and the largest of them."""
    slices = inputs.tables["slices"]
    if inputs.parameters.registration.refinement == "none":
        return []
    size, largest = _column(slices, "elastic_rms_px"), _column(slices, "elastic_max_px")
    z = slices["z"].to_numpy()
    curves = {"rms": size, "largest": largest}
    panels = [lines(z, curves, "slice", "pixels", "Local field")]
    if not size.any() or not inputs.layout.elastic_fields.is_file():
        return [
            Picture(
                panels,
                "Local displacement of each slice on top of its map, root mean square and largest. "
                "The misfit above is that without it.",
            )
        ]
    fields = ElasticFields.load(inputs.layout.elastic_fields)
    worst = int(np.argmax(size))
    panels.append(
        plane(_length(inputs, fields, worst), (0.0, float(largest[worst])), title=f"slice {z[worst]}")
    )
    return [
        Picture(
            panels,
            f"Local displacement of each slice on top of its map, root mean square and largest, and its length "
            f"over the slice where it is largest; the misfit above is that without it. White is "
            f"{largest[worst]:.1f} px.",
        )
    ]


def _too_few(slices: pd.DataFrame) -> bool:
    """Tell whether so few slices took part that `solve_fields` looks for no fields."""
    return int(slices["used"].fillna(True).astype(bool).sum()) < MIN_SLICES


def _length(inputs: ReportInputs, fields: ElasticFields, z: int) -> View:
    """Show the length of a field in the frame of the registered image."""
    registered = inputs.open_level(REGISTERED)
    top, left, bottom, right = registered.details["crop"]
    dz, dy, dx = (step / 1000 for step in registered.spacing_nm)
    step = max(1, max(bottom - top, right - left) // 200)
    down, along = fields.mesh.interpolation(
        np.arange(top, bottom, step, dtype=float), np.arange(left, right, step, dtype=float)
    )
    field = [down @ fields.nodes[z, :, :, axis].astype(float) @ along.T for axis in range(2)]
    extent = (0.0, (right - left) * dx, (bottom - top) * dy, 0.0)
    place = RegisteredSlices.of(registered.details, registered.shape[0]).places[z]
    return View(np.hypot(*field), extent, "xy", float(place) * dz)


def _column(slices: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a column as numbers, 0 where it is unknown."""
    return np.asarray(np.nan_to_num(slices[name].to_numpy(dtype=float, na_value=0.0)))
