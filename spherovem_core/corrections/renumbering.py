"""Other numbers for the labels of an array."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.label_runs import find_label_runs


class Renumbering:
    """A map from labels to other labels; labels that it does not know stay, and so does 0.

    Parameters
    ----------
    numbers
        New number of each label.
    """

    def __init__(self, numbers: Mapping[int, int]) -> None:
        known = sorted((label, number) for label, number in numbers.items() if label)
        self._labels = np.array([label for label, _ in known], np.int64)
        self._numbers = np.array([number for _, number in known], np.int64)

    def apply(self, labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return a (Z, Y, X) array with the new numbers.

        Labels are looked up once per run along x.
        """
        if not labels.size:
            return labels.astype(np.int64)
        start, length = find_label_runs(labels)
        numbers = self.look_up(labels.reshape(-1)[start].astype(np.int64))
        return np.repeat(numbers, length).reshape(labels.shape)

    def look_up(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return an array of any shape with the new numbers, looked up one by one."""
        if not len(self._labels):
            return labels
        place = np.minimum(np.searchsorted(self._labels, labels), len(self._labels) - 1)
        return np.where(self._labels[place] == labels, self._numbers[place], labels)
