"""Similarity of slices over a few steps, and the slow change of values along the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Array = NDArray[np.float64]

TREND_PERIOD = 15.0
"""Changes along the stack with a longer period, in slices, count as slow."""
LEAST_SIMILARITY = 0.03
GROUPS = 12


@dataclass(frozen=True)
class DepthLinks:
    """Similarity of pairs of good slices, numbered by rank.

    Attributes
    ----------
    first, second : (m,) ndarray of int
        Ranks of the two slices.
    similarity : (m,) ndarray
        Correlation.
    replicates : (groups, m) ndarray
        The same without one group of tiles each (jackknife).
    """

    first: NDArray[np.int_]
    second: NDArray[np.int_]
    similarity: Array
    replicates: Array

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> DepthLinks:
        """Collect the records of `measure_depth` of all good slices in order."""
        power = np.array([record["power"] for record in records])
        first, second, similarity, replicates = [], [], [], []
        for steps in sorted({int(key) for record in records for key in record["cross"]}):
            ranks = np.arange(len(records) - steps)
            cross = np.array([records[k]["cross"][str(steps)] for k in range(len(ranks))])
            if not len(cross):
                continue
            whole, without = _similarities(cross, power[ranks], power[ranks + steps])
            first.append(ranks)
            second.append(ranks + steps)
            similarity.append(whole)
            replicates.append(without)
        return cls(
            np.concatenate(first),
            np.concatenate(second),
            np.concatenate(similarity),
            np.concatenate(replicates, axis=1),
        )


def smooth_along_stack(values: Array, period: float = TREND_PERIOD) -> Array:
    """Smooth (n,) values along the stack, robustly.

    Penalised least squares on second differences (Whittaker 1923, Eilers 2003), which keeps straight lines up to the ends.
    The penalty halves a wave of `period` slices. Two rounds of bisquare weights remove outliers.
    """
    count = len(values)
    if count < 3:
        return np.full(count, values.mean())
    second = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(count - 2, count))
    penalty = (period / (2.0 * np.pi)) ** 4 * (second.T @ second)
    weights = np.ones(count)
    smooth = values
    for _ in range(3):
        smooth = splu((sparse.diags(weights) + penalty).tocsc()).solve(weights * values)
        residual = np.abs(values - smooth)
        usual = 6.0 * float(np.median(residual))
        weights = np.clip(1.0 - (residual / usual) ** 2, 1e-3, None) ** 2 if usual > 0.0 else np.ones(count)
    return np.asarray(smooth)


def _similarities(cross: Array, power_a: Array, power_b: Array) -> tuple[Array, Array]:
    """Compute the correlation over all tiles, and over all but one group of tiles each."""
    groups = np.arange(cross.shape[1]) % min(GROUPS, cross.shape[1])

    def correlation(chosen: NDArray[np.bool_]) -> Array:
        energy = power_a[:, chosen].sum(1) * power_b[:, chosen].sum(1)
        found = cross[:, chosen].sum(1) / np.sqrt(np.maximum(energy, 1e-12))
        return np.asarray(np.clip(found, LEAST_SIMILARITY, 1.0 - 1e-6))

    whole = correlation(np.ones(cross.shape[1], bool))
    count = int(groups.max()) + 1
    without = [correlation(groups != g) for g in range(count)] if count > 1 else [whole]
    return whole, np.array(without)
