"""Masks of operations on the grid of the labels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Region
from spherovem_core.corrections import MaskCodes
from spherovem_core.spacing import NM_PER_UM, SpacingNm


def codes_on_grid(
    mask: MaskCodes, shape: Sequence[int], spacing_nm: SpacingNm, origin_nm: SpacingNm
) -> tuple[Region, NDArray[np.uint8]]:
    """Give each voxel of the labels the code of the mask's nearest voxel.

    Returns
    -------
    region
        Box of the labels that the mask covers; empty where it lies outside.
    codes : ndarray of uint8
        Codes in that box.
    """
    region, places = [], []
    for axis in range(3):
        side, own_origin = mask.spacing_nm[axis], mask.origin_um[axis] * NM_PER_UM
        first = (own_origin - side / 2 - origin_nm[axis]) / spacing_nm[axis]
        last = first + mask.shape[axis] * side / spacing_nm[axis]
        low = min(shape[axis], max(0, math.floor(first)))
        indices = np.arange(low, max(low, min(shape[axis], math.ceil(last) + 1)))
        nearest = np.floor((indices * spacing_nm[axis] + origin_nm[axis] - own_origin) / side + 0.5).astype(
            np.intp
        )
        inside = (nearest >= 0) & (nearest < mask.shape[axis])
        kept = indices[inside]
        region.append(slice(int(kept[0]), int(kept[-1]) + 1) if len(kept) else slice(0, 0))
        places.append(nearest[inside])
    return tuple(region), np.ascontiguousarray(mask.unpack()[np.ix_(*places)])
