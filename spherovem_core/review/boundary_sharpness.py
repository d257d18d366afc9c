"""Slope of the logit of the probability at the surface of an object."""

import numpy as np
from scipy import ndimage

from spherovem_core.review.object_view import ObjectView


def boundary_slope(view: ObjectView) -> float:
    """Average the slope of the logit over the outermost voxels of an object.

    Along each axis it is the difference of the two voxels beside, so that a boundary that is sharper than two voxels of the view
    has the slope that two voxels show.

    Parameters
    ----------
    view
        The object and its surroundings.

    Returns
    -------
    float
        Logits per µm; NaN without flows, or where the object fills its view.
    """
    if view.logit is None:
        return float("nan")
    inner = ndimage.binary_erosion(view.mask, border_value=1)
    rim = view.mask & ~inner
    if not rim.any() or min(view.mask.shape) < 2:
        return float("nan")
    parts = np.array(np.gradient(view.logit, *view.spacing_um.tolist()))
    return float(np.sqrt((parts[:, rim] ** 2).sum(axis=0)).mean())
