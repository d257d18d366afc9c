"""Slices in a form that is cheap to send to a worker process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike


@dataclass(frozen=True)
class PortableSlices:
    """Some slices of a stack, cheap to send to another process.

    A stored array is sent as a reference, and the worker reads it; of an array in memory only the slices are sent.
    """

    source: ArrayLike | None
    slices: dict[int, NDArray[Any]]

    @classmethod
    def of(cls, source: ArrayLike, wanted: Sequence[int]) -> Self:
        """Take the slices that a worker needs."""
        if isinstance(source, np.ndarray):
            return cls(None, {z: source[z] for z in wanted})
        return cls(source, {})

    def read(self, z: int) -> NDArray[Any]:
        """Read slice z, (Y, X)."""
        if self.source is None:
            return self.slices[z]
        return np.asarray(self.source[z])
