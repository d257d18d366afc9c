"""Means over the objects of an acquisition, with the objects that its border cuts accounted for, and 95 % intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from spherovem_core.label_statistics import BOX_COLUMNS
from spherovem_core.store.tables import column_unit

QUANTITIES: Mapping[str, Sequence[str]] = {
    "cells": (
        "volume_um3", "surface_area_um2", "equivalent_diameter_um", "sphericity", "solidity", "nucleus_to_cytoplasm_ratio",
        "nucleus_offset_um", "nanoparticle_count", "nanoparticle_volume_um3", "nanoparticle_density_per_um3",
    ),
    "nuclei": ("volume_um3", "surface_area_um2", "equivalent_diameter_um", "sphericity", "solidity"),
    "nanoparticles": ("volume_um3", "equivalent_diameter_um", "distance_to_nucleus_um"),
}  # fmt: skip
"""Columns of the final tables that are averaged."""

NEEDS: Mapping[str, str] = {
    "nanoparticle_": "nanoparticles",
    "nucleus_": "nuclei",
    "distance_to_nucleus": "nuclei",
}
"""Kind of object without which the quantities that begin with a text mean nothing."""

FEWEST = 5
"""Whole objects from which there is an interval, and objects with another value where most have the same one."""

MOST_RESAMPLED = 20_000
"""Objects from which the studentised mean is normal to three digits, and resampling them would only take long."""

LARGE = 0.5
"""Side of an object as a fraction of the volume's from which whole objects of its size are too rare to stand for it."""

TOO_FEW = f"fewer than {FEWEST} whole objects with a value"
ALIKE = f"most objects have the same value, and fewer than {FEWEST} another one"
TOO_LARGE = "an object is more than half as long as the volume: few as large are whole, and the interval is too narrow"
RESAMPLES = 2000
SEED = 20
LEVELS = (0.025, 0.975)
METHOD = (
    "whole objects, weighted by Miles and Lantuejoul; 95 % interval by studentised bootstrap over objects, "
    f"by the normal distribution of more than {MOST_RESAMPLED}"
)


def acquisition_means(
    tables: Mapping[str, pd.DataFrame], shapes: Mapping[str, tuple[int, ...]]
) -> pd.DataFrame:
    """Average quantities of cells, nuclei and particles over the objects of an acquisition.

    Objects that the border of the volume cuts are left out: they have the values of a part. Large ones are cut more often, so
    that the whole ones are on average too small. Each therefore counts by the inverse of the probability that an object of its
    bounding box lies in the volume as a whole, prod(L / (L - l)) with the sides L of the volume and l of the box [1]_: an
    estimate of the mean without bias in a homogeneous tissue (Horvitz and Thompson).

    Intervals account for the sampling of objects: as if those of the acquisition were drawn at random from a population. They
    account neither for errors of the segmentation (see the audit) nor for differences between places, cultures or animals. Where
    most objects have the same value, such as no particle, and fewer than 5 another one, resamples say little of the others and
    there is no interval. No quantity is negative, and no interval reaches below 0.

    Parameters
    ----------
    tables
        Final tables ``cells``, ``nuclei`` and ``nanoparticles``, without excluded objects.
    shapes
        Shape of the label array of each kind that was given. Without nuclei or particles there are no means of what depends on
        them.

    Returns
    -------
    DataFrame
        One row per kind and quantity: ``kind``, ``quantity``, ``unit``, ``whole_objects``, ``cut_objects``, ``mean``,
        ``mean_low``, ``mean_high``, ``note``, ``method``. The mean is NaN without a whole object, the interval with too few.

    References
    ----------
    .. [1] R. E. Miles, "On the elimination of edge effects in planar sampling", in Stochastic Geometry, Wiley, 1974;
       C. Lantuéjoul, "Computation of the histograms of the number of edges and neighbours of cells in a tessellation", 1978.
    """
    rows = []
    for kind, quantities in QUANTITIES.items():
        table = tables.get(kind, pd.DataFrame())
        if kind not in shapes or not set(BOX_COLUMNS) <= set(table):
            continue
        weights = border_weights(table, shapes[kind])
        large = largest_fraction(table, shapes[kind]) > LARGE
        for quantity in quantities:
            needed = {own for start, own in NEEDS.items() if quantity.startswith(start)}
            if needed <= set(shapes) and quantity in table:
                rows.append(_row(kind, quantity, table[quantity].to_numpy(float), weights, large))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


