"""Columns of the slice table on the thickness of the slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.thickness import MIN_SLICES, estimate_thickness
from spherovem_core.registration.thickness_links import DepthLinks
from spherovem_core.registration.thickness_scale import estimate_mean_thickness


def thickness_columns(
    depth: Mapping[int, Mapping[str, Any]], good: Sequence[int], count: int
) -> dict[str, NDArray[np.float64]]:
    """Estimate the thickness of the slices from the similarities as placed.

    ``thickness_relative`` is the distance of a slice from the good slice before it, for one slice of the acquisition and
    relative to its slow trend, with ``thickness_uncertainty`` its standard deviation. ``thickness_mean_y_px`` and
    ``thickness_mean_x_px`` are the mean distance if the tissue is isotropic, in pixels along y and along x, equal in all
    rows, and ``thickness_mean_disagreement`` the largest relative difference between the estimates. NaN where unknown.

    Parameters
    ----------
    depth
        Records of `measure_depth` by slice.
    good
        Good slices in rising order.
    count
        Number of slices of the stack.
    """
    relative, uncertainty = np.full(count, np.nan), np.full(count, np.nan)
    mean = np.full(3, np.nan)
    if len(good) >= MIN_SLICES:
        records = [depth[z] for z in good]
        links = DepthLinks.of(records)
        found = estimate_thickness(links, np.diff(good).tolist())
        relative[list(good[1:])], uncertainty[list(good[1:])] = found.relative, found.uncertainty
        scale = estimate_mean_thickness(records, links)
        mean[:] = scale.y_px, scale.x_px, scale.disagreement
    return {
        "thickness_relative": relative,
        "thickness_uncertainty": uncertainty,
        "thickness_mean_y_px": np.full(count, mean[0]),
        "thickness_mean_x_px": np.full(count, mean[1]),
        "thickness_mean_disagreement": np.full(count, mean[2]),
    }
