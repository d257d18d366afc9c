"""Detection limit: the smallest particle that an acquisition shows, and how those near it are selected."""

import numpy as np

from spherovem_core.nanoparticles.ball_response import BallResponse
from spherovem_core.nanoparticles.detection import Detection

_FOUND = 0.9
_HARDLY_ANY = 1e-3


def detection_limit(
    contrast: float, response: BallResponse, detection: Detection, pixel_nm: float
) -> float | None:
    """Compute the diameter in nm from which particles are found with a probability of 90 %.

    A ball of each size is rendered at several places of the grid, with the blur and the slice depth of the acquisition. It
    is found where its peak, with the noise of the smoothed image, is a candidate.

    Parameters
    ----------
    contrast
        Height of the particles above their surroundings, in grey values.
    response
        Peaks of balls.
    detection
        Candidate levels and noise.
    pixel_nm
        Pixel size.

    Returns
    -------
    float or None
        None if no particle of this contrast is found for certain.
    """
    from scipy.special import ndtr

    noise = max(detection.smooth_noise, 1e-3)
    least = detection.min_contrast_of(response.diameters_nm / pixel_nm)
    found = ndtr((contrast * response.peak - least[:, None]) / noise).mean(axis=1)
    found = np.maximum.accumulate(found)
    if found[-1] < _FOUND:
        return None
    return float(np.exp(np.interp(_FOUND, found, np.log(response.diameters_nm))))


def selection_bias(
    contrast: float, diameter_nm: float, response: BallResponse, detection: Detection, pixel_nm: float
) -> float:
    """Compute the mean peak of the balls that are found, relative to that of all balls.

    Parameters
    ----------
    contrast
        Height of the particles above their surroundings, in grey values.
    diameter_nm
        Their diameter.
    response, detection, pixel_nm
        As in `detection_limit`.
    """
    from scipy.special import ndtr

    at = np.clip(np.log(max(diameter_nm, 1.0)), *np.log(response.diameters_nm[[0, -1]]))
    peaks = np.array([np.interp(at, np.log(response.diameters_nm), column) for column in response.peak.T])
    least = float(detection.min_contrast_of(np.array([diameter_nm / pixel_nm]))[0])
    chance = ndtr((contrast * peaks - least) / max(detection.smooth_noise, 1e-3))
    if chance.sum() < _HARDLY_ANY:
        # Almost none is found: those with the highest peak.
        return float(peaks.max() / max(peaks.mean(), 1e-6))
    return float((chance @ peaks) / chance.sum() / max(peaks.mean(), 1e-6))
