"""An acquisition as a stack of slices: checked, and readable slice by slice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.intensities import Intensities, content_fault, measure_intensities
from spherovem_core.ingest.slice_file import SliceFile, read_pixels, read_window
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class Reading:
    """One slice as acquired.

    Attributes
    ----------
    values
        (Y, X), or None where there is nothing to read.
    intensities
        Of `values`.
    fault
        ``missing``, ``truncated``, ``blank`` or ``saturated``; empty for a good slice.
    reason
        The fault in a sentence.
    """

    values: NDArray[Any] | None
    intensities: Intensities | None
    fault: str = ""
    reason: str = ""


@dataclass(frozen=True)
class SliceStack:
    """An acquisition whose files have been checked as far as their directories tell.

    Attributes
    ----------
    source
        The folder or file.
    shape
        (Z, Y, X), databar cut off, missing slices counted.
    dtype
        uint8 or uint16, native byte order.
    spacing_nm
        (dz, dy, dx).
    spacing_origin
        Where the spacing is from, in words.
    files
        Source of each slice, None where it is missing.
    numbers
        Acquired number of each slice, missing ones included.
    parameters
        What it was opened with.
    metadata
        Facts for the history: container, compression, databar, acquisition.json.
    window
        Rows and columns of the slices that belong to it; None where all do.
    """

    source: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    spacing_nm: SpacingNm
    spacing_origin: str
    files: tuple[SliceFile | None, ...]
    numbers: tuple[int, ...]
    parameters: IngestParameters
    metadata: Mapping[str, Any] = field(default_factory=dict)
    window: tuple[slice, slice] | None = None

    def crop(self, region: RegionOfInterest) -> "SliceStack":
        """The part of the stack in a region; its slices count from 0 again.

        Raises
        ------
        ParameterError
            If the region reaches beyond the stack.
        """
        z, y, x = region.within(self.shape)
        return replace(
            self,
            shape=(z.stop - z.start, y.stop - y.start, x.stop - x.start),
            files=self.files[z],
            numbers=self.numbers[z],
            metadata={**self.metadata, "region": region.model_dump()},
            window=(y, x),
        )

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(Z,) whether no file holds the slice."""
        return np.array([file is None for file in self.files])

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """(Z,) whether the slice's data are known not to be all there; damage inside compressed data shows on reading."""
        return np.array([file is not None and bool(file.fault) for file in self.files])

    def slice_name(self, z: int) -> str:
        """Name of a slice for messages and tables; empty where it is missing."""
        file = self.files[z]
        return "" if file is None else file.name

    def acquire(self, z: int) -> Reading:
        """Read one slice and judge its content."""
        file = self.files[z]
        if file is None:
            return Reading(None, None, "missing", f"slice number {self.numbers[z]} is missing")
        try:
            values = self._read(file)
        except BadSlicesError as error:
            return Reading(None, None, "truncated", str(error).removeprefix(f"{file.name}: "))
        intensities = measure_intensities(values)
        fault = content_fault(intensities, self.dtype, self.parameters.blank_share)
        share = f"{intensities.mode_share:.2%} of its pixels are {intensities.mode}"
        return Reading(values, intensities, fault, f"{fault}, {share}" if fault else "")

    def _read(self, file: SliceFile) -> NDArray[Any]:
        if self.window is None:
            return read_pixels(file)[: self.shape[1]]
        return read_window(file, *self.window)

    def read_slice(self, z: int) -> NDArray[Any]:
        """Read one slice, filled from its neighbours where it is bad and `on_bad_slice` is ``interpolate``.

        Returns
        -------
        (Y, X) ndarray of uint8 or uint16

        Raises
        ------
        BadSlicesError
            If it is bad and not to be filled, or too many slices in a row are.
        """
        reading = self.acquire(z)
        if not reading.fault and reading.values is not None:
            return reading.values
        if self.parameters.on_bad_slice == "error":
            raise BadSlicesError(f"{self.slice_name(z) or self.source.name}: {reading.reason}")
        return self.fill(z)

    def fill(self, z: int) -> NDArray[Any]:
        """Interpolate a slice linearly between the nearest good ones; at the end of the stack repeat the nearest.

        Raises
        ------
        BadSlicesError
            If the run of bad slices around it is longer than `max_filled_slices`.
        """
        below, above = self._good_slice(z, -1), self._good_slice(z, 1)
        first = 0 if below is None else below[0] + 1
        last = self.shape[0] - 1 if above is None else above[0] - 1
        nearest = above if below is None else below
        limit = self.parameters.max_filled_slices
        if nearest is None or last - first + 1 > limit:
            raise BadSlicesError(
                f"slices {self.numbers[first]} to {self.numbers[last]} are bad, more than {limit} in a row; "
                "acquire them again, or raise max_filled_slices"
            )
        if below is None or above is None:
            return nearest[1]
        return _blend(below[1], above[1], (z - below[0]) / (above[0] - below[0]))

    def _good_slice(self, z: int, step: int) -> tuple[int, NDArray[Any]] | None:
        """Find the nearest good slice in one direction, no further than the longest run that is filled."""
        for distance in range(1, self.parameters.max_filled_slices + 1):
            neighbour = z + step * distance
            if not 0 <= neighbour < self.shape[0]:
                return None
            reading = self.acquire(neighbour)
            if not reading.fault and reading.values is not None:
                return neighbour, reading.values
        return None


def _blend(below: NDArray[Any], above: NDArray[Any], weight: float) -> NDArray[Any]:
    """Mix two slices, rounded to whole grey values; in bands, since floats of a whole slice take four times its memory."""
    mixed = np.empty_like(below)
    share = np.float32(weight)
    for start in range(0, len(below), 256):
        band = slice(start, start + 256)
        mixed[band] = np.rint(below[band] * (1 - share) + above[band] * share)
    return mixed
