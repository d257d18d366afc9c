"""Relative thickness of slices, from how their similarity falls with distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from spherovem_core.registration.series_noise import NORMAL_MAD
from spherovem_core.registration.thickness_links import LEAST_SIMILARITY, DepthLinks, smooth_along_stack

Array = NDArray[np.float64]

MIN_SLICES = 12
MIN_SIMILARITY, MIN_FALL = 0.1, 0.02
ITERATIONS = 12
THICKNESS_SPREAD = 0.5
EXPONENT, EXPONENT_SPREAD = 1.3, 0.3
EXPONENTS = (0.5, 2.2)
SMALLEST = 0.1
ROBUST_SPREADS = 4.0
TIGHT = 1e-3
OUTLYING_SPREAD = 1.0
CHI_MEDIAN = 0.455
UNUSABLE_VARIANCE = 1e2
LONGER_VARIANCE = 100.0
"""Longer links share the chance of what the slices show with single steps, so that they tell little more about thickness."""
CHANCE_FACTOR = 2.5
CURVE_ERROR = 0.1
"""Variance of the error over that of the jackknife, and error of the curve as a part of the deviation from even slices.

Both were fitted to 51 stacks of 36 to 40 slices (random waves, shelled spheres, membranes, neuropil cut along y and x). The
jackknife alone held 68 to 92 % there, except for one with very uneven noise: tiles are neither many nor independent.
"""


@dataclass(frozen=True)
class Thickness:
    """Relative thickness between consecutive good slices.

    Attributes
    ----------
    relative : (n - 1,) ndarray
        Distance of slice k + 1 from slice k per slice of the acquisition, relative to its slow trend; NaN if there are too
        few slices, or if their similarity does not fall with distance.
    uncertainty : (n - 1,) ndarray
        Its standard deviation: the scatter between tiles of the slices, attenuation that may be taken for thickness, and the
        error of the curve, in proportion to the deviation from 1.
    attenuation : (n,) ndarray
        Logarithm of the factor by which the similarity of each slice to all others is lower than usual.
    """

    relative: Array
    uncertainty: Array
    attenuation: Array


@dataclass(frozen=True)
class _State:
    """Unknowns: distances, attenuations, and the curve ``2 offset - exp(scale) * distance ** exponent``."""

    distances: Array
    attenuation: Array
    curve: Array

    @property
    def unknowns(self) -> Array:
        return np.concatenate([self.distances, self.attenuation, self.curve])


def estimate_thickness(links: DepthLinks, nominal: Sequence[int]) -> Thickness:
    """Estimate the distances between slices such that one curve of similarity over distance explains all links.

    The idea is that of Hanslovsky, Bogovic and Saalfeld (2017), with these differences: the logarithm of the correlation of two
    slices is the sum of an attenuation of each slice (noise, blur, misplacement lower its similarity to all others) and of a
    power law of the distance between them, and all are found by weighted least squares with robust weights. How much the
    attenuation differs from slice to slice is estimated from the links themselves (empirical Bayes): twice the attenuation
    is the loss of both links to a slice less that of the link across it.

    It assumes that the tissue changes at a constant rate along the stack, apart from what is slower than `TREND_PERIOD`
    slices; a change of thickness that slow is not seen either.

    Parameters
    ----------
    links : DepthLinks
    nominal : (n - 1,) sequence
        Number of slices of the acquisition between consecutive good ones, 1 without gaps.
    """
    gaps = np.asarray(nominal, dtype=np.float64)
    count = len(gaps) + 1
    if count < MIN_SLICES or not _falls(links):
        unknown = np.full(len(gaps), np.nan)
        return Thickness(unknown, unknown, np.full(count, np.nan))
    fit = _Fit(links, gaps)
    state = fit.solve(fit.start(), np.full(count, TIGHT))
    fit.scale_variance(state)
    state = fit.solve(state, np.full(count, TIGHT))
    state = fit.solve(state, fit.attenuation_spread(state))
    uncertainty = fit.uncertainty(state)
    return Thickness(relative_to_trend(state.distances / gaps), uncertainty, state.attenuation)


def _falls(links: DepthLinks) -> bool:
    """Tell whether neighbours are alike and less so over more steps; else similarity says nothing about distance."""
    steps = links.second - links.first
    near, far = (float(np.median(links.similarity[steps == s])) for s in (1, steps.max()))
    return near > MIN_SIMILARITY and np.log(near / far) > MIN_FALL


def relative_to_trend(thickness: Array) -> Array:
    """Divide a thickness by its slow change along the stack."""
    logarithm = np.log(thickness)
    return np.asarray(np.exp(logarithm - smooth_along_stack(logarithm)))


def _jackknife_variance(replicates: Array) -> Array:
    """Compute the variance of values from (groups, ...) replicates without one group each."""
    groups = len(replicates)
    return np.asarray((groups - 1) / groups * ((replicates - replicates.mean(0)) ** 2).sum(0))


class _Fit:
    """Least squares of the logarithms of similarity for distances, attenuations and one curve."""

    def __init__(self, links: DepthLinks, gaps: Array) -> None:
        self.links, self.gaps, self.count = links, gaps, len(gaps) + 1
        m = len(links.first)
        spans = [np.arange(a, b) for a, b in zip(links.first, links.second, strict=True)]
        rows = np.repeat(np.arange(m), links.second - links.first)
        self.span = sparse.csr_matrix(
            (np.ones(len(rows)), (rows, np.concatenate(spans))), (m, self.count - 1)
        )
        both = np.concatenate([links.first, links.second])
        self.ends = sparse.csr_matrix((np.ones(2 * m), (np.tile(np.arange(m), 2), both)), (m, self.count))
        self.logs = np.log(links.similarity)
        replicates = np.log(links.replicates)
        self.variance = _jackknife_variance(replicates)
        steps = links.second - links.first
        usual = np.array([np.median(self.variance[steps == s]) for s in range(1, steps.max() + 1)])[steps - 1]
        self.variance = 0.5 * (self.variance + usual) + 1e-6
        self.variance[steps > 1] *= LONGER_VARIANCE
        self.usable = links.similarity > 1.01 * LEAST_SIMILARITY
        self.variance[~self.usable] = UNUSABLE_VARIANCE
        self.replicates = replicates

    def scale_variance(self, state: _State) -> None:
        """Scale the variances to the residuals: tiles differ from each other in ways that all links have in common."""
        usable = self.usable
        residual = (self.logs - self.predicted(state))[usable] ** 2 / self.variance[usable]
        free = max(1.0 - self.count / len(self.logs), 0.1)
        self.variance[usable] *= float(np.median(residual)) / CHI_MEDIAN / free

    def start(self) -> _State:
        """Start from even slices and the curve that fits them."""
        distance = np.asarray(self.span @ self.gaps)
        design = np.column_stack([np.full(len(distance), 2.0), -(distance**EXPONENT)])
        weight = 1.0 / np.sqrt(self.variance)
        offset, slope = np.linalg.lstsq(design * weight[:, None], self.logs * weight, rcond=None)[0]
        curve = np.array([min(offset, 0.0), np.log(max(slope, 1e-3)), EXPONENT])
        return _State(self.gaps.copy(), np.zeros(self.count), curve)

    def solve(
        self, state: _State, spread: Array, logs: Array | None = None, iterations: int = ITERATIONS
    ) -> _State:
        """Iterate Gauss-Newton steps with robust weights; `spread` is the prior deviation of each attenuation."""
        observed = self.logs if logs is None else logs
        n = self.count
        prior = np.concatenate(
            [1 / (THICKNESS_SPREAD * self.gaps), 1 / spread, [1e-2, 1e-3, 1 / EXPONENT_SPREAD]]
        )
        target = np.concatenate([self.gaps, np.zeros(n), [0.0, 0.0, EXPONENT]])
        target[-2] = state.curve[1]
        for _ in range(iterations):
            distance = np.asarray(self.span @ state.distances)
            loss = np.exp(state.curve[1]) * distance ** state.curve[2]
            residual = observed - self.predicted(state)
            scale = ROBUST_SPREADS * np.sqrt(self.variance)
            weight = 1.0 / np.sqrt(self.variance) / (1.0 + (residual / scale) ** 2)
            curve = np.column_stack([2.0 * weight, -loss * weight, -loss * np.log(distance) * weight])
            jacobian = sparse.hstack(
                [
                    sparse.diags(-weight * loss * state.curve[2] / distance) @ self.span,
                    sparse.diags(weight) @ self.ends,
                    sparse.csr_matrix(curve),
                ]
            )
            full = sparse.csc_matrix(sparse.vstack([jacobian, sparse.diags(prior)]))
            right = np.concatenate([weight * residual, prior * (target - state.unknowns)])
            step = splu(sparse.csc_matrix(full.T @ full)).solve(full.T @ right)
            largest = float(np.abs(step[: n - 1]).max())
            state = self._moved(state, step * min(1.0, 0.4 / max(largest, 1e-12)))
            if largest < 1e-4:
                break
        return state

    def predicted(self, state: _State) -> Array:
        """Compute the logarithm of the similarity of every link."""
        offset, scale, exponent = state.curve
        loss = np.exp(scale) * np.asarray(self.span @ state.distances) ** exponent
        return np.asarray(2.0 * offset + self.ends @ state.attenuation - loss)

    def attenuation_spread(self, state: _State) -> Array:
        """Estimate how much the attenuation differs between slices, beyond the chance of what they show."""
        closures, chance, known = self._closures(state)
        spreads = np.full(self.count, OUTLYING_SPREAD)
        if not known.any():
            return spreads
        middle = 0.5 * (closures - np.median(closures[known]))
        spread = NORMAL_MAD * float(np.median(np.abs(middle[known])))
        common = max(float(np.sqrt(max(spread**2 - np.median(chance[known]) / 4.0, 0.0))), TIGHT)
        outlying = np.abs(middle) > 4.0 * max(spread, 2.0 * TIGHT)
        spreads[self._like_others()] = common
        spreads[1:-1][known & outlying] = OUTLYING_SPREAD
        return spreads

    def _like_others(self) -> NDArray[np.bool_]:
        """Tell which slices are similar enough to at least one other."""
        ends = np.concatenate([self.links.first[self.usable], self.links.second[self.usable]])
        return np.bincount(ends, minlength=self.count) > 0

    def _closures(self, state: _State) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Compute, per inner slice, the loss of both links to it less that of the link across it.

        Returns the differences, their variances, and whether all three links are usable.
        """
        steps = self.links.second - self.links.first
        single, double = np.flatnonzero(steps == 1), np.flatnonzero(steps == 2)

        def close(values: Array) -> Array:
            return np.asarray(values[..., single[:-1]] + values[..., single[1:]] - values[..., double])

        residual = close(self.logs - self.predicted(state)) + 2.0 * state.attenuation[1:-1]
        variance = _jackknife_variance(close(self.replicates))
        known = self.usable[single[:-1]] & self.usable[single[1:]] & self.usable[double]
        return residual, variance, known

    def uncertainty(self, state: _State) -> Array:
        """Estimate the standard deviation of the relative thickness.

        The jackknife over groups of tiles knows the variance of a slice from few groups only, so it is averaged with the
        usual one of the stack.
        """
        spread = self.attenuation_spread(state)
        found = np.array(
            [
                relative_to_trend(self.solve(state, spread, logs, 3).distances / self.gaps)
                for logs in self.replicates
            ]
        )
        chance = _jackknife_variance(found)
        chance = CHANCE_FACTOR * 0.5 * (chance + np.median(chance))
        curve = CURVE_ERROR * (relative_to_trend(state.distances / self.gaps) - 1.0)
        # A change of attenuation that is taken for one of thickness, at the slope of the curve for one step.
        slope = state.curve[2] * np.exp(state.curve[1])
        unknown = np.where(spread < OUTLYING_SPREAD, spread / 2.0, np.abs(state.attenuation)) / slope
        return np.asarray(np.sqrt(chance + curve**2 + unknown[1:] ** 2 + unknown[:-1] ** 2))

    def _moved(self, state: _State, step: Array) -> _State:
        n = self.count
        distances = np.maximum(state.distances + step[: n - 1], SMALLEST * self.gaps)
        curve = state.curve + step[-3:]
        curve[2] = np.clip(curve[2], *EXPONENTS)
        mean = float((distances / self.gaps).mean())
        curve[1] += curve[2] * np.log(mean)
        return _State(distances / mean, state.attenuation + step[n - 1 : 2 * n - 1], curve)
