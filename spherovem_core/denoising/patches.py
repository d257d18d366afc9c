"""Patches of slices for training and validation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.denoising.slice_selection import read_slices, split_slices
from spherovem_core.errors import ParameterError
from spherovem_core.parameters import DenoisingParameters


@dataclass(frozen=True)
class PatchSet:
    """Patches for training and, from other slices, for validation: each (N, side, side)."""

    training: NDArray[np.generic]
    validation: NDArray[np.generic]

    def clipped(self, low: float, high: float) -> "PatchSet":
        """Return the patches, as float32, with the grey values outside a range set to its ends."""
        training, validation = (
            np.clip(patches.astype(np.float32), low, high) for patches in (self.training, self.validation)
        )
        return PatchSet(training, validation)

    @property
    def mean(self) -> float:
        """Mean intensity of the training patches."""
        return float(self.training.mean(dtype=np.float64))

    @property
    def std(self) -> float:
        """Standard deviation of the training patches."""
        return float(self.training.std(dtype=np.float64))


def draw_patch_set(
    source: ArrayLike, parameters: DenoisingParameters, bad_slices: Collection[int] = ()
) -> PatchSet:
    """Draw the patches of a training.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        Slices are read one at a time and only their patches are kept.
    parameters
        Numbers of slices and patches, patch size, seed.
    bad_slices
        Slices to leave out.

    Raises
    ------
    ParameterError
        If fewer than two slices are good, or a slice is smaller than a patch.
    """
    training, validation = split_slices(
        source.shape[0], parameters.training_slices, parameters.validation_slices, bad_slices
    )
    side, per_slice, seed = parameters.patch_size, parameters.patches_per_slice, parameters.seed
    return PatchSet(
        draw_patches(source, training, side, per_slice, seed),
        draw_patches(source, validation, side, per_slice, seed),
    )


def draw_patches(
    source: ArrayLike, slices: Sequence[int], side: int, per_slice: int, seed: int
) -> NDArray[Any]:
    """Draw square patches at random positions of slices.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        Read one slice at a time.
    slices
        Slices to draw from.
    side
        Side of a patch in pixels.
    per_slice
        Patches per slice; they may overlap.
    seed
        The positions in a slice depend only on the seed and on the number of the slice.

    Returns
    -------
    (N, side, side) ndarray of the source's type

    Raises
    ------
    ParameterError
        If a slice is smaller than a patch.
    """
    _, height, width = source.shape
    if min(height, width) < side:
        raise ParameterError(
            f"a slice has {height} x {width} pixels, a training patch {side} x {side}; "
            f"set denoising.patch_size to {min(height, width) // 8 * 8} or less"
        )
    patches = np.empty((len(slices) * per_slice, side, side), dtype=source.dtype)
    for i, (z, values) in enumerate(zip(slices, read_slices(source, slices), strict=True)):
        corners = np.random.default_rng([seed, z]).integers(
            0, (height - side + 1, width - side + 1), size=(per_slice, 2)
        )
        for j, (y, x) in enumerate(corners):
            patches[i * per_slice + j] = values[y : y + side, x : x + side]
    return patches
