"""Gradient-boosted decision trees as plain arrays: fitted by scikit-learn, stored and evaluated without it."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from spherovem_core.errors import NetworkError

LEAF = -1
"""Child of a leaf."""
MANY = 2000
"""Samples from which several threads evaluate them."""


@dataclass(frozen=True)
class BoostedTrees:
    """A binary classifier (Friedman 2001, "Greedy function approximation: a gradient boosting machine", Ann. Stat. 29).

    Attributes
    ----------
    feature : (N,) ndarray of int32
        Feature that each node compares.
    threshold : (N,) ndarray of float64
        Samples go left if their feature is at most this.
    left, right : (N,) ndarray of int32
        Children, which come after their parent; -1 in leaves.
    value : (N,) ndarray of float64
        Term that a leaf adds to the log odds.
    roots : (T,) ndarray of int32
        First node of each tree.
    baseline : (1,) ndarray of float64
        Log odds before the first tree.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]
    baseline: NDArray[np.float64]

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of the second class of N samples from their features (K, N)."""
        samples = np.ascontiguousarray(features, np.float32)
        # Starting threads takes longer than the trees of a few samples.
        evaluate = _evaluate if samples.shape[1] >= MANY else _evaluate_few
        found: NDArray[np.float32] = evaluate(
            samples,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.value,
            self.roots,
            self.baseline[0],
        )
        return found

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return all arrays by names that start with the prefix."""
        return {f"{prefix}.{one.name}": getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str, feature_count: int) -> "BoostedTrees":
        """Take the arrays of `arrays`, and check that each sample ends in a leaf.

        Raises
        ------
        NetworkError
            If arrays are missing or are no trees over that number of features.
        """
        try:
            found = cls(**{one.name: arrays[f"{prefix}.{one.name}"] for one in fields(cls)})
        except KeyError as error:
            raise NetworkError(f"array {error} is missing") from error
        count = len(found.value)
        inner = np.flatnonzero(found.left != LEAF)
        children = np.stack([found.left[inner], found.right[inner]])
        whole = (
            all(len(getattr(found, name)) == count for name in ("feature", "threshold", "left", "right"))
            and len(found.baseline) == 1
            and bool(((children > inner) & (children < count)).all())
            and bool(((found.feature[inner] >= 0) & (found.feature[inner] < feature_count)).all())
            and bool(((found.roots >= 0) & (found.roots < count)).all())
        )
        if not whole:
            raise NetworkError(f"{prefix} holds no decision trees over {feature_count} features")
        return found


NO_TREES = BoostedTrees(
    np.zeros(0, np.int32),
    np.zeros(0, np.float64),
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0, np.float64),
    np.zeros(0, np.int32),
    np.zeros(1),
)
"""A classifier that knows nothing: 0.5 for every sample."""


def fit_trees(
    features: NDArray[np.float32],
    classes: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    *,
    trees: int = 100,
    leaves: int = 31,
    least_samples: int = 20,
    seed: int = 0,
) -> BoostedTrees:
    """Fit trees to N samples with features (K, N), their classes and, if given, their weights.

    The result does not depend on the number of threads.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=trees,
        max_leaf_nodes=leaves,
        min_samples_leaf=least_samples,
        early_stopping=False,
        random_state=seed,
    ).fit(features.T, classes, sample_weight=weights)
    # scikit-learn has no public access to the nodes; a test compares the probabilities of both.
    parts = [predictors[0].nodes for predictors in model._predictors]
    starts = np.cumsum([0, *(len(nodes) for nodes in parts)])[:-1]
    nodes = np.concatenate(parts)
    offset = np.repeat(starts, [len(part) for part in parts])
    leaf = nodes["is_leaf"].astype(bool)
    return BoostedTrees(
        np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32),
        np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        np.where(leaf, LEAF, nodes["left"] + offset).astype(np.int32),
        np.where(leaf, LEAF, nodes["right"] + offset).astype(np.int32),
        nodes["value"].astype(np.float64),
        starts.astype(np.int32),
        np.asarray(model._baseline_prediction, np.float64).reshape(1),
    )


@njit(cache=True, nogil=True, parallel=True)
def _evaluate(features, feature, threshold, left, right, value, roots, baseline):  # type: ignore[no-untyped-def]
    out = np.empty(features.shape[1], np.float32)
    for n in prange(features.shape[1]):
        out[n] = _one(features, n, feature, threshold, left, right, value, roots, baseline)
    return out


@njit(cache=True, nogil=True)
def _evaluate_few(features, feature, threshold, left, right, value, roots, baseline):  # type: ignore[no-untyped-def]
    out = np.empty(features.shape[1], np.float32)
    for n in range(features.shape[1]):
        out[n] = _one(features, n, feature, threshold, left, right, value, roots, baseline)
    return out


@njit(cache=True, nogil=True)
def _one(features, n, feature, threshold, left, right, value, roots, baseline):  # type: ignore[no-untyped-def]
    total = baseline
    for root in roots:
        node = root
        while left[node] >= 0:
            node = left[node] if features[feature[node], n] <= threshold[node] else right[node]
        total += value[node]
    return np.float32(1 / (1 + np.exp(-total)))
