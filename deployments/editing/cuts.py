"""Cuts of an object, by the functions with which corrections are applied to the labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.corrections import CutLine
from spherovem_core.corrections.line_cuts import split_along_line
from spherovem_core.corrections.splitting import split_at_seeds
from spherovem_core.errors import CorrectionError
from spherovem_core.spacing import SpacingNm, spacing_um


def cut_between(
    mask: NDArray[np.bool_], seeds: Sequence[Sequence[int]], spacing_nm: SpacingNm
) -> NDArray[np.uint8]:
    """Cut an object between seeds; the parts are numbered from 1 in their order.

    Raises
    ------
    CorrectionError
        If the seeds cannot be used.
    """
    places = [(int(z), int(y), int(x)) for z, y, x in seeds]
    if len(set(places)) < len(places):
        raise CorrectionError("two of the points lie in one voxel; set them farther apart")
    return np.asarray(split_at_seeds(mask, spacing_um(spacing_nm), places), np.uint8)


def cut_along(
    mask: NDArray[np.bool_], line: CutLine, origin_um: Sequence[float], spacing_nm: SpacingNm
) -> NDArray[np.uint8]:
    """Cut an object along a line.

    Raises
    ------
    CorrectionError
        If the line does not cut it.
    """
    corner_z, corner_y, corner_x = origin_um
    start, end = ((z - corner_z, y - corner_y, x - corner_x) for z, y, x in (line.start_um, line.end_um))
    parts = split_along_line(mask, spacing_um(spacing_nm), start, end)
    if parts is None or parts.max() < 2:
        raise CorrectionError("the line does not cross the object; draw it from one side to the other")
    return np.asarray(parts, np.uint8)
