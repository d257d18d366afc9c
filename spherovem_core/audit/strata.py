"""Stratified random samples of objects: strata by suspicion and size, allocation and draw."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SIZE_CLASSES = ("small", "middle", "large")
LEAST_FOR_CLASSES = 60
"""Objects without suspicion from which they are divided by size."""

SUSPICION_WEIGHT = 3.0
"""Times that a suspect is more probably drawn than another object: errors are among them."""

LEAST_PER_STRATUM = 4


def object_strata(
    table: pd.DataFrame, suspicious: Collection[int]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Divide objects into strata.

    Parameters
    ----------
    table
        Table of the objects, with ``label`` and ``volume_um3``.
    suspicious
        Labels that the review found more probably wrong than right.

    Returns
    -------
    strata : (N,) ndarray of int64
        Stratum of each row.
    names : tuple of str
        Name of each stratum: ``suspects`` where there are any, then ``small``, ``middle`` and ``large`` thirds of the others, or
        ``others`` where they are few.
    """
    marked = table["label"].isin(list(suspicious)).to_numpy()
    groups: list[tuple[str, NDArray[np.int64]]] = []
    if marked.any():
        groups.append(("suspects", np.flatnonzero(marked)))
    rest = np.flatnonzero(~marked)
    if len(rest) >= LEAST_FOR_CLASSES:
        order = rest[np.argsort(table["volume_um3"].to_numpy()[rest], kind="stable")]
        groups += zip(SIZE_CLASSES, np.array_split(order, len(SIZE_CLASSES)), strict=True)
    elif len(rest):
        groups.append(("others" if groups else "all", rest))
    strata = np.zeros(len(table), np.int64)
    for number, (_, members) in enumerate(groups):
        strata[members] = number
    return strata, tuple(name for name, _ in groups)


def allocate(counts: Sequence[int], weights: Sequence[float], total: int) -> list[int]:
    """Share a number of draws among strata in proportion to counts times weights.

    Each stratum gets `LEAST_PER_STRATUM`, or all its members if they are fewer; none gets more than its members.
    """
    sizes = np.array(counts, np.int64)
    if sizes.sum() <= total:
        return [int(each) for each in sizes]
    least = np.minimum(sizes, min(LEAST_PER_STRATUM, max(1, total // len(sizes))))
    given = least.copy()
    masses = sizes * np.array(weights, float)
    while given.sum() < total:
        # The stratum with the fewest draws for its mass is next (the method of highest averages).
        given[int(np.where(given < sizes, masses / (given + 1), -1.0).argmax())] += 1
    return [int(each) for each in given]


def draw_rows(
    strata: NDArray[np.int64], names: Sequence[str], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw rows at random without replacement within each stratum; return them in rising order."""
    members = [np.flatnonzero(strata == number) for number in range(len(names))]
    weights = [SUSPICION_WEIGHT if name == "suspects" else 1.0 for name in names]
    shares = allocate([len(each) for each in members], weights, total)
    drawn = [rng.choice(own, share, replace=False) for own, share in zip(members, shares, strict=True)]
    return np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)
