"""Extension of a label beyond the volume's border that cuts it, by extrapolation of its outline.

Smoothing needs values beyond the border. A mirror image would make every surface meet the border at a right angle, and would
bend those that do not: up to 4 % of a cut cell's area. Here the signed distance to the label's outline is extrapolated from the
plane at the border and one further in, as in shape-based interpolation (Herman, Zheng and Bucholtz, IEEE Computer Graphics and
Applications 1992).
"""

import edt
import numpy as np
from numpy.typing import NDArray

from spherovem_core.shape.label_grid import LabelBox, LabelGrid

# Distance in planes of the two outlines: over fewer planes, a step of a whole cell becomes a steep slope.
BASE = 4


def extend_beyond_border(occupancy: NDArray[np.float32], box: LabelBox, grid: LabelGrid) -> None:
    """Fill the part of a label's grid that lies beyond the volume, in place; runs on the CPU.

    Parameters
    ----------
    occupancy : (Z, Y, X) ndarray of float32
        Fraction of each cell that the label fills; cells beyond the volume are written.
    box, grid
        The label's bounding box and its grid.
    """
    for axis in range(3):
        planes = np.moveaxis(occupancy, axis, 0)
        sides = tuple(side for a, side in enumerate(grid.spacing_nm) if a != axis)
        first, stop = grid.span(box, axis)
        if box.cut_low[axis]:
            _continue_outline(planes[::-1], len(planes) - first, sides)
        if box.cut_high[axis]:
            _continue_outline(planes, stop, sides)


def _continue_outline(planes: NDArray[np.float32], stop: int, sides: tuple[float, ...]) -> None:
    """Write the planes from `stop` on, extrapolated from those before."""
    base = min(BASE, stop - 1)
    last, earlier = planes[stop - 1] > 0.5, planes[stop - 1 - base] > 0.5
    if base < 1 or not earlier.any() or not last.any() or last.all() or earlier.all():
        planes[stop:] = planes[stop - 1]
        return
    at_border = _outline_distance(last, sides)
    slope = (at_border - _outline_distance(earlier, sides)) / base
    for k in range(1, len(planes) - stop + 1):
        fraction = 0.5 - (at_border + k * slope) / min(sides)
        planes[stop - 1 + k] = np.clip(fraction, 0, 1)


def _outline_distance(inside: NDArray[np.bool_], sides: tuple[float, ...]) -> NDArray[np.float32]:
    """Measure the signed distance to an outline in a plane: negative inside, 0 half-way between two cells."""
    outward = edt.edt(~inside, anisotropy=sides)
    inward = edt.edt(inside, anisotropy=sides)
    half = min(sides) / 2
    distance: NDArray[np.float32] = np.where(inside, half - inward, outward - half)
    return distance
