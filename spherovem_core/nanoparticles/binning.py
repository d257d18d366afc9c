"""Intensity bins: one per intensity for 8-bit images, fitted to the range of each slice for 16-bit images."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import ParameterError

WIDE_BINS = 1024
# Fraction of a slice's voxels that may lie below the fitted range, and above it: hot pixels must not widen the range.
_OUTSIDE = 1e-6


@dataclass(frozen=True)
class Binning:
    """Equal bins over integer intensities; the first and the last bin also count the intensities beyond them.

    Attributes
    ----------
    offset
        Lowest intensity of the first bin, a multiple of `width`.
    width
        Intensities per bin, a power of two.
    count
        Number of bins.
    """

    offset: int = 0
    width: int = 1
    count: int = 256

    @property
    def centres(self) -> NDArray[np.float64]:
        """Intensity at the centre of each bin."""
        return np.asarray(
            self.offset + self.width * np.arange(self.count) + 0.5 * (self.width - 1), np.float64
        )

    def index_table(self, levels: int) -> NDArray[np.uint16]:
        """Return the bin of each intensity from 0 to `levels` - 1."""
        index = (np.arange(levels) - self.offset) // self.width
        return np.clip(index, 0, self.count - 1).astype(np.uint16)


def level_count(dtype: np.dtype[Any]) -> int:
    """Return the number of intensities of an image type.

    Raises
    ------
    ParameterError
        If the type is neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise ParameterError(
            f"nanoparticles are found in uint8 or uint16 images, not in {dtype}; "
            "convert the image with one range for the whole stack (as the denoising stage does)"
        )
    return int(np.iinfo(dtype).max) + 1


def orient(image: NDArray[Any], polarity: Literal["bright", "dark"]) -> NDArray[Any]:
    """Complement an unsigned image whose nanoparticles are dark, so that they are bright."""
    return image if polarity == "bright" else ~image


def fit_binning(counts: NDArray[np.int64]) -> Binning:
    """Choose the narrowest bins that cover the intensities of a slice.

    Parameters
    ----------
    counts : (levels,) ndarray
        Number of voxels at each intensity of one slice; 256 or 65536 levels.
    """
    if counts.size <= 256:
        return Binning(count=counts.size)
    cumulative = np.cumsum(counts)
    allowed = _OUTSIDE * cumulative[-1]
    low = int(np.searchsorted(cumulative, allowed, side="right"))
    high = int(np.searchsorted(cumulative, cumulative[-1] - allowed))
    width = 1
    # One spare bin, because the range starts at a multiple of the width.
    while (high - low) // width + 2 > WIDE_BINS:
        width *= 2
    return Binning(low // width * width, width, WIDE_BINS)


def common_binning(binnings: list[Binning]) -> Binning:
    """Choose bins so that each bin of every slice lies inside one of them."""
    width = max(binning.width for binning in binnings)
    start = min(binning.offset // width for binning in binnings)
    stop = max((binning.offset + binning.width * binning.count - 1) // width for binning in binnings) + 1
    return Binning(start * width, width, stop - start)


def rebin(counts: NDArray[np.uint32], old: Binning, new: Binning) -> NDArray[np.uint32]:
    """Move counts (..., old.count) to coarser bins (..., new.count), each of which holds whole old bins."""
    if old == new:
        return counts
    first = old.offset + old.width * np.arange(old.count)
    target = (first - new.offset) // new.width
    starts = np.flatnonzero(np.diff(target, prepend=-1))
    out = np.zeros((*counts.shape[:-1], new.count), counts.dtype)
    out[..., target[starts]] = np.add.reduceat(counts, starts, axis=-1)
    return out
