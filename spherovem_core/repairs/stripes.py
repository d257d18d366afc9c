"""Stripes across a slice, such as the curtains of an ion beam: found by wavelets across them, removed where they are certain."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spherovem_core.repairs.stripe_heights import Fading, find_agreement
from spherovem_core.repairs.stripes_of_width import NONE, find_stripes_of_width
from spherovem_core.utils.accelerator import Accelerator

SEGMENT_ROWS = 16
SCALES = 6
"""Wavelet scales, of 2, 4, 8 … pixels: the widest stripe is about 64 pixels wide."""
SPLINE = np.array([1, 4, 6, 4, 1], np.float32) / 16
PASSES = 3
"""Later passes find what earlier ones left between the widths."""
LEAST_INDEPENDENT = 12
"""Stripes of a width that fit side by side into the slice, at least."""


@dataclass(frozen=True)
class Stripes:
    """Stripes of one slice along its columns.

    Attributes
    ----------
    heights : (segments, columns) array on the device
        Height of the stripes in each segment of rows, in grey values, or relative to the grey value.
    relative
        True if the stripes grow with the grey value.
    """

    heights: Any
    relative: bool

    @property
    def found(self) -> bool:
        """True if there is any stripe."""
        return bool(self.heights.any())


def find_stripes(image: Any, accelerator: Accelerator) -> Stripes:
    """Find the vertical stripes of a slice.

    Rows are averaged in segments of 16. A wavelet transform across the stripes (à trous, cubic B-spline) separates them by width
    from what is wider, as the wavelet-Fourier filter of Münch et al. [1] does. That filter takes the slow part along the stripes,
    a mean, for the stripe: a bright particle leaves dark tails above and below, and a slice without stripes loses content. Here

    - it is the median along the stripes, so that content in less than half of the rows does not count: of all rows first, then
      of halves, quarters and so on down to 128 rows, for stripes that fade;
    - there are stripes of a width only where parts of the slice that lie apart agree on them (the mean covariance across
      columns of segments at least 64 rows apart exceeds six standard errors); otherwise the slice is left as it is, bit for bit;
    - three standard errors are enough for stripes of a width beside certain ones that are half as wide;
    - their height may change along the rows, for all stripes of a width alike, which a robust regression of each segment on the
      median shows; where it certainly does, it weights the segments, for wider stripes too;
    - each is taken by the fraction of its variance that this agreement explains (a Wiener filter), column by column.

    Parameters
    ----------
    image : (Y, X) array of float32, on the device

    Returns
    -------
    Stripes
        Relative ones, which grow with the grey value, where the parts agree better on these.

    References
    ----------
    [1] B. Münch, P. Trtik, F. Marone, M. Stampanoni, "Stripe and ring artifact removal with combined wavelet-Fourier
    filtering", Optics Express 17, 8567-8591 (2009).
    """
    xp = accelerator.xp
    segments = _segments(image, xp)
    rows = image.shape[0] / len(segments)
    level, bands = _bands(segments, accelerator)
    base = xp.maximum(level, 0.5 * float(level.mean()) + 1e-3)
    kinds = (bands, _bands(segments / base, accelerator)[1])
    agreed = [sum(find_agreement(b, 2.0**n, rows, xp)[1] for n, b in enumerate(kind)) for kind in kinds]
    relative = agreed[1] > agreed[0]
    # Edges are looked for in grey values: relative ones have none.
    wider = [level + sum(bands[n + 1 :]) for n in range(len(bands))]
    unit = float(base.mean()) if relative else 1.0
    values = segments / base if relative else segments
    heights = xp.zeros_like(segments)
    fading = Fading(np.ones(len(segments), np.float32))
    for _ in range(PASSES):
        agreement = NONE
        for scale, band in enumerate(_bands(values - heights, accelerator)[1]):
            found, agreement = find_stripes_of_width(
                band, wider[scale] / unit, 2.0**scale, rows, agreement, fading, accelerator
            )
            heights += found
    return Stripes(heights, relative)


def remove_stripes(image: Any, stripes: Stripes, accelerator: Accelerator) -> Any:
    """Subtract stripes from the slice in which they were found, or divide by them."""
    if not stripes.found:
        return image
    xp = accelerator.xp
    count, rows = len(stripes.heights), image.shape[0]
    place = np.clip((np.arange(rows) + 0.5) * count / rows - 0.5, 0, count - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, count - 1)
    weight = xp.asarray((place - below).astype(np.float32))[:, None]
    lower, upper = (stripes.heights[xp.asarray(index)] for index in (below, above))
    field = lower * (1 - weight) + upper * weight
    return image / (1 + xp.maximum(field, -0.9)) if stripes.relative else image - field


def _segments(image: Any, xp: Any) -> Any:
    """Average rows in segments; the last one takes the rest."""
    count = max(1, len(image) // SEGMENT_ROWS)
    rows = SEGMENT_ROWS * (count - 1)
    rest = image[rows:].mean(0, dtype=xp.float32)[None]
    if count == 1:
        return rest
    even = image[:rows].reshape(count - 1, SEGMENT_ROWS, -1).mean(1, dtype=xp.float32)
    return xp.concatenate([even, rest])


def _bands(segments: Any, accelerator: Accelerator) -> tuple[Any, list[Any]]:
    """Separate the values along x by width; return what is wider than all scales, and the bands from fine to coarse."""
    bands = []
    smooth = segments
    for scale in range(SCALES):
        step = 2**scale
        if segments.shape[1] < 2 * step * LEAST_INDEPENDENT:
            break
        kernel = np.zeros(4 * step + 1, np.float32)
        kernel[::step] = SPLINE
        wider = accelerator.ndi.correlate1d(smooth, accelerator.to_device(kernel), axis=1, mode="mirror")
        bands.append(smooth - wider)
        smooth = wider
    return smooth, bands
