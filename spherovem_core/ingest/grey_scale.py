"""The grey scale of a stack: one scale and offset that turn its values into the whole numbers that are stored."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import BadSlicesError

STORED_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types that are stored as they are; all others become uint16."""

LEVELS = 65535
# Rows that are converted at once: float64 values of a whole slice would take up to eight times its memory.
BAND_ROWS = 256
MOST_CLIPPED = 0.05


def stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values of a type are stored."""
    return dtype if dtype in STORED_TYPES else np.dtype(np.uint16)


@dataclass(frozen=True)
class GreyScale:
    """Relation of the values of the source to the stored ones: value = scale · stored + offset.

    Attributes
    ----------
    scale, offset
        In the source's unit. With a scale of 1 and whole numbers, the values are kept exactly.
    dtype
        Type of the source.
    clipped
        True if the user chose the range, so that values may lie beyond it.
    """

    scale: float
    offset: float
    dtype: np.dtype[Any]
    clipped: bool = False

    @property
    def brightest(self) -> int:
        """Stored value of the brightest value that the source can hold."""
        if self.dtype.kind == "f" or self.clipped:
            return LEVELS
        return int(min(LEVELS, round((np.iinfo(self.dtype).max - self.offset) / self.scale)))

    @property
    def rule(self) -> str:
        """The relation in words, with the type of the source."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return f"{self.dtype}, stored as they are"
        return f"{self.dtype}, {self.scale:.9g} · stored {'-' if self.offset < 0 else '+'} {abs(self.offset):.9g}"

    def value(self, stored: float) -> float:
        """Return the value of the source that a stored one stands for."""
        return self.scale * stored + self.offset

    def store(self, values: NDArray[Any], name: str) -> NDArray[np.uint16]:
        """Convert a slice to stored values, rounded to the nearest.

        Parameters
        ----------
        values : (Y, X) ndarray
            Of the source's type.
        name
            Name of the slice for messages.

        Raises
        ------
        BadSlicesError
            If a value is not finite, or more than 5 % of them lie beyond a range that the user chose.
        """
        if self.dtype.kind == "f":
            _check_finite(values, name)
        if self.clipped:
            self._check_range(values, name)
        stored = np.empty(values.shape, np.uint16)
        for start in range(0, len(values), BAND_ROWS):
            band = slice(start, start + BAND_ROWS)
            stored[band] = self._store_band(values[band])
        return stored

    def _store_band(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.scale == 1.0 and self.dtype.kind in "iu":
            return np.clip(values.astype(np.int64) - int(self.offset), 0, LEVELS)
        steps = (values.astype(np.float64) - self.offset) / self.scale
        return np.clip(np.rint(steps, out=steps), 0, LEVELS, out=steps)

    def document(self) -> dict[str, Any]:
        """Return scale, offset and type for the metadata of the array."""
        document = {"scale": self.scale, "offset": self.offset, "source_dtype": self.dtype.name}
        return {**document, "chosen": True} if self.clipped else document

    def _check_range(self, values: NDArray[Any], name: str) -> None:
        low, high = self.value(0), self.value(LEVELS)
        beyond = sum(
            int(np.count_nonzero((band < low) | (band > high)))
            for band in (values[start : start + BAND_ROWS] for start in range(0, len(values), BAND_ROWS))
        )
        if beyond > MOST_CLIPPED * values.size:
            raise BadSlicesError(
                f"{name}: {beyond / values.size:.1%} of its values lie beyond value_range ({low:g}, {high:g}), its "
                f"values reach from {np.min(values):g} to {np.max(values):g}; widen ingest.value_range, or leave it empty"
            )


def _check_finite(values: NDArray[Any], name: str) -> None:
    nan = infinite = 0
    for start in range(0, len(values), BAND_ROWS):
        band = values[start : start + BAND_ROWS]
        if not np.isfinite(band).all():
            nan += int(np.count_nonzero(np.isnan(band)))
            infinite += int(np.count_nonzero(np.isinf(band)))
    if nan or infinite:
        kinds = [f"{count} {kind}" for count, kind in ((nan, "NaN"), (infinite, "infinite")) if count]
        raise BadSlicesError(
            f"{name}: {' and '.join(kinds)} of its {values.size} pixels; expected numbers in all of them: "
            "export the slice again, with the lowest value where nothing was measured"
        )
