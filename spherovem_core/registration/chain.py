"""Composition of consecutive pairs into maps from one reference frame."""

import numpy as np

from spherovem_core.errors import ParameterError
from spherovem_core.registration.affine import IDENTITY, Matrix, compose, invert


def compose_chain(pairs: Matrix, reference: int) -> Matrix:
    """Compose the motions of consecutive slices, in float64.

    A chain assumes that content does not move from slice to slice. Errors of the pairs add up like a random walk with the
    distance from the reference, and leaning tissue comes out upright.

    Parameters
    ----------
    pairs : (n - 1, 2, 3) ndarray
        Maps of pixel coordinates (y, x, 1) of slice z to those of slice z + 1.
    reference
        Slice whose pixel coordinates are the reference frame.

    Returns
    -------
    (n, 2, 3) ndarray of float64
        Maps of reference coordinates to the coordinates of each slice.

    Raises
    ------
    ParameterError
        If the reference is not a slice of the stack.
    """
    count = len(pairs) + 1
    if not 0 <= reference < count:
        raise ParameterError(
            f"reference slice {reference} is not in the stack of {count} slices; give a number from 0 to {count - 1}"
        )
    transforms = np.repeat(IDENTITY[None], count, axis=0)
    for z in range(reference, count - 1):
        transforms[z + 1] = compose(pairs[z], transforms[z])
    for z in range(reference, 0, -1):
        transforms[z - 1] = compose(invert(pairs[z - 1]), transforms[z])
    return transforms
