"""Confidence of cells and nuclei: fit on segmented phantoms, and calibration on others.

Phantoms of several kinds are segmented with the compact network at two probability thresholds, as they are and with planted
merges and splits. `--fit` prints the weights from the phantoms of `FIT`. Without it the confidence is compared with the fraction
of right objects on the phantoms of `TEST`, whose seeds the fit never saw, in bins of equal count, and its power to tell right
from wrong ones is stated.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _confidence_rows import RIGHT_IOU, confidence_rows
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

from spherovem_core.review.confidence import BOUNDS, confidence_of
from spherovem_core.review.confidence_weights import WEIGHTS

FIT = (("bulk", 1), ("edge", 2), ("thick slices", 3), ("bulk", 4), ("edge", 5))
TEST = (("bulk", 11), ("edge", 12), ("thick slices", 13))
"""Kind and seed of each phantom."""

PENALTY = 0.005
"""Of the sum of squared weights, per standard deviation of the feature."""

SIGNS = {
    "merge": -1, "split": -1, "flow_error": -1, "flow_length": 1, "small": -1, "large": -1, "solidity": 1, "no_nucleus": -1,
    "edge": 1, "fall": 1, "divergence": 1,
}  # fmt: skip
"""Sign that the weight of each feature must have by its meaning."""

BINS = 5
NAMES = tuple(SIGNS)


def rows_of(cases: tuple[tuple[str, int], ...], folder: Path) -> pd.DataFrame:
    """Segment phantoms, or read what was found before."""
    rows: list[dict[str, Any]] = []
    for case, seed in cases:
        path = folder / f"{case.replace(' ', '_')}-{seed}.jsonl"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(json.dumps(row) for row in confidence_rows(case, seed)))
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    frame = pd.DataFrame(rows)
    for name, (low, high) in BOUNDS.items():
        frame[name] = frame[name].clip(low, high)
    return frame


def fit(rows: pd.DataFrame) -> None:
    """Fit and print the weights of each kind."""
    for kind in WEIGHTS:
        own = rows[rows["kind"] == kind]
        features = own[list(NAMES)].to_numpy(float)
        right = own["iou"].to_numpy() > RIGHT_IOU
        scale = np.maximum(features.std(axis=0), 1e-6)
        bias, weights = _logistic((features - features.mean(axis=0)) / scale, right)
        weights = np.where(features.std(axis=0) < 1e-6, 0.0, weights / scale)
        bias -= float(weights @ features.mean(axis=0))
        print(f"# {kind}: {len(own)} objects, {int(right.sum())} of them right")
        print(f'BIAS["{kind}"] = {bias:.3f}')
        for name, weight in zip(NAMES, weights, strict=True):
            print(f'        "{name}": {weight + 0.0:.3f},')


def _logistic(features: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, NDArray[np.float64]]:
    sign = np.where(right, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> float:
        odds = values[0] + features @ values[1:]
        return float(np.logaddexp(0, -sign * odds).mean() + PENALTY / 2 * (values[1:] ** 2).sum())

    signs = np.array(list(SIGNS.values()))
    low, high = np.where(signs > 0, 0.0, -np.inf), np.where(signs > 0, np.inf, 0.0)
    bounds = Bounds(np.append(-np.inf, low), np.append(np.inf, high))
    found = minimize(loss, np.zeros(features.shape[1] + 1), method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]


def reliability(rows: pd.DataFrame) -> None:
    """Print the fraction of right objects by confidence."""
    print("kind, labels: objects, right; AUROC; confidence and fraction right by bin; largest difference")
    groups = [*rows.groupby(["kind", "labels"]), *rows.assign(labels="both").groupby(["kind", "labels"])]
    for (kind, labels), own in groups:
        records = own[list(NAMES)].to_dict("records")
        confidence = np.array([confidence_of(kind, record) for record in records])
        right = own["iou"].to_numpy() > RIGHT_IOU
        order = np.argsort(confidence, kind="stable")
        bins = [part for part in np.array_split(order, BINS) if len(part)]
        pairs = [(confidence[part].mean(), right[part].mean()) for part in bins]
        largest = max(abs(stated - found) for stated, found in pairs)
        print(
            f"{kind:7s} {labels:9s} {len(own):5d} {right.mean():.3f}  {auroc(confidence, right):.3f}  "
            + "  ".join(f"{stated:.2f}/{found:.2f}" for stated, found in pairs)
            + f"  {largest:.3f}"
        )


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the area under the receiver operating characteristic; NaN if all are of one class."""
    ranks = pd.Series(scores).rank().to_numpy()
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit and print the weights")
    parser.add_argument(
        "--rows", type=Path, default=Path("build/confidence"), help="folder for the objects of each phantom"
    )
    options = parser.parse_args()
    if options.fit:
        fit(rows_of(FIT, options.rows))
    else:
        reliability(rows_of(TEST, options.rows))


if __name__ == "__main__":
    main()
