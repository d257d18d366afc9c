"""How far a stack's maps are from the true ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ShapeMismatchError
from spherovem_core.registration.affine import Matrix, compose, invert, rms_displacement
from spherovem_core.registration.drift import slow_trend


@dataclass(frozen=True)
class Misplacement:
    """How far slices lie from where they belong, in pixels, over all pixels of a slice.

    Every figure is taken after the one affine map common to all slices has been removed, which no registration of
    slices to each other can know.

    Attributes
    ----------
    step_px
        Median over neighbouring slices of the root mean square by which one is misplaced against the
        other: the error of the step from slice to slice.
    jitter_px
        Root mean square over the slices of the misplacement of each against the mean of its neighbours:
        what looks ragged in a section across the slices.
    drift_px
        Root mean square of the slow trend of the misplacement (`trend_slices` long). Tissue that leans cannot be
        told from a stage that drifts, so pairs alone do not bound it.
    total_px
        Root mean square of the whole misplacement, drift included.
    """

    step_px: float
    jitter_px: float
    drift_px: float
    total_px: float


def measure_misplacement(
    transforms: Matrix, truth: Matrix, shape: Sequence[int], trend_slices: float = 20.0
) -> Misplacement:
    """Compare maps with the true ones.

    Parameters
    ----------
    transforms : (n, 2, 3) ndarray
        Reference to slice coordinates, as estimated.
    truth : (n, 2, 3) ndarray
        Ideal to slice coordinates.
    shape : (Y, X)
        A slice.
    trend_slices
        Changes slower than this are drift.

    Raises
    ------
    ShapeMismatchError
        If there are not as many true maps as estimated ones, or fewer than three.
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
    """Error in pixels of the step from slice to slice: `Misplacement.step_px`, and the arguments are the same."""
    return measure_misplacement(transforms, truth, shape).step_px


def misplacements(transforms: Matrix, truth: Matrix) -> Matrix:
    """Displacement of each slice's content in the ideal frame, less the affine map common to all slices.

    A voxel of slice z shows what lies at ``truth[z]⁻¹ transforms[z]`` of its coordinates. Were the
    registration perfect, that would be one map for all slices; the mean over the slices is the
    least squares estimate of it, as they all sample the same pixels.
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
