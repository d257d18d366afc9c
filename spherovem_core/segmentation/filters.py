"""Filters of flows and probability, applied before masks are made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.curl import remove_curl

GUIDE_CONTRAST = 0.1
"""Contrast of the guide, of a range of 1, below which the guided filter smooths over edges."""

CURL_MARGIN = 16
"""Voxels around a block for the projection on the curl-free part."""


def filter_vectors(vectors: NDArray[np.floating[Any]], parameters: MaskParameters) -> NDArray[np.float32]:
    """Project vectors (3, Z, Y, X) on their curl-free part and smooth them into a new array, as the parameters say."""
    values = np.array(vectors, dtype=np.float32)
    if parameters.curl_free:
        values = remove_curl(values)
    if parameters.flow_smoothing:
        for component in values:
            ndimage.gaussian_filter(component, parameters.flow_smoothing, output=component, truncate=3.0)
    return values


def filter_probability(
    logit: NDArray[np.floating[Any]],
    parameters: MaskParameters,
    guide: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Filter a probability's logit as `probability_filter` says.

    Parameters
    ----------
    logit : (Z, Y, X) ndarray
        On the isotropic flow grid.
    parameters
        Type of filter and its radius in voxels of this grid.
    guide : (Z, Y, X) ndarray of float32, optional
        Image with values from 0 to 1 whose edges the guided filter keeps; by default the probability itself.

    Returns
    -------
    (Z, Y, X) ndarray of float32
    """
    values = np.asarray(logit, dtype=np.float32)
    radius = parameters.probability_filter_voxels
    if parameters.probability_filter == "median":
        return np.asarray(ndimage.median_filter(values, size=2 * radius + 1))
    if parameters.probability_filter == "guided":
        return guided_filter(values, expit(values) if guide is None else guide, radius, GUIDE_CONTRAST)
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
    values: NDArray[np.float32], guide: NDArray[np.float32], radius: int, contrast: float
) -> NDArray[np.float32]:
    """Smooth values where a guide is smooth and keep them apart where it has an edge.

    In each cube of ``2 radius + 1`` voxels the values are fitted by a linear function of the guide; a voxel takes the mean
    of the fits of all cubes around it (He, Sun and Tang 2013, "Guided image filtering", IEEE TPAMI 35).

    Parameters
    ----------
    values, guide : (Z, Y, X) ndarray of float32
        Values to smooth, and the image whose edges are kept.
    radius
        Half the side of the cubes in voxels.
    contrast
        Standard deviation of the guide in a cube above which it counts as an edge.
    """

    def mean(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(array, size=2 * radius + 1, mode="nearest"))

    guide_mean, values_mean = mean(guide), mean(values)
    variance = mean(guide * guide) - guide_mean**2
    slope = (mean(guide * values) - guide_mean * values_mean) / (np.maximum(variance, 0) + contrast**2)
    offset = values_mean - slope * guide_mean
    return np.asarray(mean(slope) * guide + mean(offset), dtype=np.float32)
