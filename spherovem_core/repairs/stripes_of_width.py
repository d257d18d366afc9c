"""The stripes of one width in a slice: whether they are certain, in all rows and in windows of fewer, and free of edges."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.repairs.stripe_heights import (
    LEAST_FADING,
    SURE,
    Fading,
    agreement_after_fading,
    find_agreement,
    find_fading,
    find_heights,
    median_along,
)
from spherovem_core.utils.accelerator import Accelerator

LEAST_SEGMENTS = 8
ENOUGH_INDEPENDENT = 24
"""Stripes of a width that fit side by side into the slice; with fewer, content may pass for stripes."""
CERTAINTY = 6.0
"""Standard errors of the agreement of parts of a slice from which there are stripes."""
CERTAINTY_BESIDE, CERTAINTY_OF_FEW = 3.0, 5.0
"""The same where stripes half as wide are certain; the second where few of the width fit."""
LEAST_SHARE = 0.05
"""Share of the variance that agrees, at least, where less certainty is enough: tissue agrees by 0.02, and many rows show it."""
MOST_ABOVE_NARROWER = 2.0
"""Variance of the stripes of a width over that of those half as wide, at most, where few of them fit or they are less certain;
more is content."""
LEAST_RATIO = 0.5
"""Height of a stripe over the difference of the grey values beside it; less is an edge."""
USUAL_STEP = 2.0
"""Difference of the grey values beside a stripe, over the median of such differences, up to which there is no edge."""


def _windows(count: int) -> Iterator[list[slice]]:
    """Yield windows along the stripes: all segments, then halves that overlap by half, and so on."""
    parts = 1
    while count // parts >= LEAST_SEGMENTS:
        size = count / parts
        starts = np.linspace(0, count - size, 2 * parts - 1)
        yield [slice(round(start), round(start + size)) for start in starts]
        parts *= 2


@dataclass(frozen=True)
class Agreement:
    """Agreement of the parts of a slice on the stripes of a width, see `find_agreement`."""

    covariance: float
    certainty: float
    share: float


NONE = Agreement(0.0, 0.0, 0.0)


def _is_certain(agreement: Agreement, narrower: Agreement, *, enough: bool) -> bool:
    """Return whether there are stripes, given those half as wide, and whether enough of this width fit into the slice."""
    is_moderate = agreement.covariance < MOST_ABOVE_NARROWER * narrower.covariance
    if agreement.certainty > CERTAINTY:
        return enough or is_moderate
    least = CERTAINTY_BESIDE if enough else CERTAINTY_OF_FEW
    is_shown = agreement.certainty > least and agreement.share > LEAST_SHARE
    return narrower.certainty > CERTAINTY and is_shown and is_moderate


def find_stripes_of_width(
    band: Any,
    wider: Any,
    width: float,
    rows: float,
    narrower: Agreement,
    fading: Fading,
    accelerator: Accelerator,
) -> tuple[Any, Agreement]:
    """Return the stripes of one width, (segments, columns), given what is wider, and their agreement over all rows.

    That agreement is `NONE` where there are none. What they tell of the fading is added to `fading`.
    """
    xp = accelerator.xp
    enough = band.shape[1] >= 2 * width * ENOUGH_INDEPENDENT
    found, agreed = xp.zeros_like(band), NONE
    for windows in _windows(len(band)):
        whole = len(windows) == 1
        total, weights = xp.zeros_like(band), np.zeros(len(band), np.float32)
        for window in windows:
            values = band[window] - found[window]
            weight = np.hanning(len(values) + 2)[1:-1].astype(np.float32) + np.float32(1e-3)
            weights[window] += weight
            free = _free_of_edges(values, wider[window], width, accelerator)
            # Shorter windows follow what is left of the fading.
            known = fading.along if whole else np.ones_like(weight)
            agreement = Agreement(*find_agreement(values[:, free > 0.5], width, rows, xp, known))
            beside = narrower if whole else replace(narrower, certainty=0.0)
            if _is_certain(agreement, beside, enough=enough):
                agreed = agreement if whole else agreed
                shape = fading if whole else None
                heights = _heights(values, width, rows, agreement, known, shape, accelerator)
                total[window] += xp.asarray(weight)[:, None] * heights * free
        found = found + total / xp.asarray(weights)[:, None]
    return found, agreed


def _heights(
    values: Any,
    width: float,
    rows: float,
    agreement: Agreement,
    known: NDArray[np.float32],
    fading: Fading | None,
    accelerator: Accelerator,
) -> Any:
    """Return the heights (segments, columns) of stripes of one width in a window; with `fading`, that is looked for too."""
    xp = accelerator.xp
    middle = median_along(values, known, xp)
    along = known
    if fading is not None:
        along = find_fading(values, middle, width, accelerator)
        if agreement.certainty > SURE and max(np.std(along), np.std(known)) > LEAST_FADING:
            middle = median_along(values, along, xp)
            along = find_fading(values, middle, width, accelerator)
            fading.add(along, middle, width)
    covariance = agreement.covariance
    if np.ptp(known) == 0:
        # Parts in which the stripes have faded agree less; the heights are those of the middle.
        covariance /= agreement_after_fading(along, width, rows)
    return xp.asarray(along)[:, None] * find_heights(values, middle, covariance, width, accelerator)


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
