"""Intensity bins: exact for 8-bit images; for 16-bit ones fitted to the range that each slice uses."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError

WIDE_BINS = 1024
# Share of a slice's voxels that a fitted range leaves in its first and its last bin: hot pixels must not widen it.
_OUTSIDE = 1e-6


@dataclass(frozen=True)
class Binning:
    """Equal bins over integer intensities; the first and the last also take what lies beyond them.

    Attributes
    ----------
    offset
        Lowest intensity of the first bin, a multiple of `width`.
    width
        Intensities a bin, a power of two.
    count
        Number of bins.
    """

    offset: int = 0
    width: int = 1
    count: int = 256

    @property
    def centres(self) -> NDArray[np.float64]:
        """Intensity at the middle of each bin."""
        return np.asarray(
            self.offset + self.width * np.arange(self.count) + 0.5 * (self.width - 1), np.float64
        )

    def index_table(self, levels: int) -> NDArray[np.uint16]:
        """Bin of each of the intensities 0 to `levels` - 1."""
        index = (np.arange(levels) - self.offset) // self.width
        return np.clip(index, 0, self.count - 1).astype(np.uint16)


def level_count(dtype: np.dtype[Any]) -> int:
    """Number of intensities of an image type.

    Raises
    ------
    ParameterError
        If the type is neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise ParameterError(
            f"nanoparticles are found in uint8 or uint16 images, not in {dtype}; "
            "convert the image with one range for the whole stack (the denoise stage does)"
        )
    return int(np.iinfo(dtype).max) + 1


def orient(image: NDArray[Any], polarity: Literal["bright", "dark"]) -> NDArray[Any]:
    """Turn an unsigned image such that nanoparticles are bright: dark ones are complemented."""
    return image if polarity == "bright" else ~image


def fit_binning(counts: NDArray[np.int64]) -> Binning:
    """Choose the narrowest bins that cover what a slice uses.

    Parameters
    ----------
    counts : (levels,) ndarray
        Voxels at each intensity of one slice; 256 or 65536 levels.
    """
    if counts.size <= 256:
        return Binning(count=counts.size)
    cumulative = np.cumsum(counts)
    allowed = _OUTSIDE * cumulative[-1]
    low = int(np.searchsorted(cumulative, allowed, side="right"))
    high = int(np.searchsorted(cumulative, cumulative[-1] - allowed))
    width = 1
    # One bin is spare, because the range is aligned to multiples of the width.
    while (high - low) // width + 2 > WIDE_BINS:
        width *= 2
    return Binning(low // width * width, width, WIDE_BINS)


def common_binning(binnings: list[Binning]) -> Binning:
    """Bins into each of which the bins of every slice fall whole."""
    width = max(binning.width for binning in binnings)
    start = min(binning.offset // width for binning in binnings)
    stop = max((binning.offset + binning.width * binning.count - 1) // width for binning in binnings) + 1
    return Binning(start * width, width, stop - start)


def rebin(counts: NDArray[np.uint32], old: Binning, new: Binning) -> NDArray[np.uint32]:
    """Move counts (..., old.count) to coarser bins (..., new.count) that old ones fall into whole."""
    if old == new:
        return counts
    first = old.offset + old.width * np.arange(old.count)
    target = (first - new.offset) // new.width
    starts = np.flatnonzero(np.diff(target, prepend=-1))
    out = np.zeros((*counts.shape[:-1], new.count), counts.dtype)
    out[..., target[starts]] = np.add.reduceat(counts, starts, axis=-1)
    return out
