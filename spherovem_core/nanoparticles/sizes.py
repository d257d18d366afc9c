"""Sizes that neither blur nor the thickness of slices changes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_response import BallResponse

_ROUNDS = 8
# An object whose measured contrast is this fraction of the true one shows its own contrast; below the first, only its
# population's does.
_OWN_CONTRAST = (0.6, 0.95)
# Objects with this fraction of their contrast show which population they are of: 0.95 are left of 240 nm in voxels of 120 x 40 x 40 nm.
_SURE = 0.9
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class Sizes:
    """True contrast and size of N objects.

    Attributes
    ----------
    contrast : (N,) ndarray
        Height of the inside above the surroundings, as it would be without blur, in grey values.
    volume_nm3, diameter_nm : (N,) ndarray
        Volume, and diameter of the ball of that volume.
    sure : (N,) ndarray of bool
        True for objects large enough to show their own contrast.
    """

    contrast: NDArray[np.float64]
    volume_nm3: NDArray[np.float64]
    sure: NDArray[np.bool_]

    @property
    def diameter_nm(self) -> NDArray[np.float64]:
        """Diameter of the ball of the same volume."""
        return _diameter(self.volume_nm3)


def _diameter(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cbrt(6 / np.pi * volume))


def measure_sizes(
    objects: pd.DataFrame, response: BallResponse, population: NDArray[np.int64] | None = None
) -> Sizes:
    """Measure volumes: the signal of an object over its contrast.

    Blur and thick slices spread the signal of an object, and keep its sum; they lower the contrast of a small one. Its
    contrast is therefore divided by what they leave of a ball of its size, and where little is left, the contrast of the larger
    particles of its population is taken instead.

    Parameters
    ----------
    objects
        One row per object with the columns of `PieceMeasures`.
    response
        Measures of balls at this blur and slice depth.
    population : (N,) ndarray, optional
        Population of each object; 0 for an object that stands for itself.
    """
    measured = np.maximum((objects.level - objects.surroundings).to_numpy(np.float64), 1e-3)
    signal = np.maximum(objects.signal.to_numpy(np.float64), 1e-3)
    contrast = measured.copy()
    for _ in range(_ROUNDS):
        left = response.contrast_of(_diameter(signal / contrast))
        contrast = measured / np.maximum(left, 0.1)
    if population is not None:
        contrast = _share_contrast(contrast, left, objects.surroundings.to_numpy(np.float64), population)
    return Sizes(contrast, signal / contrast, left > _SURE)


def _share_contrast(
    contrast: NDArray[np.float64],
    left: NDArray[np.float64],
    surroundings: NDArray[np.float64],
    population: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Pull the contrast of small objects to the level of their population."""
    out = contrast.copy()
    own = np.clip((left - _OWN_CONTRAST[0]) / (_OWN_CONTRAST[1] - _OWN_CONTRAST[0]), 0, 1)
    for number in np.unique(population[population > 0]):
        chosen = population == number
        sure = chosen & (left > _OWN_CONTRAST[1])
        basis = sure if sure.sum() >= _FEWEST else chosen
        level = float(np.median((surroundings + contrast)[basis]))
        shared = np.maximum(level - surroundings[chosen], 1e-3)
        out[chosen] = own[chosen] * contrast[chosen] + (1 - own[chosen]) * shared
    return out
