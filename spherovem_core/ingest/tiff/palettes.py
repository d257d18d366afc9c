"""The order of grey values in a TIFF: which stored values are brighter."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from tifffile import PHOTOMETRIC, TiffPage

# Zeiss replaces some of the entries by colours for annotations.
FEWEST_GREY = 0.75


def is_inverted(page: TiffPage) -> bool:
    """Return whether larger values are darker, because 0 is white or by a falling grey palette."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        return grey_order(page) < 0
    return bool(page.photometric == PHOTOMETRIC.MINISWHITE)


def grey_order(page: TiffPage) -> int:
    """Tell whether a palette is one of grey values, so that its indices are intensities.

    AxioVision and others write greyscale images with a palette: in steps of 257 or 256, of 8 bits in fields of 16, or with the
    contrast of the display.

    Returns
    -------
    int
        1 if at least three quarters of the entries are grey values that rise, -1 if they fall, 0 if it is a palette of colours.
    """
    palette = page.colormap
    if palette is None or palette.shape[0] != 3:
        return 0
    grey = np.all(palette == palette[0], axis=0)
    levels = palette[0][grey].tolist()
    fewest = FEWEST_GREY * palette.shape[1]
    if len(levels) < fewest or min(levels) == max(levels):
        return 0
    if _rising(levels) >= fewest:
        return 1
    return -1 if _rising(levels[::-1]) >= fewest else 0


def _rising(levels: Sequence[int]) -> int:
    """Count the entries of the longest series, not necessarily neighbours, that does not fall."""
    ends: list[int] = []
    for level in levels:
        place = bisect_right(ends, level)
        ends[place : place + 1] = [level]
    return len(ends)
