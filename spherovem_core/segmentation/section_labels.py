"""Labels of a volume whose sections are divided each by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_sections(label: Callable[..., NDArray[np.uint32]], *volumes: NDArray[Any]) -> NDArray[np.uint32]:
    """Label each section by itself, and number the labels through from section to section.

    Parameters
    ----------
    label
        Takes one section (..., 1, Y, X) of each volume and returns labels (1, Y, X) from 1; 0 is background.
    volumes : (..., Z, Y, X) ndarray
        At least one.

    Returns
    -------
    (Z, Y, X) ndarray of uint32
        No label lies in two sections.
    """
    labels, highest = np.zeros(volumes[0].shape[-3:], np.uint32), np.uint32(0)
    for z in range(len(labels)):
        found = label(*(volume[..., z : z + 1, :, :] for volume in volumes))
        labels[z : z + 1] = np.where(found > 0, found + highest, 0)
        highest = max(highest, labels[z].max())
    return labels