_COLUMNS = {
    "kind": "str", "quantity": "str", "unit": "str", "whole_objects": "int64", "cut_objects": "int64", "mean": "float64",
    "mean_low": "float64", "mean_high": "float64", "note": "str", "method": "str",
}  # fmt: skip


def border_weights(table: pd.DataFrame, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the weight of each object by its bounding box; 0 for one that touches the border of the volume."""
    low, high = (table[list(BOX_COLUMNS[part])].to_numpy(float) for part in (slice(3), slice(3, 6)))
    whole = ((low > 0) & (high < np.array(shape))).all(axis=1)
    # A box that touches no border has its sides in a volume that is smaller by a voxel at each end.
    sides = np.array(shape, float) - 2
    room = np.maximum(sides - (high - low) + 1, 1)
    return np.where(whole, np.prod(sides / room, axis=1), 0.0)


def largest_fraction(table: pd.DataFrame, shape: Sequence[int]) -> float:
    """Return the largest side of a bounding box as a fraction of the volume's."""
    if table.empty:
        return 0.0
    low, high = (table[list(BOX_COLUMNS[part])].to_numpy(float) for part in (slice(3), slice(3, 6)))
    return float(((high - low) / np.array(shape)).max())


def weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64], seed: int = SEED
) -> tuple[float, float, float]:
    """Return a weighted mean and its 95 % interval, by a studentised bootstrap over the objects.

    The interval is NaN for fewer than `FEWEST` objects, and where most have the same value and fewer than that another one. Of
    more than `MOST_RESAMPLED` objects it is that of a normal distribution with the same standard error.
    """
    n = len(values)
    if not n:
        return float("nan"), float("nan"), float("nan")
    mean, error = (float(each[0]) for each in _means_and_errors(values, weights, np.ones((1, n))))
    if n < FEWEST or are_alike(values):
        return mean, float("nan"), float("nan")
    if n > MOST_RESAMPLED:
        reach = float(special.ndtri(LEVELS[1])) * error
        return mean, mean - reach, mean + reach
    rng = np.random.default_rng(seed)
    ratios = []
    # In parts: thousands of particles by thousands of resamples do not fit in memory.
    part = max(1, 4_000_000 // n)
    for first in range(0, RESAMPLES, part):
        counts = rng.multinomial(n, np.full(n, 1 / n), min(part, RESAMPLES - first))
        means, errors = _means_and_errors(values, weights, counts)
        ratios.append((means - mean)[errors > 0] / errors[errors > 0])
    low, high = np.quantile(np.concatenate(ratios), LEVELS)
    return mean, mean - float(high) * error, mean - float(low) * error


def are_alike(values: NDArray[np.float64]) -> bool:
    """Return whether most values are the same one, and fewer than `FEWEST` another."""
    most = int(np.unique(values, return_counts=True)[1].max(initial=0))
    return 2 * most > len(values) and len(values) - most < FEWEST


def _means_and_errors(
    values: NDArray[np.float64], weights: NDArray[np.float64], counts: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted mean of each resample (row of counts) and its standard error, that of a ratio."""
    n = len(values)
    total = counts @ weights
    means = counts @ (weights * values) / total
    squares = counts @ (weights**2 * values**2) - 2 * means * (counts @ (weights**2 * values))
    squares = squares + means**2 * (counts @ weights**2)
    return means, np.sqrt(np.maximum(squares, 0) * n / max(n - 1, 1)) / total


def _row(
    kind: str, quantity: str, values: NDArray[np.float64], weights: NDArray[np.float64], large: bool
) -> tuple[str, str, str, int, int, float, float, float, str, str]:
    whole = weights > 0
    used = whole & np.isfinite(values)
    mean, low, high = weighted_mean(values[used], weights[used])
    note = TOO_LARGE if large else ""
    if used.sum() < FEWEST:
        note = TOO_FEW
    elif are_alike(values[used]):
        note = ALIKE
    low = max(low, 0.0) if np.isfinite(low) else low
    cut = int((~whole).sum())
    return (kind, quantity, column_unit(quantity), int(used.sum()), cut, mean, low, high, note, METHOD)
