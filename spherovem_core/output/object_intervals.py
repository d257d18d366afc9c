"""Intervals of volume, diameter and area of cells and nuclei, from the interval of the shift of their surface."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.object_kinds import ObjectKind
from spherovem_core.output.column_order import before_marks

Floats = NDArray[np.float64]

SHIFT_COLUMNS = ("boundary_shift_low_um", "boundary_shift_high_um")

AREA_ERROR: Mapping[ObjectKind, tuple[float, float]] = {"cells": (-0.114, 0.058), "nuclei": (-0.048, 0.054)}
"""Ends of the relative error of an area that a shift of the whole surface does not explain: its form is wrong in places."""


def with_object_intervals(objects: pd.DataFrame, confidence: pd.DataFrame, kind: ObjectKind) -> pd.DataFrame:
    """Add the 95 % intervals of the size of each cell or nucleus.

    A surface of area A that lies s too far out adds A s to the volume, and 2 H A s to the area, with the mean curvature H
    averaged over it (Steiner's formula). The intervals account for voxels and for the place of the boundary, for an object
    that is right; how probably it is right is its ``confidence``. They are not wider for objects that the border cuts: they
    concern the part in the field.

    Parameters
    ----------
    objects
        Final table with ``label``, ``volume_um3``, ``surface_area_um2`` and ``mean_curvature_mean_per_um``.
    confidence
        Table with ``label`` and `SHIFT_COLUMNS`; without them, as of older results, all intervals are NaN.
    kind
        ``cells`` or ``nuclei``.

    Returns
    -------
    DataFrame
        `objects` with `SHIFT_COLUMNS`, ``volume_low_um3``, ``volume_high_um3``, ``equivalent_diameter_low_um``,
        ``equivalent_diameter_high_um``, ``surface_area_low_um2`` and ``surface_area_high_um2``. NaN where ``confidence_note``
        or ``shape_note`` says why.
    """
    low, high = (_shift(objects, confidence, name) for name in SHIFT_COLUMNS)
    volume, area, curvature = (
        objects[name].to_numpy(np.float64)
        for name in ("volume_um3", "surface_area_um2", "mean_curvature_mean_per_um")
    )
    volumes = np.maximum(volume - area * high, 0.0), volume - area * low
    areas = area_interval(area, curvature, low, high, AREA_ERROR[kind])
    columns = {SHIFT_COLUMNS[0]: low, SHIFT_COLUMNS[1]: high}
    for end, own, surface in zip(("low", "high"), volumes, areas, strict=True):
        columns |= {
            f"volume_{end}_um3": own,
            f"equivalent_diameter_{end}_um": np.cbrt(6 / np.pi * own),
            f"surface_area_{end}_um2": surface,
        }
    return before_marks(objects, columns)


def area_interval(
    area: Floats, curvature: Floats, low: Floats, high: Floats, error: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Combine the error of the area by a shift of the surface with that of its form, as independent ones."""
    ends = -2 * curvature * low, -2 * curvature * high
    by_shift = np.minimum(*ends), np.maximum(*ends)
    below = np.hypot(np.minimum(by_shift[0], 0), error[0])
    above = np.hypot(np.maximum(by_shift[1], 0), error[1])
    return area * np.maximum(1 - below, 0.0), area * (1 + above)


def _shift(objects: pd.DataFrame, confidence: pd.DataFrame, name: str) -> Floats:
    if name not in confidence:
        return np.full(len(objects), np.nan)
    found = confidence.set_index("label")[name].reindex(objects["label"])
    return np.asarray(found.to_numpy(np.float64))
