"""A part of an array in memory, indexed as the whole array is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region


@dataclass(frozen=True, eq=False)
class Window:
    """Part of an array.

    Attributes
    ----------
    values
        Values of the part.
    origin
        First voxel of the part in the array.
    shape
        Shape of the array.
    """

    values: NDArray[Any]
    origin: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def read(cls, source: ArrayLike, low: Sequence[Any], high: Sequence[Any]) -> "Window":
        """Read the part between two voxels, half-open."""
        region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return cls(np.asarray(source[region]), tuple(s.start for s in region), tuple(source.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.values.dtype

    def __getitem__(self, region: Region) -> NDArray[Any]:
        """Return a region of the array, which lies in the part."""
        places = [slice(s.start - o, s.stop - o) for s, o in zip(region, self.origin, strict=True)]
        if any(p.start < 0 or p.stop > n for p, n in zip(places, self.values.shape, strict=True)):
            raise IndexError(
                f"{region} leaves the part of {self.values.shape} voxels that begins at {self.origin}"
            )
        return self.values[tuple(places)]
