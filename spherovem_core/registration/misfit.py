"""Misfit of the slices as placed, and what of it is a slow lean."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.affine import IDENTITY, Matrix, centre_shift, rms_displacement
from spherovem_core.registration.drift import slow_trend
from spherovem_core.registration.placed_pairs import PlacedPair

MISFIT_COLUMNS = (
    "similarity_after",
    "misfit_y_px",
    "misfit_x_px",
    "misfit_px",
    "misfit_uncertainty_px",
    "misfit_steps",
    "lean_y_px",
    "lean_x_px",
    "misfit_deviation_px",
)


@dataclass(frozen=True)
class Misfits:
    """Residual motion between each slice and one before it, as placed.

    Attributes
    ----------
    residual : (Z, 2, 3) ndarray
        Maps of reference coordinates, as `PlacedPair.residual`; NaN where none was measured.
    lean : (Z, 2, 3) ndarray
        Slow trend of the residual for one slice; the identity where there is none.
    steps : (Z,) ndarray
        Number of slices between the two compared; NaN where none was measured.
    uncertainty_px : (Z,) ndarray
    """

    residual: Matrix
    lean: Matrix
    steps: NDArray[np.float64]
    uncertainty_px: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Mapping[tuple[int, int], PlacedPair], count: int, trend_slices: float) -> Misfits:
        """Collect the measured pairs of a stack of `count` slices, and find their slow trend."""
        residual = np.full((count, 2, 3), np.nan)
        steps, uncertainty = np.full(count, np.nan), np.full(count, np.nan)
        for (before, z), pair in sorted(pairs.items()):
            if pair.measured:
                residual[z], steps[z], uncertainty[z] = pair.residual, z - before, pair.uncertainty_px
        measured = np.flatnonzero(np.isfinite(steps))
        lean = np.repeat(IDENTITY[None], count, 0)
        if measured.size:
            single = IDENTITY + (residual[measured] - IDENTITY) / steps[measured, None, None]
            found = slow_trend(single, trend_slices).reshape(-1, 6)
            every = [np.interp(np.arange(count), measured, element) for element in found.T]
            lean = np.stack(every, -1).reshape(-1, 2, 3)
        return cls(residual, lean, steps, uncertainty)

    def deviation(self) -> Matrix:
        """Compute the residual maps less what the lean explains, as displacements."""
        explained: Matrix = (self.lean - IDENTITY) * self.steps[:, None, None]
        return self.residual - IDENTITY - explained


def misfit_columns(
    pairs: Mapping[tuple[int, int], PlacedPair],
    good: Sequence[int],
    count: int,
    trend_slices: float,
    shape: tuple[int, int],
) -> dict[str, NDArray[np.float64]]:
    """Make the columns of the slice table on the fit of the slices as placed.

    ``similarity_after`` is the correlation with the good slice before; ``misfit_y_px``, ``misfit_x_px`` tell by how much
    the content at the centre still lies further along y and x than in the slice ``misfit_steps`` before, ``misfit_px`` the
    root mean square of the displacement over the slice. ``lean_y_px`` and ``lean_x_px`` are the slow trend of the misfit for
    one slice: the lean of the tissue, or a drift that was left. ``misfit_deviation_px`` is the root mean square of what is
    left of the misfit without that trend. All are NaN where nothing was measured.
    """
    found = Misfits.of(pairs, count, trend_slices)
    similarity = np.full(count, np.nan)
    for before, z in itertools.pairwise(good):
        if (before, z) in pairs:
            similarity[z] = pairs[before, z].similarity
    shift, lean = centre_shift(found.residual, shape), centre_shift(found.lean, shape)
    unknown = np.isnan(found.steps)
    lean[unknown] = np.nan
    values = (
        similarity,
        shift[:, 0],
        shift[:, 1],
        rms_displacement(found.residual - IDENTITY, shape),
        found.uncertainty_px,
        found.steps,
        lean[:, 0],
        lean[:, 1],
        rms_displacement(found.deviation(), shape),
    )
    return dict(zip(MISFIT_COLUMNS, values, strict=True))
