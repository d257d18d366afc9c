"""Places of slices along z by their thickness, and the mixtures of them that make even steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.registered_slices import Mixture, RegisteredSlices
from spherovem_core.registration.thickness import MIN_SLICES
from spherovem_core.registration.thickness_links import smooth_along_stack

Array = NDArray[np.float64]

EVEN_STEPS = "even_steps"
"""Name in the details of the registered array of the reason why slices were not placed by their thickness."""

LEAST_RELIABILITY = 0.3
"""Mean part of the variance of the thickness that must be that of the slices, not of the error, for slices to be moved."""
CHANCE = 0.01
"""Chance with which slices that are even may seem uneven and be moved, if the uncertainties are right."""
EVEN_WITHIN = 0.1
"""Uncertainty up to which slices without a spread beyond it are called even without a warning."""
SLOW_PERIOD = 30.0
"""Displacements along z of a longer period, in slices, are not known. On 24 stacks of textures and neuropil with planted
distances they were as far off as even places, while those of less than 14 slices erred by a third of that."""
SMALLEST = 0.25
"""Smallest thickness that a slice is given: a guard against a slice without any."""
LEAST_WEIGHT = 1e-3
"""A slice with a smaller part in another one is not read for it."""
DECIMALS = 6
"""Places are rounded, so that those read from a table in µm are the same number."""


@dataclass(frozen=True)
class PlacedSlices:
    """Slices along z.

    Attributes
    ----------
    slices : RegisteredSlices
    reason
        Why they are left at even steps; empty if they are placed by their thickness.
    harmless
        Whether even steps are right as far as anyone can tell, so that no one needs to be warned.
    """

    slices: RegisteredSlices
    reason: str = ""
    harmless: bool = False

    def details(self) -> dict[str, Any]:
        """Return the JSON values to keep with the registered array."""
        if not self.reason:
            return self.slices.details()
        return {EVEN_STEPS: {"reason": self.reason, "harmless": self.harmless}}


def place_by_thickness(table: pd.DataFrame) -> PlacedSlices:
    """Place slices by their estimated thickness where that is known well enough, else at even steps.

    The deviation of each thickness from 1 is multiplied by ``v / (v + u**2)``, with its uncertainty u and the variance v of
    the thickness over the stack, which makes the squared deviations as large as u and v say (empirical Bayes, as James and
    Stein 1961; v by Paule and Mandel 1982). So a thickness that is uncertain counts little, and the places err less than
    even ones as far as the uncertainties are right. Where this factor is below 0.3 in the mean, slices are left at even
    steps, since the gain would be small and a wrong u would turn it into a loss; and also where deviations as large as
    those found arise by chance in one of a hundred even stacks (chi-square test).

    The distances add up to places. What changes slowly is not known (`estimate_thickness`), so displacements with a period
    above `SLOW_PERIOD` are taken away again. The distance of the first from the last good slice is kept. Bad slices lie
    evenly between the good ones beside them, and one step apart at the ends.

    Parameters
    ----------
    table
        Table of `Alignment`, with ``used``, ``thickness_relative`` and ``thickness_uncertainty``.
    """
    from scipy.stats import chi2

    count = len(table)
    good = np.flatnonzero(table["used"].to_numpy(dtype=bool))
    even = RegisteredSlices.even(count)
    found = table["thickness_relative"].to_numpy(dtype=np.float64)[good[1:]]
    uncertainty = table["thickness_uncertainty"].to_numpy(dtype=np.float64)[good[1:]]
    known = np.isfinite(found) & np.isfinite(uncertainty)
    if known.sum() < MIN_SLICES - 1:
        return PlacedSlices(even, "their thickness is not known")
    deviation, error = found[known] - np.median(found[known]), uncertainty[known]
    weight = np.zeros(len(found))
    weight[known] = (variance := _variance_beyond(deviation, error)) / (variance + error**2)
    chance = float(chi2.sf(np.sum((deviation / error) ** 2), known.sum() - 1))
    if weight.mean() < LEAST_RELIABILITY or chance > CHANCE:
        usual = float(np.median(error))
        if usual <= EVEN_WITHIN:
            return PlacedSlices(even, f"their thickness is even within its uncertainty of {usual:.0%}", True)
        return PlacedSlices(even, f"their thickness is known to {usual:.0%} only, too little to place them")
    gaps = np.diff(good)
    distances = gaps.astype(np.float64)
    distances[known] *= np.maximum(1.0 + weight[known] * deviation, SMALLEST)
    placed = np.round(_add_up(distances, good, count), DECIMALS)
    return PlacedSlices(RegisteredSlices(placed, mix_at_even_steps(placed, good, count)))


def _variance_beyond(deviation: Array, error: Array) -> float:
    """Find the variance that, added to those of the errors, explains the squared deviations (Paule and Mandel 1982)."""
    from scipy.optimize import brentq

    def excess(variance: float) -> float:
        return float(np.mean(deviation**2 / (variance + error**2))) - 1.0

    smallest = 1e-12
    return (
        float(brentq(excess, smallest, float(np.mean(deviation**2)) + 1.0)) if excess(smallest) > 0.0 else 0.0
    )


def _add_up(distances: Array, good: NDArray[np.int_], count: int) -> Array:
    """Place all slices by the distances of the good ones, without what is slow."""
    moved = np.concatenate([[0.0], np.cumsum(distances)]) + good[0] - good
    moved -= smooth_along_stack(moved, SLOW_PERIOD)
    places = good + moved - np.interp(good, good[[0, -1]], moved[[0, -1]])
    steps = np.maximum(np.diff(places), SMALLEST)
    places = good[0] + np.concatenate([[0.0], np.cumsum(steps * ((good[-1] - good[0]) / steps.sum()))])
    placed: Array = np.interp(np.arange(count), good, places)
    placed[: good[0]] = np.arange(good[0])
    placed[good[-1] :] = np.arange(good[-1], count)
    return placed


def mix_at_even_steps(
    places: Array, good: Sequence[int] | NDArray[np.int_], count: int
) -> tuple[Mixture, ...]:
    """Find the slices and weights that are blended at each whole place from 0 to `count` - 1.

    Between the good slices the image is taken to change linearly along z. Where slices are thinner than a step, the mean
    of that over a window is taken, which is as wide as the thinnest slice next to the place lacks to a whole step: so no slice
    is left out, and noise is averaged. At even steps each place shows one slice alone. Before the first and after the last
    good slice, that one is repeated.

    Parameters
    ----------
    places : (Z,) ndarray
        Rising places of all slices, in steps.
    good
        Slices that may be shown, in rising order; the others are bridged.
    count
        Number of places.

    Returns
    -------
    tuple of Mixture
        Slices with their weights, by place.
    """
    numbers = np.asarray(good, dtype=np.int64)
    if len(numbers) == 1:
        return (((int(numbers[0]), 1.0),),) * count
    return tuple(_mix(float(place), places[numbers], numbers) for place in range(count))


def _mix(place: float, knots: Array, numbers: NDArray[np.int64]) -> Mixture:
    """Find the weights of the slices `numbers`, which lie at `knots`, at a place."""
    touching = slice(
        max(int(np.searchsorted(knots, place - 0.5, side="left")) - 1, 0),
        int(np.searchsorted(knots, place + 0.5, side="right")),
    )
    window = max(1.0 - float(np.diff(knots)[touching].min(initial=1.0)), 0.0)
    low, high = np.clip([place - 0.5 * window, place + 0.5 * window], knots[0], knots[-1])
    points = np.concatenate([[low], knots[(knots > low) & (knots < high)], [high]])
    # The mean of a line over a piece is that of its ends.
    pieces = np.diff(points) / (high - low) if high > low else np.ones(1)
    shares = 0.5 * (np.append(pieces, 0.0) + np.append(0.0, pieces))
    after = np.clip(np.searchsorted(knots, points), 1, len(knots) - 1)
    part = (points - knots[after - 1]) / (knots[after] - knots[after - 1])
    weights = np.zeros(len(knots))
    np.add.at(weights, after - 1, (1.0 - part) * shares)
    np.add.at(weights, after, part * shares)
    weights[weights < LEAST_WEIGHT] = 0.0
    weights /= weights.sum()
    return tuple((int(numbers[k]), float(weights[k])) for k in np.flatnonzero(weights))
