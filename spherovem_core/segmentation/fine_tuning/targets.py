"""Targets of training: flows, foreground and known pixels of a labelled slice."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.segmentation.flow_targets import component_flows

FLOW_Y, FLOW_X, FOREGROUND, KNOWN = range(4)
"""Rows of the targets."""


def training_targets(
    labels: NDArray[np.integer[Any]], known: NDArray[np.bool_] | None = None, contact_gap: bool = False
) -> NDArray[np.float32]:
    """Compute what a network is to predict of a slice.

    Parameters
    ----------
    labels : (Y, X) ndarray of int
        Instances, 0 is background.
    known : (Y, X) ndarray of bool, optional
        Pixels that are labelled; all by default.
    contact_gap
        Make the pixels on both sides of a contact of two objects background, so that the logit sees membranes also where
        objects fill the tissue.

    Returns
    -------
    (4, Y, X) ndarray of float32
        Unit flows (dy, dx), foreground 0 or 1, and 1 where known.
    """
    foreground = labels > 0
    if contact_gap:
        foreground &= ~_contacts(labels)
    seen = np.ones(labels.shape, bool) if known is None else known
    return np.concatenate([component_flows(labels), foreground[None], seen[None]]).astype(np.float32)


def _contacts(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return the pixels of objects with a neighbour along y or x in another object."""
    found = np.zeros(labels.shape, bool)
    for axis in range(2):
        first, second = (
            tuple(side if n == axis else slice(None) for n in range(2))
            for side in (slice(None, -1), slice(1, None))
        )
        differs = (labels[first] != labels[second]) & (labels[first] > 0) & (labels[second] > 0)
        found[first] |= differs
        found[second] |= differs
    return found
