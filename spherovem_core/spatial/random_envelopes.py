"""Envelopes and p values of a measured curve among simulated ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.utils.ranks import average_ranks

LEVEL = 0.05
"""Level of tests; envelopes hold 95 % of random patterns."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Envelope:
    """A measured curve among simulated ones.

    Attributes
    ----------
    mean, low, high : (R,) ndarray of float64
        Mean of the simulations, and their pointwise 95 % envelope: random patterns leave it at 5 % of the places.
    global_low, global_high : (R,) ndarray of float64
        Global 95 % envelope: 5 % of random patterns leave it anywhere.
    p_value
        Of the measured curve as a whole; NaN if no place distinguishes curves.
    """

    mean: Floats
    low: Floats
    high: Floats
    global_low: Floats
    global_high: Floats
    p_value: float


def envelope_of(curves: Floats) -> Envelope:
    """Compare a curve with simulations by extreme rank lengths.

    A curve is as extreme as the most extreme rank that it has at any place, from below or above; equal ones are compared by their
    second most extreme rank, and so on [1]_. The global envelope holds the curves that are not among the 5 % most extreme [2]_.
    Both are exact: they assume nothing but that curves of random patterns are exchangeable. Runs on the CPU.

    Parameters
    ----------
    curves : (S + 1, R) ndarray of float64
        The measured curve, then the simulated ones. Where all have one value, or one has none, a place has no rank.

    References
    ----------
    .. [1] M. Myllymäki, T. Mrkvička, P. Grabarnik, H. Seijo, U. Hahn, "Global envelope tests for spatial processes", Journal
       of the Royal Statistical Society B 79, 381-404 (2017).
    .. [2] T. Mrkvička, M. Myllymäki, M. Jílek, U. Hahn, "A one-way ANOVA test for functional data with graphical
       interpretation", Kybernetika 56, 432-458 (2020).
    """
    simulated = curves[1:]
    ranked = np.isfinite(curves).all(axis=0) & (curves.max(axis=0) > curves.min(axis=0))
    low, high, least, most = np.full((4, curves.shape[1]), np.nan)
    with np.errstate(invalid="ignore"):
        mean = simulated.mean(axis=0)
    if not ranked.any():
        return Envelope(mean, low, high, least, most, np.nan)
    fractions = extreme_fractions(curves[:, ranked])
    low[ranked], high[ranked] = pointwise_envelope(simulated[:, ranked])
    kept = curves[:, ranked][fractions > LEVEL]
    least[ranked], most[ranked] = kept.min(axis=0), kept.max(axis=0)
    return Envelope(mean, low, high, least, most, float(fractions[0]))


def pointwise_envelope(simulated: Floats) -> tuple[Floats, Floats]:
    """Return the bounds (R,) that one more random curve leaves at 5 % of the places."""
    low, high = np.quantile(simulated, [LEVEL / 2, 1 - LEVEL / 2], axis=0, method="weibull")
    return low, high


def extreme_fractions(curves: Floats) -> Floats:
    """Return for each curve the fraction of all that are as extreme as it, itself included: its p value among the others."""
    below = average_ranks(curves)
    ranks = np.sort(np.minimum(below, len(curves) + 1 - below), axis=1)
    _, group, size = np.unique(ranks, axis=0, return_inverse=True, return_counts=True)
    # Rows of np.unique rise in lexicographic order, the most extreme first.
    return np.asarray(size.cumsum()[group.reshape(-1)] / len(curves))
