"""Pixels of a slice whose objects are known, where only some of them are labelled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.parameters import FineTuningParameters

EIGHT = np.ones((3, 3), bool)


def known_pixels(
    labels: NDArray[np.uint32], unknown: NDArray[Any] | None, parameters: FineTuningParameters
) -> tuple[NDArray[np.uint32], NDArray[np.bool_] | None]:
    """Tell background from pixels that nobody has labelled.

    Parameters
    ----------
    labels : (Y, X) ndarray of uint32
        Numbers as drawn.
    unknown : (Y, X) ndarray, optional
        Mask in which nothing is known where it is not 0. An object that touches it is cut by it, its centre lies
        elsewhere, and all of it becomes unknown.
    parameters
        ``unlabelled`` says what a 0 means, ``background_label`` which number is background.

    Returns
    -------
    labels : (Y, X) ndarray of uint32
        Instances, 0 is background or unknown.
    known : (Y, X) ndarray of bool, or None
        Pixels that are labelled; None if all are.
    """
    known = None
    if parameters.unlabelled == "unknown":
        known = labels > 0
    if parameters.background_label:
        labels = np.where(labels == parameters.background_label, np.uint32(0), labels)
    if unknown is not None and unknown.any():
        cut = _touching(labels, unknown != 0)
        known = ~cut if known is None else known & ~cut
    if known is not None:
        labels = np.where(known, labels, np.uint32(0))
        known = None if known.all() else known
    return labels, known


def drop_unknown_objects(found: NDArray[np.uint32], known: NDArray[np.bool_] | None) -> NDArray[np.uint32]:
    """Drop found objects of which more than half lies where nothing is known: they are neither right nor wrong."""
    if known is None:
        return found
    counts = np.bincount(found.ravel())
    inside = np.bincount(found.ravel(), weights=known.ravel(), minlength=len(counts))
    return np.where(2 * inside[found] >= counts[found], found, np.uint32(0))


def _touching(labels: NDArray[np.uint32], unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the unknown pixels, and those of every connected piece of an object that they overlap or touch."""
    near = ndimage.binary_dilation(unknown, EIGHT)
    cut = unknown.copy()
    for label in np.unique(labels[near & (labels > 0)]).tolist():
        pieces, _ = ndimage.label(labels == label, EIGHT)
        cut |= np.isin(pieces, np.setdiff1d(pieces[near], 0))
    return cut
