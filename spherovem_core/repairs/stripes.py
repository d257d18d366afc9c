"""Stripes across a slice, such as the curtains of an ion beam: found by wavelets across them, removed where they are certain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spherovem_core.repairs.stripe_heights import (
    agreement_after_fading,
    find_agreement,
    find_fading,
    find_heights,
)
from spherovem_core.utils.accelerator import Accelerator

SEGMENT_ROWS = 16
LEAST_SEGMENTS = 8
SCALES = 6
"""Wavelet scales, of 2, 4, 8 … pixels: the widest stripe is about 64 pixels wide."""
SPLINE = np.array([1, 4, 6, 4, 1], np.float32) / 16
PASSES = 3
"""Later passes find what earlier ones left between the widths."""
ENOUGH_INDEPENDENT = 24
"""Stripes of a width that fit side by side into the slice; with fewer, content may pass for stripes."""
LEAST_INDEPENDENT = 12
"""The same where stripes half as wide are certain."""
CERTAINTY = 6.0
"""Standard errors of the agreement of parts of a slice from which there are stripes."""
MOST_ABOVE_NARROWER = 2.0
"""Variance of the stripes of a width over that of those half as wide, at most, where few of them fit; more is content."""
LEAST_RATIO = 0.5
"""Height of a stripe over the difference of the grey values beside it; less is an edge."""
USUAL_STEP = 2.0
"""Difference of the grey values beside a stripe, over the median of such differences, up to which there is no edge."""


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
    - their height may change along the rows, for all stripes of a width alike, which a robust regression of each segment on the
      median shows;
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
    for _ in range(PASSES):
        narrower = 0.0
        for scale, band in enumerate(_bands(values - heights, accelerator)[1]):
            enough = band.shape[1] >= 2 * 2**scale * ENOUGH_INDEPENDENT
            highest = np.inf if enough else MOST_ABOVE_NARROWER * narrower
            found, narrower = _slow_part(band, wider[scale] / unit, 2.0**scale, rows, highest, accelerator)
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


def _windows(count: int) -> Iterator[list[slice]]:
    """Yield windows along the stripes: all segments, then halves that overlap by half, and so on."""
    parts = 1
    while count // parts >= LEAST_SEGMENTS:
        size = count / parts
        starts = np.linspace(0, count - size, 2 * parts - 1)
        yield [slice(round(start), round(start + size)) for start in starts]
        parts *= 2


def _slow_part(
    band: Any, wider: Any, width: float, rows: float, highest: float, accelerator: Accelerator
) -> tuple[Any, float]:
    """Return the stripes of one width, (segments, columns), given what is wider, and their variance over all rows.

    That variance is 0 where there are none; stripes of a variance above `highest` are content.
    """
    xp = accelerator.xp
    found, variance = xp.zeros_like(band), 0.0
    for windows in _windows(len(band)):
        whole = len(windows) == 1
        total, weights = xp.zeros_like(band), np.zeros(len(band), np.float32)
        for window in windows:
            values = band[window] - found[window]
            weight = np.hanning(len(values) + 2)[1:-1].astype(np.float32) + np.float32(1e-3)
            weights[window] += weight
            free = _free_of_edges(values, wider[window], width, accelerator)
            covariance, certainty = find_agreement(values[:, free > 0.5], width, rows, xp)
            if certainty > CERTAINTY and covariance < highest:
                variance = covariance if whole else variance
                middle = xp.median(values, axis=0)
                # Shorter windows follow what is left of the fading.
                along = find_fading(values, middle, width, accelerator) if whole else np.ones_like(weight)
                # Parts in which the stripes have faded agree less; the heights are those of the middle.
                agreed = covariance / agreement_after_fading(along, width, rows)
                heights = find_heights(values, middle, agreed, width, accelerator) * free
                total[window] += xp.asarray(weight * along)[:, None] * heights
        found = found + total / xp.asarray(weights)[:, None]
    return found, variance


def _free_of_edges(values: Any, wider: Any, width: float, accelerator: Accelerator) -> Any:
    """Return 0 for columns at an edge and 1 for others.

    The surface of a specimen may be as straight as a stripe, but it has other grey values on its two sides.
    """
    xp = accelerator.xp
    middle = xp.median(values, axis=0)
    step = _step(xp.median(wider, axis=0), int(3 * width), accelerator)
    peak = accelerator.ndi.maximum_filter1d(xp.abs(middle), int(8 * width) | 1, mode="mirror")
    stands_alone = xp.clip((peak / xp.maximum(step, 1e-6) - LEAST_RATIO) / LEAST_RATIO, 0, 1)
    usual = xp.clip(2 - step / max(USUAL_STEP * float(xp.median(step)), 1e-6), 0, 1)
    return xp.maximum(stands_alone, usual)


def _step(level: Any, distance: int, accelerator: Accelerator) -> Any:
    """Return the largest difference of the grey values on both sides in the neighbourhood of each column."""
    xp = accelerator.xp
    padded = xp.pad(level, distance, mode="reflect")
    difference = xp.abs(padded[2 * distance :] - padded[: -2 * distance])
    return accelerator.ndi.maximum_filter1d(difference, 2 * distance + 1, mode="mirror")
