"""An acquisition as a stack of slices: checked, and readable slice by slice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError
from spherovem_core.ingest.grey_scale import STORED_TYPES, GreyScale
from spherovem_core.ingest.intensities import Intensities, content_flag, measure_intensities
from spherovem_core.ingest.reader import Reader, SliceFile, read_pixels, read_window
from spherovem_core.parameters import IngestParameters
from spherovem_core.region_of_interest import RegionOfInterest
from spherovem_core.spacing import SpacingNm
from spherovem_core.store.columns import EXCLUDED

# Rows that are mixed at once: floats of a whole slice would take four times its memory.
BAND_ROWS = 256


@dataclass(frozen=True)
class AcquiredSlice:
    """One slice as acquired, with a verdict on its content.

    Attributes
    ----------
    values
        (Y, X), or None if there is nothing to read.
    intensities
        Intensities of `values`.
    flag
        ``missing``, ``truncated``, ``blank``, ``saturated`` or ``excluded``; empty for a good slice.
    reason
        The flag in words that name the cause.
    """

    values: NDArray[Any] | None
    intensities: Intensities | None
    flag: str = ""
    reason: str = ""


@dataclass(frozen=True)
class SliceStack:
    """An acquisition whose files have been checked as far as their headers tell.

    Attributes
    ----------
    source
        The folder or file.
    reader
        Reader of the files.
    shape
        (Z, Y, X), databar cut off, missing slices counted.
    dtype
        Type in which it is stored: uint8 or uint16.
    spacing_nm
        (dz, dy, dx).
    spacing_origin
        Source of the spacing, in words.
    files
        File of each slice, None if it is missing.
    numbers
        Acquired number of each slice, missing ones included.
    parameters
        Parameters under which it was opened.
    metadata
        Facts for the history: container, compression, databar, acquisition.json.
    source_dtype
        Type of the source, in native byte order.
    grey_scale
        Relation of the source's values to the stored ones; None if they are the same, or before `with_grey_scale`.
    first_row
        Rows of each file above the stack: those of a databar at the top.
    window
        Rows and columns of each slice that belong to the stack, counted from `first_row`; None if all do.
    whole
        The stack that it was cut out of; None if it is whole.
    whole_z
        Position of its first slice in `whole`.
    excluded
        Reason of each slice that the user excludes, by its position.
    """

    source: Path
    reader: Reader
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    spacing_nm: SpacingNm
    spacing_origin: str
    files: tuple[SliceFile | None, ...]
    numbers: tuple[int, ...]
    parameters: IngestParameters
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))
    grey_scale: GreyScale | None = None
    first_row: int = 0
    window: tuple[slice, slice] | None = None
    whole: "SliceStack | None" = None
    whole_z: int = 0
    excluded: Mapping[int, str] = field(default_factory=dict)

    def crop(self, region: RegionOfInterest) -> "SliceStack":
        """Cut a region out of the stack; its slices count from 0 again.

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
            whole=self.whole or self,
            whole_z=self.whole_z + z.start,
            excluded={n - z.start: reason for n, reason in self.excluded.items() if z.start <= n < z.stop},
        )

    @property
    def kept_files(self) -> tuple[SliceFile | None, ...]:
        """File of each slice, None if it is missing or excluded."""
        return tuple(None if z in self.excluded else file for z, file in enumerate(self.files))

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(Z,) True for each slice that no file holds."""
        return np.array([file is None for file in self.files])

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """(Z,) True for each slice known to be incomplete; damage inside compressed data shows only on reading."""
        return np.array([file is not None and bool(file.fault) for file in self.files])

    def slice_name(self, z: int) -> str:
        """Return the name of a slice for messages and tables; empty if the slice is missing."""
        file = self.files[z]
        return "" if file is None else file.name

    def read_as_acquired(self, z: int) -> AcquiredSlice:
        """Read one slice and judge its content, without filling it."""
        file = self.files[z]
        if z in self.excluded:
            return AcquiredSlice(
                None, None, EXCLUDED, f"slice number {self.numbers[z]} is excluded: {self.excluded[z]}"
            )
        if file is None:
            return AcquiredSlice(None, None, "missing", f"slice number {self.numbers[z]} is missing")
        try:
            values = self._read(file)
        except BadSlicesError as error:
            return AcquiredSlice(None, None, "truncated", str(error).removeprefix(f"{file.name}: "))
        intensities = measure_intensities(values)
        flag = content_flag(intensities, self.brightest, self.parameters.blank_fraction)
        mode = intensities.mode if self.grey_scale is None else self.grey_scale.value(intensities.mode)
        fraction = f"{intensities.mode_fraction:.2%} of its pixels are {mode:g}"
        return AcquiredSlice(values, intensities, flag, f"{flag}, {fraction}" if flag else "")

    def _read(self, file: SliceFile) -> NDArray[Any]:
        values = self.read_source(file, *(self.window or (None, None)))
        if self.source_dtype in STORED_TYPES:
            return values
        if self.grey_scale is None:
            raise ValueError(
                f"the grey scale of this {self.source_dtype} stack is unknown; call with_grey_scale first"
            )
        return self.grey_scale.store(values, file.name)

    def read_source(
        self, file: SliceFile, rows: slice | None = None, columns: slice | None = None
    ) -> NDArray[Any]:
        """Read rows and columns of a file without the databar, in values of the source; all if none are given.

        Raises
        ------
        BadSlicesError
            If they are not there or cannot be decoded.
        """
        if rows is None and columns is None and not self.first_row:
            return read_pixels(self.reader, file)[: self.shape[1]]
        rows, columns = rows or slice(0, self.shape[1]), columns or slice(0, self.shape[2])
        rows = slice(rows.start + self.first_row, rows.stop + self.first_row)
        return read_window(self.reader, file, rows, columns)

    @property
    def brightest(self) -> int:
        """Stored value of the brightest value that the source can hold."""
        return int(np.iinfo(self.dtype).max) if self.grey_scale is None else self.grey_scale.brightest

    def read_slice(self, z: int) -> NDArray[Any]:
        """Read one slice; fill it from its neighbours if it is excluded, or bad and `on_bad_slice` is ``interpolate``.

        Returns
        -------
        (Y, X) ndarray of uint8 or uint16

        Raises
        ------
        BadSlicesError
            If it is bad and not to be filled, or too many slices in a row are.
        """
        acquired = self.read_as_acquired(z)
        if not acquired.flag and acquired.values is not None:
            return acquired.values
        if self.parameters.on_bad_slice == "error" and acquired.flag != EXCLUDED:
            raise BadSlicesError(f"{self.slice_name(z) or self.source.name}: {acquired.reason}")
        return self.fill(z)

    def fill(self, z: int) -> NDArray[Any]:
        """Interpolate a slice linearly between the nearest good ones; at the end of the stack repeat the nearest.

        A slice at the end of a region is filled as in the whole stack, from slices beyond the region too, unless the region
        holds no other slice.

        Raises
        ------
        BadSlicesError
            If the run of bad slices around it is longer than `max_filled_slices`, or no slice is good.
        """
        if self.whole is not None and any(file is not None for file in self.kept_files):
            return self._in_depth(self.whole).fill(self.whole_z + z)
        below, above = self._good_slice(z, -1), self._good_slice(z, 1)
        limit = self.parameters.max_filled_slices
        # No good slice was found as far as was looked: the run may be longer.
        first = max(0, z - limit) if below is None else below[0] + 1
        last = min(self.shape[0] - 1, z + limit) if above is None else above[0] - 1
        nearest = above if below is None else below
        what = "bad or excluded" if self.excluded else "bad"
        lost = f"slice {self.numbers[first]} is {what}"
        if last > first:
            lost = f"slices {self.numbers[first]} to {self.numbers[last]} are {what}"
        if last - first + 1 > limit:
            raise BadSlicesError(
                f"{lost}, more than {limit} in a row; acquire them again, or raise max_filled_slices"
            )
        if nearest is None:
            raise BadSlicesError(
                f"{lost}, and there is no good slice to fill them from; acquire them again, or choose a larger region"
            )
        if below is None or above is None:
            return nearest[1]
        return _mix(below[1], above[1], (z - below[0]) / (above[0] - below[0]))

    def _in_depth(self, whole: "SliceStack") -> "SliceStack":
        """Return all slices of the whole stack, cut to the rows and columns of this one."""
        return replace(
            self,
            shape=(whole.shape[0], *self.shape[1:]),
            files=whole.files,
            numbers=whole.numbers,
            excluded=whole.excluded,
            whole=None,
            whole_z=0,
        )

    def _good_slice(self, z: int, step: int) -> tuple[int, NDArray[Any]] | None:
        """Find the nearest good slice in one direction, no further than the longest run that is filled."""
        for distance in range(1, self.parameters.max_filled_slices + 1):
            neighbour = z + step * distance
            if not 0 <= neighbour < self.shape[0]:
                return None
            acquired = self.read_as_acquired(neighbour)
            if not acquired.flag and acquired.values is not None:
                return neighbour, acquired.values
        return None


def _mix(below: NDArray[Any], above: NDArray[Any], weight: float) -> NDArray[Any]:
    """Mix two slices, rounded to whole grey values."""
    mixed = np.empty_like(below)
    fraction = np.float32(weight)
    for start in range(0, len(below), BAND_ROWS):
        band = slice(start, start + BAND_ROWS)
        mixed[band] = np.rint(below[band] * (1 - fraction) + above[band] * fraction)
    return mixed
