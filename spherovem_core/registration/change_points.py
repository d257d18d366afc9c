"""Change points of a series: places where it steps against its slow rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spherovem_core.registration.series_noise import SeriesNoise, measure_noise

Floats = NDArray[np.float64]

REACH = 50
SHORTEST_RUN = 3
SHORTEST_END = 2
WILD_SPREADS = 4.0
SIDE = 3
AROUND = 8
SURE = 6.0
SURE_SHORT = 12.0
MOST_SWEEPS = 200
MAYBE = 0.5
SHORT_REACHES = (4, 8, 16)
SHORT_SURE = 3.0
CAUTION = 1.1
LIKELY = 4.5
DEPENDENT = 1.25
CERTAIN, CERTAIN_OVER_BEND = 15.0, 6.0
"""Twice the log likelihood ratio of a step to none, less twice the logarithm of the number of places, and of a step to a bend."""
FEWEST_FREE, FEW_VALUES = 8, 60
"""In longer series second differences tell the noise well, and random walks, which likelihood takes for steps, are frequent."""


@dataclass(frozen=True)
class ChangePoints:
    """Steps of a series.

    Attributes
    ----------
    first : (k,) ndarray of int
        Index of the first value after each step, rising.
    heights, errors : (k, c) ndarray
        Height of each step in each component, and its standard error.
    wild : (n,) ndarray of bool
        Values that are far from those on both sides, or in a run too short to be told from such.
    """

    first: NDArray[np.int_]
    heights: Floats
    errors: Floats
    wild: NDArray[np.bool_]

    def significance(self) -> Floats:
        """Return the length of each height in units of its standard error: (k,)."""
        length: Floats = np.sqrt(((self.heights / self.errors) ** 2).sum(1))
        return length

    def levels(self) -> Floats:
        """Return the sum of the steps up to each value: (n, c), 0 before the first step."""
        return _levels(self.first, self.heights, len(self.wild))


def find_change_points(
    values: Floats, places: NDArray[np.int_], smallest: float, noise_floor: float
) -> ChangePoints:
    """Find the steps of a series whose other changes are slow, random from value to value, or short.

    The model of each component is: level and slope, noise of every value, a random walk, a random walk of the slope, and steps.
    The three variances are estimated robustly from the series (`measure_noise`). A step at a place is then fitted by generalised
    least squares to the values on both sides of it, level and slope included; it counts if its height is significant in all
    components together. As of Chen and Liu (1993), the most significant step is taken out, the noise is estimated again, and so
    on; then all steps are fitted together, moved where they fit better, and dropped where no longer significant. A random walk
    lowers the significance, so that one link has to stand out from the other links, and smooth drift, however
    fast, makes no steps.

    In a short series the second differences tell the noise badly. There a step also counts if the residuals of the fit make it
    likely, against none and against a smooth bend.

    A step also has to be there in short windows: where the fit to 4, 8 or 16 values on each side is precise enough to show it, it
    has to give more than half of its height.

    A value that is far from the median of three on both sides is wild and takes no part. So is a run of fewer than
    three values between two steps, and of one value at an end.

    Parameters
    ----------
    values : (n, c) ndarray
        Components with independent noise.
    places : (n,) ndarray of int
        Rising; gaps are allowed.
    smallest
        Steps of a smaller height, all components together, are not reported.
    noise_floor
        Standard deviation that the noise of every value has at least.

    References
    ----------
    C. Chen, L.-M. Liu, "Joint estimation of model parameters and outlier effects in time series", *Journal of the American
    Statistical Association* 88, 284-297 (1993).
    """
    search = _Search(values, places, smallest, noise_floor)
    for _ in range(MOST_SWEEPS):
        if not (search.add_step() or search.add_steps_together() or search.add_broad_step()):
            break
    search.settle()
    return search.found()


def fit_steps(
    values: Floats, places: NDArray[np.int_], known: ChangePoints, noise_floor: float
) -> ChangePoints:
    """Fit the heights of known steps to another series; arguments are those of `find_change_points`."""
    search = _Search(values, places, 0.0, noise_floor)
    search.short = known.wild
    search._set(known.first.tolist())
    return search.found()


class _Search:
    """State of a search: steps, wild values, and the noise of the values without the steps."""

    def __init__(self, values: Floats, places: NDArray[np.int_], smallest: float, noise_floor: float) -> None:
        self.values, self.places = values, places
        self.smallest, self.noise_floor = smallest, noise_floor
        self.count, self.components = values.shape
        self.threshold = SURE + SURE_SHORT / max(self.count - 4, 1)
        self.short = np.zeros(self.count, dtype=bool)
        self._set([])

    def found(self) -> ChangePoints:
        """Return the steps found so far."""
        return ChangePoints(np.array(self.first, dtype=np.int_), self.heights, self.errors, self.wild)

    def add_step(self) -> bool:
        """Take the most significant step, if there is any."""
        scores = self._scores()
        best = int(scores.argmax())
        if scores[best] <= self.threshold and not (scores[best] > 0.0 and self._is_certain(best)):
            return False
        self._set([*self.first, best])
        self._drop_short_runs()
        return True

    def add_steps_together(self) -> bool:
        """Take all steps that may be significant, and keep those that are once the others are taken out, too."""
        scores, before = self._scores(), self.first
        scores[:SHORTEST_END] = scores[self.count - SHORTEST_END + 1 :] = 0.0
        order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > 0.0]
        new: list[int] = []
        for i in order:
            taken = all(abs(i - known) >= SHORTEST_RUN for known in [*before, *new])
            if taken and (not new or scores[i] > MAYBE * self.threshold):
                new.append(i)
        if not new:
            return False
        self._set([*before, *new])
        self._drop_weak(before)
        return any(i not in before for i in self.first)

    def add_broad_step(self) -> bool:
        """Take a step that one or two values are in the middle of, as where two jumps follow each other closely.

        Where a second step beside a known one is likely, what lies between them is wild. Else it replaces a known step beside
        it if it is clearly more significant.
        """
        before, short, known = self.first, self.short, self.found().significance() * CAUTION
        scores, found = self._scores(), (0.0, 0, 0)
        best = int(scores.argmax())
        if scores[best] > LIKELY and any(abs(best - i) < SHORTEST_RUN for i in before):
            self._set([*before, best])
            self._drop_short_runs()
            return True
        for after in range(
            max(best - 1, SHORTEST_END), min(best + SHORTEST_RUN, self.count - SHORTEST_END) + 1
        ):
            for width in (1, 2):
                beside = [k for k, i in enumerate(before) if abs(after - i) <= SHORTEST_RUN + width]
                self._set_broad(before, short, after, width)
                if after in self.first:
                    wanted = max([CAUTION * self.threshold, *known[beside]])
                    strength = float(self.found().significance()[self.first.index(after)]) / wanted
                    found = max(found, (strength, after, width))
        strength, after, width = found
        if strength > 1.0:
            self._set_broad(before, short, after, width)
            self._drop_weak(before)
            if after in self.first:
                return True
        self.short = short
        self._set(before)
        return False

    def _set_broad(self, before: list[int], short: NDArray[np.bool_], after: int, width: int) -> None:
        self.short = short.copy()
        self.short[after - width : after] = True
        if self.short[after]:
            return
        self._set([*(i for i in before if abs(after - i) > SHORTEST_RUN + width), after])

    def settle(self) -> None:
        """Move each step to where it fits best, then drop those that are not significant, the weakest first."""
        for i in list(self.first):
            if i in self.first:
                self._move(i)
        self._drop_short_runs()
        self._drop_weak(self.first)

    def _scores(self) -> Floats:
        """Compute the significance of one more step at every place: (n,)."""
        rest = self._rest()
        scores = np.zeros(self.count)
        for i in np.flatnonzero(~self.wild)[1:]:
            if i not in self.first:
                scores[i] = self._score(rest, int(i))
        return scores

    def _drop_weak(self, known: list[int]) -> None:
        """Drop steps that are not significant or too small, the weakest first; new ones have to be more significant."""
        while self.first:
            size = np.sqrt((self.heights**2).sum(1))
            wanted = self.threshold * np.where(np.isin(self.first, known), 1.0, CAUTION)
            strength = self.found().significance() / wanted / (DEPENDENT if self._is_dependent() else 1.0)
            for k in np.flatnonzero(strength < 1.0):
                strength[k] = 1.0 if self._is_certain(self.first[k]) else strength[k]
            strength = np.minimum(strength, size / self.smallest)
            strength = np.where(self._are_sharp(), strength, 0.0)
            weakest = int(strength.argmin())
            if strength[weakest] >= 1.0:
                return
            self._set([i for k, i in enumerate(self.first) if k != weakest])

    def _is_certain(self, i: int) -> bool:
        """Tell by likelihood whether there is a step at i, beside the others, in values that are independent but for a slope.

        The residuals of the fit tell the noise of few values better than the median of their second differences. The
        step also has to explain the values better than a smooth bend does.
        """
        if self.count > FEW_VALUES or self._is_dependent():
            return False
        kept = np.flatnonzero(~self.wild)
        at = int(np.searchsorted(kept, i))
        window = kept[max(at - REACH, 0) : at + REACH]
        if min((window < i).sum(), (window >= i).sum()) < SHORTEST_END:
            return False
        z = (self.places[window] - self.places[i]) / max(float(np.ptp(self.places[window])), 1.0)
        others = [(window >= k) + 0.0 for k in self.first if k != i and window[0] < k <= window[-1]]
        plain = [np.ones_like(z), z, *others]
        models = [plain, [*plain, z**2, z**3], [*plain, (window >= i) + 0.0]]
        free = len(window) - len(plain) - 1
        if free < FEWEST_FREE:
            return False
        floor = len(window) * self.noise_floor**2
        line, bend, step = (self._misfits(np.stack(model, 1), window) + floor for model in models)
        over_line, over_bend = (free * float(np.log(other / step).sum()) for other in (line, bend))
        return over_line > CERTAIN + 2.0 * np.log(self.count) and over_bend > CERTAIN_OVER_BEND

    def _misfits(self, design: Floats, window: NDArray[np.int_]) -> Floats:
        values = self.values[window]
        residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        misfits: Floats = (residual**2).sum(0)
        return misfits

    def _is_dependent(self) -> bool:
        """Tell whether values depend on those before, beyond a slope; the noise of such series is known less well."""
        return any(2.0 * n.walk**2 + n.bend**2 > 0.1 * n.second_difference**2 for n in self.noise)

    def _are_sharp(self) -> NDArray[np.bool_]:
        """Tell whether each step is there in short windows, too; a bend of the slow rest fills long windows only."""
        sharp = np.ones(len(self.first), dtype=bool)
        for reach in SHORT_REACHES:
            for k, i in enumerate(self.first):
                heights, errors = self._fit_one(i, reach)
                weights = self.heights[k] / errors**2
                expected = float(np.sqrt((self.heights[k] * weights).sum()))
                if np.isfinite(expected) and expected > SHORT_SURE:
                    sharp[k] &= float(heights @ weights) > 0.5 * expected**2
        return sharp

    def _move(self, i: int) -> None:
        others = [k for k in self.first if k != i]
        self._set(others)
        rest = self._rest()
        near = [
            k
            for k in range(max(i - SHORTEST_RUN, 1), min(i + SHORTEST_RUN, self.count - 1) + 1)
            if not self.wild[k] and all(abs(k - known) >= SHORTEST_RUN for known in others)
        ]
        self._set([*others, max(near, key=lambda k: self._score(rest, k)) if near else i])

    def _drop_short_runs(self) -> None:
        """Make wild what lies between two steps that are too close, or beyond a step at an end, and merge the steps."""
        changed = True
        while changed:
            changed = False
            bounds = [0, *self.first, self.count]
            for k in range(len(bounds) - 1):
                ends = k == 0 or k == len(bounds) - 2
                run = slice(bounds[k], bounds[k + 1])
                if len(bounds) > 2 and bounds[k + 1] - bounds[k] < (SHORTEST_END if ends else SHORTEST_RUN):
                    self.short[run] = True
                    gone = bounds[k + 1] if k == 0 else bounds[k]
                    self._set([i for i in self.first if i != gone])
                    changed = True
                    break

    def _set(self, first: list[int]) -> None:
        """Set the steps, and estimate heights, wild values and noise for them."""
        self.first = sorted(first)
        if not hasattr(self, "wild"):
            self.heights = self.errors = np.zeros((0, self.components))
            self._estimate_noise()
        for _ in range(2 if self.first else 1):
            self._fit()
            self._estimate_noise()

    def _estimate_noise(self) -> None:
        rest = self._rest()
        self.noise = [
            measure_noise(rest[:, c], self.places, self.noise_floor) for c in range(self.components)
        ]
        self.wild = _wild_values(rest, self.places, self.noise) | self.short

    def _rest(self) -> Floats:
        return self.values - _levels(np.array(self.first, dtype=np.int_), self.heights, self.count)

    def _score(self, rest: Floats, i: int) -> float:
        kept = np.flatnonzero(~self.wild)
        at = int(np.searchsorted(kept, i))
        window = kept[max(at - REACH, 0) : at + REACH]
        offsets = self.places[window] - self.places[i]
        if at == 0 or (offsets >= 0).sum() < 1:
            return 0.0
        total = 0.0
        for c, noise in enumerate(self.noise):
            weights, error = _step_filter(tuple(offsets.tolist()), noise.shape_key())
            total += (float(weights @ rest[window, c]) / (error * noise.value)) ** 2
        return float(np.sqrt(total))

    def _fit(self) -> None:
        """Fit every step together with those around it."""
        fitted = [self._fit_one(i, REACH) for i in self.first]
        self.heights = np.array([heights for heights, _ in fitted]).reshape(-1, self.components)
        self.errors = np.array([errors for _, errors in fitted]).reshape(-1, self.components)

    def _fit_one(self, i: int, reach: int) -> tuple[Floats, Floats]:
        """Fit the step at i and those around it to the values within a reach; return its heights and their errors."""
        kept = np.flatnonzero(~self.wild)
        at = int(np.searchsorted(kept, i))
        window = kept[max(at - reach, 0) : at + reach]
        others = [k for k in self.first if k != i and window[0] < k <= window[-1]]
        offsets = (self.places[window] - self.places[i]).astype(np.float64)
        design = [np.ones_like(offsets), offsets, (window >= i).astype(np.float64)]
        design += [(window >= k).astype(np.float64) for k in others]
        found = [
            _fit_step(np.stack(design, 1), self.values[window, c], noise.covariance(offsets))
            for c, noise in enumerate(self.noise)
        ]
        return np.array([height for height, _ in found]), np.array([error for _, error in found])


def _levels(first: NDArray[np.int_], heights: Floats, count: int) -> Floats:
    steps = np.zeros((count, heights.shape[1]))
    np.add.at(steps, first, heights)
    levels: Floats = np.cumsum(steps, axis=0)
    return levels


def _fit_step(design: Floats, values: Floats, covariance: Floats) -> tuple[float, float]:
    """Return the coefficient of the third column of the design and its standard error."""
    whitened = np.linalg.solve(covariance, np.concatenate([design, values[:, None]], axis=1))
    normal = design.T @ whitened
    inverse = np.linalg.pinv(normal[:, :-1], hermitian=True)
    return float(inverse[2] @ normal[:, -1]), float(np.sqrt(max(inverse[2, 2], 1e-300)))


@lru_cache(maxsize=20000)
def _step_filter(offsets: tuple[int, ...], shape_key: tuple[int, int]) -> tuple[Floats, float]:
    """Return the weights whose product with the values is the height of a step at offset 0, and its error for unit noise."""
    at = np.array(offsets, dtype=np.float64)
    covariance = SeriesNoise.of_shape(shape_key).covariance(at)
    design = np.stack([np.ones_like(at), at, (at >= 0.0).astype(np.float64)], 1)
    whitened = np.linalg.solve(covariance, design)
    inverse = np.linalg.pinv(design.T @ whitened, hermitian=True)
    return inverse[2] @ whitened.T, float(np.sqrt(max(inverse[2, 2], 1e-300)))


def _wild_values(values: Floats, places: NDArray[np.int_], noise: list[SeriesNoise]) -> NDArray[np.bool_]:
    """Find values that are far from the median of three on both sides; the usual slope around them is allowed for."""
    count = len(values)
    wild = np.zeros(count, dtype=bool)
    if count < 3:
        return wild
    ahead = np.arange(1, SIDE + 1)
    near = np.arange(count)[:, None] + np.concatenate([-ahead, ahead])
    inside = (near >= 0) & (near < count)
    near = np.clip(near, 0, count - 1)
    for c, scale in enumerate(noise):
        slope = _usual_slopes(values[:, c], places)
        predicted = values[near, c] + slope[:, None] * (places[:, None] - places[near])
        miss = np.where(inside, predicted - values[:, c, None], np.nan)
        nearest = np.minimum(_medians(miss[:, :SIDE]), _medians(miss[:, SIDE:]))
        wild |= nearest > WILD_SPREADS * scale.second_difference
    wild[[0, -1]] = False
    return wild


def _medians(windows: Floats) -> Floats:
    """Compute the magnitude of the median of each row, without NaN; infinite where there is nothing else."""
    filled = np.sort(windows, axis=1)
    known = (~np.isnan(filled)).sum(1)
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, SIDE - 1)
    row = np.arange(len(filled))
    medians: Floats = np.abs(0.5 * (filled[row, low] + filled[row, high]))
    return np.where(known > 0, medians, np.inf)


def _usual_slopes(values: Floats, places: NDArray[np.int_]) -> Floats:
    """Compute the median slope around each value."""
    slopes = np.pad(
        np.diff(values) / np.diff(places),
        (AROUND, AROUND),
        mode="reflect" if len(values) > AROUND + 1 else "edge",
    )
    around: Floats = np.median(np.lib.stride_tricks.sliding_window_view(slopes, 2 * AROUND), axis=1)
    return around[: len(values)]
