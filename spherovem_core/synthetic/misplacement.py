"""Misplacement of registered slices against their true motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.registration.affine import Matrix, compose, invert, rms_displacement
from spherovem_core.registration.drift import slow_trend


@dataclass(frozen=True)
class Misplacement:
    """Root mean square distances in pixels between the estimated and the true place of slices.

    The affine map common to all slices is removed first: no registration of slices to each other can know it.

    Attributes
    ----------
    step_px
        Error of the step from slice to slice: the median, over neighbouring slices, of the distance by which one is
        misplaced against the other.
    jitter_px
        Misplacement of each slice against the mean of its neighbours, over all slices. It makes a section across the
        slices look ragged.
    drift_px
        Slow trend of the misplacement (`trend_slices` long). Pairs of slices do not tell leaning tissue from a drifting
        stage, so they do not bound it.
    total_px
        Whole misplacement, drift included.
    """

    step_px: float
    jitter_px: float
    drift_px: float
    total_px: float


def measure_misplacement(
    transforms: Matrix, truth: Matrix, shape: Sequence[int], trend_slices: float = 20.0
) -> Misplacement:
    """Compare estimated maps with the true ones.

    Parameters
    ----------
    transforms : (n, 2, 3) ndarray
        Estimated maps of reference to slice coordinates.
    truth : (n, 2, 3) ndarray
        True maps of ideal to slice coordinates.
    shape : (Y, X)
        Shape of a slice.
    trend_slices
        Number of slices over which a change counts as drift.

    Raises
    ------
    ShapeMismatchError
        If the two stacks differ in length, or hold fewer than three maps.
    """
    errors = misplacements(transforms, truth)
    steps = rms_displacement(np.diff(errors, axis=0), shape)
    bends = rms_displacement(errors[1:-1] - 0.5 * (errors[:-2] + errors[2:]), shape)
    slow = slow_trend(errors + np.eye(2, 3), trend_slices) - np.eye(2, 3)
    return Misplacement(
        step_px=float(np.median(steps)),
        jitter_px=_rms(bends),
        drift_px=_rms(rms_displacement(slow, shape)),
        total_px=_rms(rms_displacement(errors, shape)),
    )


def registration_residual(transforms: Matrix, truth: Matrix, shape: Sequence[int]) -> float:
    """Return `Misplacement.step_px` for the same arguments as `measure_misplacement`."""
    return measure_misplacement(transforms, truth, shape).step_px


def misplacements(transforms: Matrix, truth: Matrix) -> Matrix:
    """Compute the displacement of each slice's content in the ideal frame, less the map common to all slices.

    A voxel of slice z shows the tissue at ``truth[z]⁻¹ transforms[z]`` of its coordinates. After a perfect registration
    that would be one map for all slices. The mean over the slices is its least squares estimate, since all slices sample
    the same pixels.

    Returns
    -------
    (n, 2, 3) ndarray
        Affine maps of displacements in pixels.
    """
    if transforms.shape != truth.shape or len(truth) < 3:
        raise ShapeMismatchError(
            f"transforms are {transforms.shape} and true ones {truth.shape}; expected two (n, 2, 3) arrays, n at least 3"
        )
    shown = compose(invert(truth), transforms)
    errors: Matrix = shown - shown.mean(0)
    return errors


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt((values**2).mean()))
