"""Which slices are looked at, and the patches drawn from them: a slice at a time, never the volume."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ParameterError


def spread_slices(depth: int, count: int, bad_slices: Collection[int] = ()) -> list[int]:
    """Choose up to `count` sound slices spread evenly over a stack of `depth` slices, rising.

    Each is the middle one of `count` equal runs of sound slices, so that no end of the stack is favoured.
    """
    sound = [z for z in range(depth) if z not in set(bad_slices)]
    count = min(count, len(sound))
    return [sound[(2 * i + 1) * len(sound) // (2 * count)] for i in range(count)]


def split_slices(
    depth: int, training: int, validation: int, bad_slices: Collection[int] = ()
) -> tuple[list[int], list[int]]:
    """Choose training and validation slices, both spread over the stack and with none in common.

    A short stack gives what it has: validation gets at most a fifth of it, but one slice at least.

    Raises
    ------
    ParameterError
        If fewer than two slices are sound.
    """
    sound = depth - len({z for z in bad_slices if 0 <= z < depth})
    if sound < 2:
        raise ParameterError(
            f"the stack has {sound} sound slices of {depth}; training needs two at least, one of them to validate: "
            "acquire more slices or give the checkpoint of another acquisition as denoising.model"
        )
    validation = min(validation, max(1, sound // 5))
    validating = spread_slices(depth, validation, bad_slices)
    return spread_slices(depth, training, {*bad_slices, *validating}), validating


def read_slices(source: ArrayLike, slices: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Read slices one by one."""
    for z in slices:
        yield np.asarray(source[z])


def draw_patches(
    source: ArrayLike, slices: Sequence[int], side: int, per_slice: int, seed: int
) -> NDArray[Any]:
    """Draw square patches at random places of slices.

    Parameters
    ----------
    source : (Z, Y, X) array-like
        Read one slice at a time.
    slices
        Slices to draw from.
    side
        Side of a patch in pixels.
    per_slice
        Patches from each slice; they may overlap.
    seed
        A slice's places depend on the seed and the slice's number alone.

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
        places = np.random.default_rng([seed, z]).integers(
            0, (height - side + 1, width - side + 1), size=(per_slice, 2)
        )
        for j, (y, x) in enumerate(places):
            patches[i * per_slice + j] = values[y : y + side, x : x + side]
    return patches
