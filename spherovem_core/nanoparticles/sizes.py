"""Sizes that neither blur nor the thickness of slices changes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.nanoparticles.ball_response import BallResponse
from spherovem_core.nanoparticles.piece_measures import contrast_of
from spherovem_core.spacing import SpacingNm, pixel_nm

_ROUNDS = 8
# An object whose measured contrast is this fraction of the true one shows its own contrast; below the first, only its
# population's does.
_OWN_CONTRAST = (0.6, 0.95)
# Objects with this fraction of their contrast show which population they are of: 0.95 are left of 240 nm in voxels of 120 x
# 40 x 40 nm.
_SURE = 0.9
_FEWEST = 5
# Rise of the level of objects of ten voxels, and of larger ones (`Body.level` is a high quantile), in standard deviations of
# the noise.
_NOISE_BIAS = (0.8, 0.5)
# A territory gathers at least this part of the signal: 0.66 of a ball of 6 pixels blurred by 2 pixels.
_LEAST_GATHERED = 0.5
# Width in pixels, and depth in slices, up to which the signal, and from which the outline gives the volume: the number of slices
# above half the contrast depends on where between two slices the centre lies.
_BY_OUTLINE, _DEEP_OUTLINE = (4.5, 7.0), (2.0, 4.0)


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


def _selected_excess(
    contrast: NDArray[np.float64], signal: NDArray[np.float64], selection: Callable[[float, float], float]
) -> float:
    """Estimate by how much the contrast of the particles that were found exceeds that of all."""
    found = float(np.median(contrast))
    true = found
    for _ in range(_ROUNDS):
        true = found / selection(true, float(np.median(_diameter(signal / true))))
    return found - true


def _diameter(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.cbrt(6 / np.pi * volume))


def measure_sizes(
    objects: pd.DataFrame,
    response: BallResponse,
    spacing_nm: SpacingNm,
    noise: float,
    population: NDArray[np.int64] | None = None,
    selection: Callable[[float, float], float] | None = None,
) -> Sizes:
    """Measure volumes: of small objects from their signal, of large ones from their outline.

    Blur and thick slices spread the signal of an object, and keep its sum: divided by its contrast, it is the volume. What blur
    carries beyond the voxels around the outline is added, as it is for a ball of its size. Both also lower the contrast of
    a small one. Its contrast is therefore divided by what they leave of a ball of its size, and
    where little is left, the contrast of the larger particles of its population is taken instead. The signal of an object
    many pixels wide gathers whatever lies around it (the membrane of its vesicle); where it is several slices deep, the
    volume within its half-way outline, over that of a ball of its size, is surer. A piece of a clump has the volume of the
    ball that was fitted to it: its neighbours cut its signal and its outline.

    Parameters
    ----------
    objects
        One row per object with the columns of `PieceMeasures` and ``fitted_nm``.
    response
        Measures of balls at this blur and slice depth.
    spacing_nm
        Voxel size.
    noise
        Standard deviation of the noise of the smoothed image, in grey values.
    population : (N,) ndarray, optional
        Population of each object; 0 for an object that stands for itself.
    selection
        Returns, for a contrast and a diameter, the mean contrast of the particles that are found relative to that of all: of
        the smallest, those in the middle of a voxel are found, which look brighter.
    """
    measured = np.maximum(contrast_of(objects), 1e-3)
    signal = np.maximum(objects.signal.to_numpy(np.float64), 1e-3)
    contrast, left, gathered = measured.copy(), np.ones(len(measured)), signal
    for _ in range(_ROUNDS):
        # The level of a small object is that of its brightest voxels, which noise brightens.
        own = _own_part(left)
        raised = noise * (_NOISE_BIAS[0] * (1 - own) + _NOISE_BIAS[1] * own)
        diameter = _diameter(gathered / contrast)
        left, gathered = response.contrast_of(diameter), signal / _gathered_part(response, diameter)
        contrast = np.maximum(measured - raised, 0.5 * measured) / np.maximum(left, 0.1)
    if population is not None:
        surroundings = objects.surroundings.to_numpy(np.float64)
        contrast = _share_contrast(contrast, gathered, left, surroundings, population, selection)
    volume = _mix_with_outlined(
        gathered / contrast, objects.voxels.to_numpy(np.float64), response, spacing_nm
    )
    fitted = objects.fitted_nm.to_numpy(np.float64)
    volume = np.where(np.isnan(fitted), volume, np.pi / 6 * fitted**3)
    return Sizes(contrast, volume, left > _SURE)


def _mix_with_outlined(
    volume: NDArray[np.float64], voxels: NDArray[np.float64], response: BallResponse, spacing_nm: SpacingNm
) -> NDArray[np.float64]:
    """Mix the volumes from signals with those from outlines, by the width in pixels and the depth in slices."""
    within = voxels * float(np.prod(spacing_nm))
    outlined = within.copy()
    for _ in range(_ROUNDS):
        outlined = within / np.clip(response.outlined_of(_diameter(outlined)), 0.5, 2.0)
    diameter = np.minimum(_diameter(volume), _diameter(outlined))
    part = _rise(diameter / pixel_nm(spacing_nm), _BY_OUTLINE) * _rise(
        diameter / spacing_nm[0], _DEEP_OUTLINE
    )
    return (1 - part) * volume + part * outlined


def _gathered_part(response: BallResponse, diameter_nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of the signal that the territory gathers; thin slices meet small balls in the middle: no more."""
    return np.clip(response.signal_of(diameter_nm), _LEAST_GATHERED, 1.0)


def _own_part(left: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each object shows its own contrast, from 0 to 1."""
    return _rise(left, _OWN_CONTRAST)


def _rise(values: NDArray[np.float64], between: tuple[float, float]) -> NDArray[np.float64]:
    """Rise from 0 to 1 between two values."""
    return np.clip((values - between[0]) / (between[1] - between[0]), 0, 1)


def _share_contrast(
    contrast: NDArray[np.float64],
    signal: NDArray[np.float64],
    left: NDArray[np.float64],
    surroundings: NDArray[np.float64],
    population: NDArray[np.int64],
    selection: Callable[[float, float], float] | None,
) -> NDArray[np.float64]:
    """Pull the contrast of small objects to the level of their population."""
    out = contrast.copy()
    own = _own_part(left)
    for number in np.unique(population[population > 0]):
        chosen = population == number
        sure = chosen & (left > _OWN_CONTRAST[1])
        basis = sure if sure.sum() >= _FEWEST else chosen
        level = float(np.median((surroundings + contrast)[basis]))
        if basis is chosen and selection is not None:
            level -= _selected_excess(contrast[chosen], signal[chosen], selection)
        shared = np.maximum(level - surroundings[chosen], 1e-3)
        out[chosen] = own[chosen] * contrast[chosen] + (1 - own[chosen]) * shared
    return out
