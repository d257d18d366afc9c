"""Map between slices of the registered image and slices of the acquisition."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import NM_PER_UM

PLACES = "slice_places"
"""Name in the details of the registered array of the place of each slice of the acquisition, in its slices."""
MIXTURES = "slice_mixtures"
"""Name in the details of the registered array of the slices, with weights, that were blended into each of its slices."""

Mixture = tuple[tuple[int, float], ...]
"""Slices of the acquisition and their weights, which sum to 1."""


@dataclass(frozen=True)
class RegisteredSlices:
    """Slices of the acquisition and of the registered image.

    Everything that goes from the one to the other asks here. They are the same unless registration has resampled z.

    Attributes
    ----------
    places : (Z,) ndarray of float64
        Place of each slice of the acquisition along z, in slices of the registered image from its first one; also between
        them, and outside of the image for slices at the end of a region.
    mixtures
        What was blended into each slice of the registered image; None if each slice shows the one of the same number.
    """

    places: NDArray[np.float64]
    mixtures: tuple[Mixture, ...] | None = None

    @classmethod
    def even(cls, count: int) -> Self:
        """Return those of a stack that is not resampled."""
        return cls(np.arange(count, dtype=np.float64))

    @classmethod
    def of(cls, details: Mapping[str, Any], count: int) -> Self:
        """Read what `details` wrote from the details of a registered array with `count` slices."""
        if PLACES not in details:
            return cls.even(count)
        mixtures = tuple(tuple((int(z), float(w)) for z, w in mixture) for mixture in details[MIXTURES])
        return cls(np.asarray(details[PLACES], dtype=np.float64), mixtures)

    def details(self) -> dict[str, Any]:
        """Return the JSON values to keep with the registered array; none if it is not resampled."""
        if self.mixtures is None:
            return {}
        mixtures = [[[z, weight] for z, weight in mixture] for mixture in self.mixtures]
        return {PLACES: self.places.tolist(), MIXTURES: mixtures}

    @property
    def count(self) -> int:
        """Number of slices of the registered image."""
        return len(self.places) if self.mixtures is None else len(self.mixtures)

    def all_mixtures(self) -> tuple[Mixture, ...]:
        """Return what is shown in each slice of the registered image, also where it is one slice alone."""
        return tuple(((z, 1.0),) for z in range(self.count)) if self.mixtures is None else self.mixtures

    def nearest(self) -> NDArray[np.int64]:
        """Return the slice of the acquisition that lies nearest to each slice of the registered image, (count,)."""
        middles = 0.5 * (self.places[1:] + self.places[:-1])
        return np.searchsorted(middles, np.arange(self.count), side="left").astype(np.int64)

    def showing(self, slices: Collection[int]) -> list[int]:
        """Return the slices of the registered image that lie nearest to one of these slices of the acquisition."""
        return np.flatnonzero(np.isin(self.nearest(), list(slices))).tolist()

    def in_acquisition(self, places: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place in the acquisition, in its slices, of places in slices of the registered image."""
        return np.asarray(np.interp(places, self.places, np.arange(len(self.places))))

    def positions_um(self, step_nm: float) -> NDArray[np.float64]:
        """Return the place of each slice of the acquisition in the registered image in µm, (Z,)."""
        return self.places * step_nm / NM_PER_UM
