"""Fit of the log odds of the review to planted errors."""

from collections.abc import Iterator, Sequence

import numpy as np
from _planted_errors import plant_errors
from _review_bases import Base
from numpy.typing import NDArray
from scipy.optimize import minimize

from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.review import ReviewLevel
from spherovem_core.review.examination import Examined
from spherovem_core.review.features import (
    LEAST_AREA_FRACTION,
    Features,
    contact_features,
    cut_features,
    usual_figures,
)
from spherovem_core.review.suspects import examine_all

SIGNS = {
    "contact": {
        "contact": 1, "flows": -1, "image": -1, "image_low": -1, "nucleus_cut": 1, "one_nucleus": 1,
        "probability": -1, "scrap": -1, "small": 1, "two_nuclei": -1, "union": -1, "waist": -1,
    },
    "cut": {
        "enclosed": -1, "flows": 1, "fraction": 1, "image": 1, "image_low": 1, "neck": -1, "nucleus_cut": -1,
        "one_nucleus": -1, "part": 1, "probability": 1, "two_nuclei": 1, "volume": 1, "waist": 1,
    },
}  # fmt: skip
"""Sign that the weight of each kind of evidence must have."""

SOURCES = (("image", "image_low"), ("probability", "flows"), ("nucleus_cut", "one_nucleus", "two_nuclei"))
LEFT_OUT = ((), (0,), (1,), (2,), (1, 2), (0, 1), (0, 2))
"""Sources that are set to 0 in turn, so that the weights suit volumes without them."""

PENALTY = 0.0005
PURE, IMPURE = 0.9, 0.7
"""Fraction of an object in one true cell from which it is no merge, and below which its contacts are left out."""

Row = tuple[str, Features, bool]


def fit_weights(bases: Sequence[Base]) -> None:
    """Fit and print the weights."""
    rows = [row for n, base in enumerate(bases) for row in labelled_rows(base, n)]
    for kind, signs in SIGNS.items():
        names = sorted(signs)
        chosen = [row for row in rows if row[0] == kind]
        features = np.array([[row[1][name] for name in names] for row in chosen])
        wrong = np.array([row[2] for row in chosen])
        bias, *weights = _fit(features, wrong, names, signs)
        print(f"{kind}: {len(chosen)} rows, {int(wrong.sum())} of errors; bias {bias:.2f}")
        for name, weight in zip(names, weights, strict=True):
            print(f'    "{name}": {weight + 0.0:.2f},')


def labelled_rows(base: Base, seed: int) -> Iterator[Row]:
    """Plant errors and yield every contact and cut whose truth is clear, with its features."""
    spacing = np.array(base.spacing_nm) / 1000
    labels, _ = plant_errors(base.labels, spacing, base.usable(), np.random.default_rng(seed))
    level = ReviewLevel(labels, base.spacing_nm, image=base.image, nuclei=base.nuclei)
    statistics = collect_label_statistics(labels)
    whole = dict(zip(statistics.labels.tolist(), (statistics.cuts == 0).all(axis=1).tolist(), strict=True))
    objects = examine_all([level], statistics, base.flows)
    by_label = {one.label: one for one in objects}
    usual = usual_figures(objects, whole)
    overlap = base.overlap(labels)
    cells = overlap[:, 1:].argmax(axis=1) + 1
    purity = overlap[np.arange(len(overlap)), cells] / np.maximum(overlap.sum(axis=1), 1)
    for one in objects:
        for contact in one.contacts:
            other = by_label.get(contact.other)
            if other is None or other.label < one.label or min(purity[[one.label, other.label]]) < IMPURE:
                continue
            small = min(one, other, key=lambda each: each.volume_um3)
            if contact.faces.area_um2 >= LEAST_AREA_FRACTION * small.rim.area_um2:
                wrong = bool(cells[one.label] == cells[other.label])
                yield "contact", contact_features(one, other, contact, usual), wrong
        yield from _cuts(base, one, overlap, purity, usual, whole)


def _cuts(
    base: Base, one: Examined, overlap: NDArray[np.int64], purity: NDArray[np.float64], usual, whole
) -> Iterator[Row]:
    second = np.argsort(overlap[one.label, 1:])[-2] + 1
    common = overlap[one.label, second]
    joined = common > 0.08 * overlap[one.label].sum() and common > 0.4 * overlap[:, second].sum()
    for cut in one.cuts:
        features = cut_features(one, cut, usual, whole[one.label])
        index = np.rint(cut.seeds_um * 1000 / np.array(base.spacing_nm)).astype(int)
        ends = {int(base.truth[tuple(i)]) for i in np.clip(index, 0, np.array(base.truth.shape) - 1)}
        if joined and len(ends - {0}) == 2:
            yield "cut", features, True
        elif not joined and purity[one.label] > PURE:
            yield "cut", features, False


def _fit(
    features: NDArray[np.float64], wrong: NDArray[np.bool_], names: Sequence[str], signs: dict[str, int]
) -> NDArray[np.float64]:
    variants = []
    for left_out in LEFT_OUT:
        variant = features.copy()
        for source in left_out:
            variant[:, [n for n, name in enumerate(names) if name in SOURCES[source]]] = 0
        variants.append(variant)
    every, truth = np.concatenate(variants), np.tile(wrong, len(variants))
    share = np.where(truth, 0.5 / max(truth.sum(), 1), 0.5 / max((~truth).sum(), 1))

    def loss(values: NDArray[np.float64]) -> float:
        odds = (every @ values[1:] + values[0]) * (2 * truth - 1)
        return float((share * np.logaddexp(0, -odds)).sum() + PENALTY * (values[1:] ** 2).sum())

    bounds = [(None, None), *((0, None) if signs[name] > 0 else (None, 0) for name in names)]
    return minimize(loss, np.zeros(len(names) + 1), method="L-BFGS-B", bounds=bounds).x
