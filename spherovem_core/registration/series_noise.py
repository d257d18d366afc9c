"""Noise of a series: of every value, a random walk, and a random walk of the slope."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LAGS = (1, 2, 4, 6, 8, 12, 16, 24, 32)
NORMAL_MAD = 1.4826
"""Standard deviation of normal values, in median absolute deviations."""
TOLERANCE = 6.0
MOST_WALK = 1.5
KEYS_PER_OCTAVE = 2
NONE_KEY = -40
LARGEST_KEY = 10


@dataclass(frozen=True)
class SeriesNoise:
    """Standard deviations of the noise of a series.

    Attributes
    ----------
    value
        Of each value, independent of the others.
    walk
        Of the steps of a random walk, per place.
    bend
        Of the steps of the slope, per place.
    second_difference
        Measured robust standard deviation of the second differences of neighbours.
    """

    value: float
    walk: float
    bend: float
    second_difference: float

    def covariance(self, offsets: Floats) -> Floats:
        """Compute the covariance of the values at some offsets from a place where walk and bend are 0."""
        near = np.minimum(np.abs(offsets[:, None]), np.abs(offsets[None]))
        far = np.maximum(np.abs(offsets[:, None]), np.abs(offsets[None]))
        same = offsets[:, None] * offsets[None] > 0.0
        walked = np.where(same, near, 0.0)
        bent = np.where(same, near**2 * (3.0 * far - near) / 6.0, 0.0)
        covariance: Floats = (
            self.value**2 * np.eye(len(offsets)) + self.walk**2 * walked + self.bend**2 * bent
        )
        return covariance

    def shape_key(self) -> tuple[int, int]:
        """Return walk and bend relative to the noise of a value, rounded up to half octaves, so that filters can be kept."""
        return _key(self.walk / self.value), _key(self.bend / self.value)

    @classmethod
    def of_shape(cls, shape_key: tuple[int, int]) -> SeriesNoise:
        """Return the noise of a shape, for unit noise of a value."""
        walk, bend = (0.0 if key == NONE_KEY else 2.0 ** (key / KEYS_PER_OCTAVE) for key in shape_key)
        return cls(1.0, walk, bend, 0.0)


def measure_noise(values: Floats, places: NDArray[np.int_], floor: float) -> SeriesNoise:
    """Estimate the noise of a series that has a slope and a few steps and outliers.

    The median absolute second differences over 1, 2, 4 ... places hardly see steps and outliers. Of the noises that explain
    them, the one with the smallest variances is taken: it equals the measured variance at lag 1, and is at least as large as the
    measured ones at the others, but for their sampling error.

    Parameters
    ----------
    values : (n,) ndarray
    places : (n,) ndarray of int
    floor
        Smallest standard deviation of a value.
    """
    lags = [lag for lag in LAGS if lag == 1 or 3 * lag <= len(values)]
    if len(values) < 5:
        return SeriesNoise(floor, 0.0, 0.0, 6.0**0.5 * floor)
    measured = np.array([_second_difference(values, places, lag) ** 2 for lag in lags])
    measured = np.maximum(measured, 6.0 * floor**2)
    tolerance = np.array([TOLERANCE / np.sqrt(len(values) - 2 * lag) if lag > 1 else 0.0 for lag in lags])
    value, walk, bend = _smallest_variances(np.array(lags, dtype=np.float64), measured, 1.0 + tolerance)
    limit = 2.0 ** (-LARGEST_KEY / KEYS_PER_OCTAVE)
    value = max(np.sqrt(value), floor, limit * np.sqrt(walk), limit * np.sqrt(bend))
    return SeriesNoise(float(value), float(np.sqrt(walk)), float(np.sqrt(bend)), float(np.sqrt(measured[0])))


def _second_difference(values: Floats, places: NDArray[np.int_], lag: int) -> float:
    """Measure the robust standard deviation of second differences, those over uneven places scaled to even ones."""
    low, mid, high = places[: -2 * lag], places[lag:-lag], places[2 * lag :]
    weight = (high - mid) / (high - low)
    miss = values[lag:-lag] - weight * values[: -2 * lag] - (1.0 - weight) * values[2 * lag :]
    even = np.sqrt(6.0 / (1.0 + weight**2 + (1.0 - weight) ** 2))
    return float(NORMAL_MAD * np.median(np.abs(miss * even)))


def _smallest_variances(lags: Floats, measured: Floats, tolerance: Floats) -> Floats:
    """Solve the linear programme for the variances of value, walk and bend, by its corners."""
    target = measured / measured[0]
    model = np.stack([np.full_like(lags, 6.0), 2.0 * lags, lags * (2.0 * lags**2 + 1.0) / 3.0], 1)
    rows = np.concatenate([model, np.eye(3), [[0.0, -2.0, 0.0]]])
    least = np.concatenate([target / tolerance, np.zeros(3), [-MOST_WALK]])
    chosen = np.array(list(itertools.combinations(range(len(rows)), 3)))
    solvable = np.abs(np.linalg.det(rows[chosen])) > 1e-9
    corners = np.linalg.solve(rows[chosen[solvable]], least[chosen[solvable]][..., None])[..., 0]
    allowed = (corners @ rows.T >= least - 1e-9 * (1.0 + np.abs(least))).all(1)
    cost = corners @ (model / target[:, None]).sum(0)
    variances: Floats = np.maximum(corners[np.where(allowed, cost, np.inf).argmin()], 0.0) * measured[0]
    return variances


def _key(ratio: float) -> int:
    if ratio <= 2.0 ** ((NONE_KEY + 1) / KEYS_PER_OCTAVE):
        return NONE_KEY
    return min(int(np.ceil(KEYS_PER_OCTAVE * np.log2(ratio) - 1e-9)), LARGEST_KEY + KEYS_PER_OCTAVE)
