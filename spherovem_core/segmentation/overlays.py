"""Pictures of found objects and of objects drawn by hand in a section."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

TRUE, FOUND, BOTH = (237, 174, 73), (0, 161, 222), (120, 200, 80)
"""Colours of outlines: drawn by hand, found by the network, and both."""


def overlay(
    image: NDArray[np.float32], truth: NDArray[np.integer[Any]], found: NDArray[np.integer[Any]]
) -> NDArray[np.uint8]:
    """Draw the outlines of true and found objects over a section.

    Parameters
    ----------
    image : (Y, X) ndarray of float32
        0 is black and 1 white.
    truth, found : (Y, X) ndarray of int
        Instances, 0 is background.

    Returns
    -------
    (2Y, 2X, 3) ndarray of uint8
        Each pixel becomes four, so that outlines cover little of the objects.
    """
    grey = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    picture = np.repeat(_doubled(grey)[..., None], 3, axis=2)
    drawn, seen = (find_boundaries(_doubled(labels), mode="inner") for labels in (truth, found))
    picture[drawn & ~seen] = TRUE
    picture[seen & ~drawn] = FOUND
    picture[drawn & seen] = BOTH
    return picture


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="png")
    return buffer.getvalue()


def _doubled(plane: NDArray[Any]) -> NDArray[Any]:
    return plane.repeat(2, axis=0).repeat(2, axis=1)
