"""Separation of the jitter of slices from the course of the tissue through them, for displacements of many modes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded

FloatArray = NDArray[np.float64]
SMALLEST_VARIANCE = 1e-8
CLEAR_DEVIANCE = 15.0
TIE = 0.5
USUAL_MODES = 10
LONGEST_FIT = 120
STRETCHES = 4


@dataclass(frozen=True)
class CourseModel:
    """Variances of a displacement that pairs of slices measure.

    The position of slice z is that of the tissue plus its jitter. Jitter is independent from slice to slice. The tissue
    moves from slice to slice by a step that is correlated with the step before (an autoregressive process of order one).

    Attributes
    ----------
    jitter : (Z,) ndarray
        Variance of the jitter of each slice, px².
    step
        Variance of the step of the tissue, px².
    persistence
        Correlation of consecutive steps, 0 to 1.
    noise : dict of int to float
        Variance of the error of a link over 1, 2, 3 slices, px².
    """

    jitter: FloatArray
    step: float
    persistence: float
    noise: dict[int, float]


@dataclass(frozen=True)
class CourseLinks:
    """Measured displacements.

    Attributes
    ----------
    first : (m,) ndarray of int
        Number of the first slice of each link.
    distance : (m,) ndarray of int
        Slices from the first to the second one.
    weight : (m,) ndarray
        Trust in each link, 0 to 1.
    values : (m, k) ndarray
        Displacement of k modes, from the first slice to the second one.
    count
        Number of slices.
    """

    first: NDArray[np.int_]
    distance: NDArray[np.int_]
    weight: FloatArray
    values: FloatArray
    count: int

    def precision(self, model: CourseModel) -> FloatArray:
        """Return the inverse variance of each link."""
        noise = np.array([model.noise[int(d)] for d in self.distance])
        return np.asarray(self.weight / noise)


def solve_course(links: CourseLinks, model: CourseModel) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Find the most likely jitter of all slices.

    Returns
    -------
    jitter : (Z, k) ndarray
    variance : (Z,) ndarray
        Posterior variance of the jitter of each slice.
    expected : (m, k) ndarray
        Displacement of each link by jitter and course together.
    """
    factor, right, _ = _factorise(links, model)
    solved = cho_solve_banded((factor, True), right, check_finite=False)
    jitter = solved[0::2]
    course = np.concatenate([np.zeros((1, solved.shape[1])), np.cumsum(solved[1::2], axis=0)])
    places = jitter + course[:-1]
    expected = places[links.first + links.distance] - places[links.first]
    return jitter, _inverse_diagonal(factor)[0::2], expected


def course_deviance(links: CourseLinks, model: CourseModel) -> float:
    """Compute minus twice the logarithm of the likelihood, per mode."""
    factor, right, log_prior = _factorise(links, model)
    solved = cho_solve_banded((factor, True), right, check_finite=False)
    precision = links.precision(model)
    misfit = float((precision[:, None] * links.values**2).sum() - (right * solved).sum())
    determinant = 2.0 * float(np.log(factor[0]).sum()) - log_prior - float(np.log(precision).sum())
    return float(determinant + misfit / links.values.shape[1])


def fit_courses(bands: Sequence[CourseLinks]) -> list[CourseModel]:
    """Fit the variances of each band to its links by maximum likelihood, with one variance of the jitter for all slices.

    A short stack has few waves of the longest bands, and pairs with independent errors look much like slices with jitter. What
    the tissue and the errors of pairs do is alike in neighbouring bands, since it is not coherent over the slice: with jitter, it
    is tied to what the band of shorter waves has, which has more of them. Without jitter it is free in every band. The jitter
    is 0 in all bands unless the links together are clearly more likely with it even so: on stacks of tissue alone, ties in
    both cases found jitter of 1 px in one of four.

    Parameters
    ----------
    bands
        Links of each band, from long waves to short.
    """
    still: list[CourseModel] = []
    jittered: list[CourseModel] = []
    gain = 0.0
    tie_jittered = None
    for links in reversed(bands):
        fit = _BandFit(_stretches(links))
        plain, without = fit.best(None, jitter=False)
        moving, with_jitter = fit.best(tie_jittered, jitter=True)
        gain += without - with_jitter
        tie_jittered = moving
        still.append(fit.model(plain, links.count))
        jittered.append(fit.model(moving, links.count))
    return (jittered if gain > CLEAR_DEVIANCE else still)[::-1]


class _BandFit:
    """Maximum likelihood of one band; parameters are logarithms: step, odds of the persistence, noise by distance, jitter."""

    def __init__(self, links: CourseLinks) -> None:
        self.links = links
        self.distances = sorted({int(d) for d in links.distance})
        self.power = [
            float(np.mean(links.values[links.distance == d] ** 2)) + SMALLEST_VARIANCE for d in self.distances
        ]

    def model(self, p: FloatArray, count: int) -> CourseModel:
        """Make the model of these parameters."""
        value = np.exp(np.clip(p, -18.0, 18.0))
        noise = {d: float(v) for d, v in zip(self.distances, value[2:], strict=False)}
        known = 2 + len(self.distances)
        jitter = np.full(count, value[known] if len(p) > known else 0.0)
        return CourseModel(jitter, float(value[0]), float(0.98 * value[1] / (1.0 + value[1])), noise)

    def best(self, tie: FloatArray | None, jitter: bool) -> tuple[FloatArray, float]:
        """Return the best parameters and their deviance over all waves, ties included."""
        from scipy.optimize import (
            minimize,
        )  # takes 0.1 s, and the report asks this module for nothing but names

        known = 2 + len(self.distances)

        def deviance(p: FloatArray) -> float:
            value = course_deviance(self.links, self.model(p, self.links.count)) * self.links.values.shape[1]
            if tie is not None:
                value += float((((p[:known] - tie[:known]) / TIE) ** 2).sum())
            return float(value)

        usual = [np.log(0.4 * self.power[0]), 0.5, *(np.log(0.2 * v) for v in self.power)]
        starts = [np.array(usual) if tie is None else tie[:known]]
        if jitter:
            starts = [np.append(s, np.log(part * self.power[0])) for s in starts for part in (0.3, 0.01)]
        options: Any = {"maxiter": 600, "xatol": 0.05, "fatol": 0.05}
        found = [minimize(deviance, s, method="Nelder-Mead", options=options) for s in starts]
        chosen = min(found, key=lambda f: float(f.fun))
        return chosen.x, float(chosen.fun)


