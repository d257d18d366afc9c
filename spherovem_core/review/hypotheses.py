"""Hypotheses about objects, with their log odds and reasons: two parts of one object, two objects in one, or just odd."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spherovem_core.review import weights
from spherovem_core.review.cuts import Cut
from spherovem_core.review.examination import Contact, Examined
from spherovem_core.review.features import (
    LEAST_AREA_FRACTION,
    Features,
    Usual,
    contact_features,
    cut_features,
)

NOTABLE = 0.4
"""Log odds from which a kind of evidence is named as a reason."""

SECOND_PIECE = 0.02
"""Fraction of an object in a second, separate piece from which it is a suspect."""

PIECES, PIECES_AT_BORDER = 4.0, 0.0
"""Log odds of an object in pieces, and of one that the border of the volume cuts."""

CONTACT_REASONS: Mapping[str, str] = {
    "image": "no boundary to the neighbour",
    "image_low": "no boundary to the neighbour",
    "probability": "no dip of the probability",
    "flows": "flows cross the contact",
    "nucleus_cut": "a nucleus cut in two",
    "one_nucleus": "one of both has no nucleus",
    "waist": "convex with the neighbour",
    "contact": "large contact",
    "union": "small with the neighbour",
    "small": "small",
}
CUT_REASONS: Mapping[str, str] = {
    "image": "boundary inside",
    "image_low": "boundary inside",
    "probability": "dip of the probability inside",
    "flows": "flows part inside",
    "two_nuclei": "two nuclei",
    "waist": "hourglass",
    "neck": "hourglass",
    "volume": "large volume",
    "part": "large parts",
    "fraction": "large parts",
}


@dataclass(frozen=True)
class Hypothesis:
    """An error that may have been made.

    Attributes
    ----------
    label, other
        The object, and the neighbour it may belong to; 0 for none.
    operation
        ``merge`` with the other, ``split`` between two seeds, ``delete`` or ``look``.
    score
        Log odds.
    reasons
        Kinds of evidence, the strongest first.
    figures
        Figures of the evidence, as parts of a sentence.
    place_um : (3,) ndarray
        Where to look.
    seeds_um : (2, 3) ndarray
        A point in each part; NaN where there is none.
    """

    label: int
    other: int
    operation: str
    score: float
    reasons: tuple[str, ...]
    figures: tuple[str, ...]
    place_um: NDArray[np.float64]
    seeds_um: NDArray[np.float64] = field(default_factory=lambda: np.full((2, 3), np.nan))


def one_in_two(one: Examined, other: Examined, contact: Contact, usual: Usual) -> Hypothesis | None:
    """Judge whether two neighbours are one object; None if they touch at an edge only."""
    small, large = sorted((one, other), key=lambda each: (each.volume_um3, each.label))
    surface = small.rim.area_um2 if small.rim is not None else contact.faces.area_um2
    if contact.faces.area_um2 < LEAST_AREA_FRACTION * surface:
        return None
    features = contact_features(one, other, contact, usual)
    score, reasons = weigh(features, weights.CONTACT, weights.CONTACT_BIAS, CONTACT_REASONS)
    figures = [
        *_boundary_figures(features, "the contact"),
        f"the contact is {100 * contact.faces.area_um2 / max(surface, 1e-9):.0f} % of the smaller one's surface",
        f"volumes {small.volume_um3:.3g} and {large.volume_um3:.3g} µm³ (usual {usual.volume_um3:.3g})",
    ]
    if contact.faces.nucleus > 0:
        figures.append(f"{100 * contact.faces.nucleus:.0f} % of the contact lies within a nucleus")
    return Hypothesis(
        small.label,
        large.label,
        "merge",
        score,
        reasons,
        tuple(figures),
        contact.faces.centre_um,
        np.stack([small.inside_um, large.inside_um]),
    )


def two_in_one(one: Examined, usual: Usual, whole: bool) -> Hypothesis | None:
    """Judge whether an object is two, by the best of its cuts; None without a cut.

    An object that the border of the volume cuts may be in pieces by that.
    """
    if one.second_piece > SECOND_PIECE:
        return Hypothesis(
            one.label,
            0,
            "split",
            PIECES if whole else PIECES_AT_BORDER,
            ("in pieces",),
            (f"a separate piece has {100 * one.second_piece:.0f} % of the volume",),
            one.pieces_um[1],
            one.pieces_um[:2],
        )
    found = [_judge(one, cut, usual, whole) for cut in one.cuts]
    return max(found, key=lambda each: each.score, default=None)


def _judge(one: Examined, cut: Cut, usual: Usual, whole: bool) -> Hypothesis:
    features = cut_features(one, cut, usual, whole)
    score, reasons = weigh(features, weights.CUT, weights.CUT_BIAS, CUT_REASONS)
    figures = [
        *_boundary_figures(features, "the cut"),
        f"parts of {cut.volumes_um3[0]:.3g} and {cut.volumes_um3[1]:.3g} µm³ (usual {usual.volume_um3:.3g})",
        f"the convex hull is {cut.hull_ratio:.2f} of those of the parts",
    ]
    if sum(cut.nuclei):
        figures.append(f"nuclei in the parts: {cut.nuclei[0]} and {cut.nuclei[1]}")
    return Hypothesis(
        one.label, 0, "split", score, reasons, tuple(figures), cut.faces.centre_um, cut.seeds_um
    )


def weigh(
    features: Features, factors: Mapping[str, float], bias: float, names: Mapping[str, str]
) -> tuple[float, tuple[str, ...]]:
    """Add up log odds; return the sum and the reasons of those that speak for the error, the strongest first."""
    parts = {name: factors[name] * value for name, value in features.items()}
    by_reason: dict[str, float] = {}
    for name, value in parts.items():
        if value > 0 and name in names:
            by_reason[names[name]] = by_reason.get(names[name], 0.0) + value
    reasons = sorted((r for r, value in by_reason.items() if value >= NOTABLE), key=lambda r: -by_reason[r])
    return weights.PRIOR + bias + sum(parts.values()), tuple(reasons)


def _boundary_figures(features: Features, where: str) -> list[str]:
    """Say how strong the boundary is, relative to that between neighbours; features are 0 for absent sources."""
    sources = (("image", "image"), ("probability", "probability"), ("flows", "flows"))
    known = [f"{name} {100 * (features[key] + 0.5):.0f} %" for key, name in sources if features[key] != 0.0]
    return [f"boundary at {where}, of the usual one: {', '.join(known)}"] if known else []
