"""Selection of slices spread over a stack, read one at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike
from spherovem_core.errors import ParameterError
from spherovem_core.utils.slice_choice import good_slices


def spread_slices(depth: int, count: int, bad_slices: Collection[int] = ()) -> list[int]:
    """Choose up to `count` good slices spread evenly over a stack of `depth` slices, in rising order.

    The good slices are cut into `count` equal groups and the middle one of each group is chosen, so that neither end
    of the stack is favoured.
    """
    good = good_slices(depth, bad_slices)
    count = min(count, len(good))
    return [good[(2 * i + 1) * len(good) // (2 * count)] for i in range(count)]


def split_slices(
    depth: int, training: int, validation: int, bad_slices: Collection[int] = ()
) -> tuple[list[int], list[int]]:
    """Choose training and validation slices, both spread over the stack, with no slice in both.

    In a short stack, validation gets at most a fifth of the good slices, and at least one.

    Raises
    ------
    ParameterError
        If fewer than two slices are good.
    """
    good = depth - len({z for z in bad_slices if 0 <= z < depth})
    if good < 2:
        raise ParameterError(
            f"good slices of the stack: {good} of {depth}; training needs at least two, one of them for validation: take more "
            "slices, give the checkpoint of another acquisition as denoising.model, or set denoising.algorithm=none"
        )
    validation = min(validation, max(1, good // 5))
    validating = spread_slices(depth, validation, bad_slices)
    return spread_slices(depth, training, {*bad_slices, *validating}), validating


def read_slices(source: ArrayLike, slices: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Read slices one by one."""
    for z in slices:
        yield np.asarray(source[z])


def read_middles(source: ArrayLike, slices: Sequence[int], side: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the number and the middle of each slice, at most `side` pixels along both axes."""
    for z, values in zip(slices, read_slices(source, slices), strict=True):
        rows, columns = (slice(max(0, n - side) // 2, (n + side) // 2) for n in values.shape)
        yield z, values[rows, columns]