def _stretches(links: CourseLinks) -> CourseLinks:
    """Choose stretches of a long stack, so that the fit takes the same time for any number of slices."""
    if links.count <= LONGEST_FIT:
        return links
    length = LONGEST_FIT // STRETCHES
    starts = np.linspace(0, links.count - length, STRETCHES).astype(int)
    chosen, first = [], []
    for k, start in enumerate(starts):
        inside = np.flatnonzero((links.first >= start) & (links.first + links.distance < start + length))
        chosen.append(inside)
        first.append(links.first[inside] - start + k * length)
    rows = np.concatenate(chosen)
    return CourseLinks(
        np.concatenate(first),
        links.distance[rows],
        links.weight[rows],
        links.values[rows],
        STRETCHES * length,
    )


def fit_jitter_of_slices(links: CourseLinks, model: CourseModel, rounds: int = 6) -> CourseModel:
    """Fit a variance of the jitter for each slice, by the fixed point of MacKay (1992).

    The variance of all slices counts as `USUAL_MODES` further modes, so that a slice with few modes is not fitted to chance.
    """
    usual = model.jitter
    modes = links.values.shape[1]
    for _ in range(rounds):
        jitter, posterior, _ = solve_course(links, model)
        prior = np.maximum(model.jitter, SMALLEST_VARIANCE)
        left = np.clip(prior - posterior, 1e-9 * prior, None)
        alone, variance = jitter * (prior / left)[:, None], posterior * prior / left
        found = np.maximum((alone**2).mean(1) - variance, 0.0)
        model = replace(model, jitter=(USUAL_MODES * usual + modes * found) / (USUAL_MODES + modes))
    return model


def _factorise(links: CourseLinks, model: CourseModel) -> tuple[FloatArray, FloatArray, float]:
    """Return the banded Cholesky factor of the posterior precision, the right side, and the log determinant of the prior.

    Unknowns alternate: jitter of slice 0, step from 0 to 1, jitter of slice 1, ...
    """
    count = links.count
    size, reach = 2 * count, 2 * int(links.distance.max(initial=1))
    banded = np.zeros((reach + 1, size))
    banded[0, 0::2] = 1.0 / np.maximum(model.jitter, SMALLEST_VARIANCE)
    persistence = model.persistence
    innovation = 1.0 / max(model.step * (1.0 - persistence**2), SMALLEST_VARIANCE)
    diagonal = np.full(count, innovation * (1.0 + persistence**2))
    diagonal[0] = innovation if count > 2 else innovation * (1.0 - persistence**2)
    if count > 2:
        diagonal[count - 2] = innovation
    diagonal[count - 1] = 1.0
    banded[0, 1::2] = diagonal
    if count > 2:
        banded[2, 1 : 2 * (count - 2) : 2] = -persistence * innovation
    log_prior = float(
        -np.log(np.maximum(model.jitter, SMALLEST_VARIANCE)).sum()
        + (count - 1) * np.log(innovation)
        + np.log(1.0 - persistence**2)
    )
    right = np.zeros((size, links.values.shape[1]))
    precision = links.precision(model)
    for d in {int(d) for d in links.distance}:
        chosen = links.distance == d
        start, weight = 2 * links.first[chosen], precision[chosen]
        pattern = np.zeros(2 * d + 1)
        pattern[1::2] = 1.0
        pattern[0], pattern[-1] = -1.0, 1.0
        for j in np.flatnonzero(pattern):
            np.add.at(right, start + j, (pattern[j] * weight)[:, None] * links.values[chosen])
            for i in np.flatnonzero(pattern[j:]):
                np.add.at(banded, (np.full(len(start), i), start + j), weight * pattern[j] * pattern[j + i])
    return cholesky_banded(banded, lower=True, check_finite=False), right, log_prior


def _inverse_diagonal(factor: FloatArray) -> FloatArray:
    """Compute the diagonal of the inverse of a matrix from its lower banded Cholesky factor (Takahashi et al. 1973)."""
    reach, size = factor.shape[0] - 1, factor.shape[1]
    window = np.zeros((reach, reach))  # Inverse among the next `reach` unknowns.
    diagonal = np.empty(size)
    for j in range(size - 1, -1, -1):
        below = factor[1:, j].copy()
        below[max(0, size - 1 - j) :] = 0.0
        row = -(window @ below) / factor[0, j]
        diagonal[j] = 1.0 / factor[0, j] ** 2 - float(below @ row) / factor[0, j]
        window[1:, 1:] = window[:-1, :-1].copy()
        window[0, 0] = diagonal[j]
        window[0, 1:] = window[1:, 0] = row[:-1]
    return diagonal
