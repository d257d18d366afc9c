"""Filters of flows and probability, applied before masks are made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.curl import remove_curl

Sides = tuple[float, float, float]

GUIDE_CONTRAST = 0.1
"""Contrast of the guide, of a range of 1, below which the guided filter smooths over edges."""

CURL_MARGIN = 16
"""Voxels around a block for the projection on the curl-free part."""


CUBE = (1.0, 1.0, 1.0)
"""Sides of a voxel as multiples of the shortest."""


def filter_vectors(
    vectors: NDArray[np.floating[Any]], parameters: MaskParameters, sides: Sides = CUBE
) -> NDArray[np.float32]:
    """Project vectors (3, Z, Y, X) on their curl-free part and smooth them into a new array, as the parameters say.

    Widths are in voxels along the shortest of their sides, and as long along the others. Sections that are several times thicker
    than their pixels are hardly mixed. The projection takes voxels as cubes.
    """
    values = np.array(vectors, dtype=np.float32)
    if parameters.curl_free:
        values = remove_curl(values)
    if parameters.flow_smoothing:
        widths = [parameters.flow_smoothing / side for side in sides]
        for component in values:
            ndimage.gaussian_filter(component, widths, output=component, truncate=3.0)
    return values


def filter_probability(
    logit: NDArray[np.floating[Any]],
    parameters: MaskParameters,
    guide: NDArray[np.float32] | None = None,
    sides: Sides = CUBE,
) -> NDArray[np.float32]:
    """Filter a probability's logit as `probability_filter` says.

    Parameters
    ----------
    logit : (Z, Y, X) ndarray
        On the flow grid.
    parameters
        Type of filter and its radius in voxels of this grid, along the shortest side.
    guide : (Z, Y, X) ndarray of float32, optional
        Image with values from 0 to 1 whose edges the guided filter keeps; by default the probability itself.
    sides
        Sides of a voxel as multiples of the shortest.

    Returns
    -------
    (Z, Y, X) ndarray of float32
    """
    values = np.asarray(logit, dtype=np.float32)
    radii = [int(parameters.probability_filter_voxels / side) for side in sides]
    if parameters.probability_filter == "median":
        return np.asarray(ndimage.median_filter(values, size=[2 * radius + 1 for radius in radii]))
    if parameters.probability_filter == "guided":
        return guided_filter(values, expit(values) if guide is None else guide, radii, GUIDE_CONTRAST)
    return values


def filter_margin(parameters: MaskParameters) -> int:
    """Return the margin that the filters need around a block, in voxels of the flow grid.

    With it a block's result is that of the whole volume, except with `curl_free`, whose reach is unlimited but falls
    with the third power of the distance.
    """
    margin = int(np.ceil(3 * parameters.flow_smoothing)) + (CURL_MARGIN if parameters.curl_free else 0)
    radius = parameters.probability_filter_voxels
    return max(margin, {"none": 0, "median": radius, "guided": 2 * radius}[parameters.probability_filter])


def guided_filter(
    values: NDArray[np.float32], guide: NDArray[np.float32], radii: Sequence[int], contrast: float
) -> NDArray[np.float32]:
    """Smooth values where a guide is smooth and keep them apart where it has an edge.

    In each box of ``2 radius + 1`` voxels along each axis the values are fitted by a linear function of the guide; a voxel
    takes the mean of the fits of all boxes around it (He, Sun and Tang 2013, "Guided image filtering", IEEE TPAMI 35).

    Parameters
    ----------
    values, guide : (Z, Y, X) ndarray of float32
        Values to smooth, and the image whose edges are kept.
    radii
        Half the sides of the boxes in voxels.
    contrast
        Standard deviation of the guide in a box above which it counts as an edge.
    """
    sizes = [2 * radius + 1 for radius in radii]

    def mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(array, size=sizes, mode="nearest"))

    guide_mean, values_mean = mean(guide), mean(values)
    variance = mean(guide * guide) - guide_mean**2
    slope = (mean(guide * values) - guide_mean * values_mean) / (np.maximum(variance, 0) + contrast**2)
    offset = values_mean - slope * guide_mean
    return np.asarray(mean(slope) * guide + mean(offset), dtype=np.float32)
