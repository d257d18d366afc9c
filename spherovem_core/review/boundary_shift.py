"""Interval of the distance by which the surface of a segmented object lies outside of the true one."""

import math
from collections.abc import Sequence

import numpy as np

from spherovem_core.object_kinds import ObjectKind
from spherovem_core.review.boundary_shift_weights import HIGH, LOW, MOST_COARSE, WIDTHS
from spherovem_core.spacing import NM_PER_UM, SpacingNm

UNKNOWN = (float("nan"), float("nan"))


def boundary_unit_um(label_spacing_nm: Sequence[float], flow_spacing_nm: Sequence[float]) -> float:
    """Return the length in which shifts are stated: the coarser of the voxels of labels and flows, as the side of a cube."""
    sides = np.maximum(np.asarray(label_spacing_nm, float), np.asarray(flow_spacing_nm, float))
    return float(np.cbrt(sides.prod())) / NM_PER_UM


def coarseness(label_spacing_nm: Sequence[float], flow_spacing_nm: Sequence[float]) -> float:
    """Return by how much that length exceeds the voxel of the flows: 0 unless the image has thicker slices than they."""
    flow_um = float(np.cbrt(np.prod(flow_spacing_nm))) / NM_PER_UM
    return min(boundary_unit_um(label_spacing_nm, flow_spacing_nm) / flow_um - 1, MOST_COARSE)


def shift_interval_um(
    kind: ObjectKind, slope_per_um: float, label_spacing_nm: SpacingNm, flow_spacing_nm: SpacingNm
) -> tuple[float, float]:
    """Estimate how far the surface of an object lies outside of the true one, averaged over the surface.

    A network places a whole surface a little too far out or in. Over an object this does not average out, and outweighs the
    rounding to voxels. The wider the probability falls off, the farther it can be off. Both ends of the interval are linear in
    the width over which the logit falls by one, in units of `boundary_unit_um`, and in `coarseness`. They are quantile
    regressions (Koenker and Bassett, *Econometrica* 46, 33-50, 1978) over the objects of segmented phantoms that were right
    (``benchmarks/intervals.py --parts objects --fit``). The interval always holds 0, so that a measured value is in its own
    interval.

    Parameters
    ----------
    kind
        ``cells`` or ``nuclei``.
    slope_per_um
        Mean slope of the logit at the surface.
    label_spacing_nm, flow_spacing_nm
        Voxel sizes of labels and flows.

    Returns
    -------
    low, high : float
        Ends of the 95 % interval in µm, positive outwards; NaN where the slope is unknown.
    """
    if not math.isfinite(slope_per_um) or slope_per_um <= 0:
        return UNKNOWN
    unit = boundary_unit_um(label_spacing_nm, flow_spacing_nm)
    width = float(np.clip(1 / (slope_per_um * unit), *WIDTHS[kind]))
    coarse = coarseness(label_spacing_nm, flow_spacing_nm)
    low, high = (a + b * width + c * coarse for a, b, c in (LOW[kind], HIGH[kind]))
    return unit * min(low, 0.0), unit * max(high, 0.0)
