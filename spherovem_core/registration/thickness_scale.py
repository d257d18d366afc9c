"""Mean thickness of the slices in pixels, from similarity in the plane against along z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.depth_similarity import LAGS_PX
from spherovem_core.registration.thickness_links import DepthLinks

Array = NDArray[np.float64]

MIN_LINKS = 8


@dataclass(frozen=True)
class MeanThickness:
    """Mean distance of neighbouring slices by the isotropy of the tissue.

    Attributes
    ----------
    y_px, x_px
        In pixels along y and along x; NaN if it cannot be found.
    disagreement
        Largest ratio, less 1, between the estimates from two and from three steps and along both axes in pixels.
    """

    y_px: float
    x_px: float
    disagreement: float


def estimate_mean_thickness(records: Sequence[Mapping[str, Any]], links: DepthLinks) -> MeanThickness:
    """Estimate the mean distance of neighbouring slices, in pixels.

    Two neighbouring slices, one of them shifted by ``s`` in the plane, are as similar as slices over ``k`` steps where
    ``s**2 + d**2 == (k * d)**2``, if the tissue changes alike in all directions (as Sporring et al. 2014 compare similarity in
    the plane with that along z). Only different slices are compared, so that noise lowers all similarities by the same factor.

    Parameters
    ----------
    records
        Records of `measure_depth` of all good slices, with the ``factor`` of their level.
    links : DepthLinks
        The same as links.
    """
    steps = links.second - links.first
    along_z = [
        float(np.median(links.similarity[steps == k])) for k in (2, 3) if (steps == k).sum() >= MIN_LINKS
    ]
    single = float(np.median(links.similarity[steps == 1])) if (steps == 1).sum() >= MIN_LINKS else np.nan
    found = []
    for axis in "yx":
        lags = np.array(
            [r[f"lags_{axis}"] for r in records if r[f"lags_{axis}"] is not None], dtype=np.float64
        )
        if len(lags) < MIN_LINKS or not along_z:
            found.append([np.nan])
            continue
        curve = np.concatenate([[single], np.nanmedian(lags[:, ~np.isnan(lags).any(0)], axis=0)])
        shifts = np.array([0, *LAGS_PX][: len(curve)], dtype=np.float64) * float(records[0]["factor"])
        found.append(
            [_shift_of(target, curve, shifts) / (k**2 - 1) ** 0.5 for k, target in enumerate(along_z, 2)]
        )
    means = [float(np.mean(values)) for values in found]
    every = np.concatenate([np.asarray(values) for values in found])
    return MeanThickness(means[0], means[1], float(every.max() / every.min() - 1.0))


def _shift_of(similarity: float, curve: Array, shifts: Array) -> float:
    """Interpolate the shift in the plane at which the similarity falls to a value; NaN if it does not."""
    falling = np.minimum.accumulate(curve)
    if similarity >= falling[0] or similarity <= falling[-1]:
        return np.nan
    after = int(np.argmax(falling < similarity))
    a, b = falling[after - 1], falling[after]
    # Similarity falls with the square of a small shift.
    square = shifts[after - 1] ** 2 + (a - similarity) / (a - b) * (
        shifts[after] ** 2 - shifts[after - 1] ** 2
    )
    return float(np.sqrt(square))
