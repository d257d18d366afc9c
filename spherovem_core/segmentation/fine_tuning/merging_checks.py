"""Checks of labelled slices before merging is learned from them: what cannot be learned is told before hours of training."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import expand_labels

from spherovem_core.errors import LabelsError
from spherovem_core.segmentation.fine_tuning.merging_training import (
    FOLDS,
    GAP,
    LEAST_CONTACTS,
    LEAST_PIXELS,
    folds,
    touching_pairs,
)
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice

logger = logging.getLogger(__name__)


def check_slices_for_merging(slices: Sequence[PlacedSlice]) -> None:
    """Check that each half of the slices shows different objects in one slice, and warn if few of them touch.

    How many contacts there are is known only after the network was trained, since they are contacts of its supervoxels.

    Raises
    ------
    LabelsError
        If merging cannot be learned from these labels.
    """
    if len(slices) < FOLDS:
        raise LabelsError(
            f"{len(slices)} labelled slice lies in the volume; merging is learned from {FOLDS} or more: label more slices, or "
            "leave out the volume"
        )
    fold_of = folds(slices)
    for fold in range(FOLDS):
        own = [one for one in slices if fold_of[one.name] == fold]
        if not any(len(_objects(one.labels)) > 1 for one in own):
            names = ", ".join(one.name for one in own[:4]) + (" ..." if len(own) > 4 else "")
            raise LabelsError(
                f"no slice of {names} shows two objects; merging is learned from one half of the slices and tested on the other: "
                "label whole regions with touching objects, or leave out the volume"
            )
        pairs = sum(len(_touching(one.labels)) for one in own)
        if pairs < LEAST_CONTACTS:
            logger.warning(
                "half of the labelled slices show %d pairs of touching objects; merging is learned from %d contacts or more, so "
                "that it may fail after the training: label more slices, or whole regions with touching objects",
                pairs,
                LEAST_CONTACTS,
            )


def _objects(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    return np.asarray(numbers[counts >= LEAST_PIXELS])


def _touching(labels: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the pairs of objects that touch, or between which only a membrane was left out of the labels."""
    pairs = touching_pairs(expand_labels(labels, GAP).astype(np.int64))
    return pairs[(pairs > 0).all(axis=1)]
