"""Features of contacts and cuts, relative to what is usual in this acquisition."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spherovem_core.review.cuts import Cut
from spherovem_core.review.examination import Contact, Examined
from spherovem_core.review.faces import FaceEvidence

FEWEST = 10
"""Contacts from which the usual boundary is learnt; with fewer it is that of the objects' whole surfaces."""

LEAST_AREA_FRACTION = 0.02
"""Contacts below this fraction of the smaller object's surface say nothing: objects touch at an edge."""

CONFIDENT = 1.5
"""Bound of a relative strength, up and down."""

SCRAP = 0.05
"""Fraction of the usual volume below which an object is a scrap: few voxels, each with a part of its neighbours' boundary."""

Features = dict[str, float]


@dataclass(frozen=True)
class Usual:
    """Usual figures of this acquisition; NaN where the source is absent.

    Attributes
    ----------
    gradient, logit
        Median rise of the boundary gradient, and median fall of the logit, from the inside of objects to their contacts.
    divergence
        Median parting of the flows at contacts.
    volume_um3
        Median volume of the objects that the border does not cut, or of all.
    flow_length, flow_error
        Medians over the objects.
    """

    gradient: float
    logit: float
    divergence: float
    volume_um3: float
    flow_length: float
    flow_error: float


def usual_figures(objects: Sequence[Examined], whole: Mapping[int, bool]) -> Usual:
    """Learn what is usual from all objects and their contacts."""
    by_label = {one.label: one for one in objects}
    contacts = [
        (contact.faces, one, by_label[contact.other])
        for one in objects
        for contact in one.contacts
        if contact.other in by_label and one.label < contact.other
    ]
    if len(contacts) < FEWEST:
        contacts += [(one.rim, one, one) for one in objects if one.rim is not None]
    volumes = [one.volume_um3 for one in objects if whole.get(one.label, True)]
    return Usual(
        _median(_rise(faces, a, b) for faces, a, b in contacts),
        _median(_fall(faces, a, b) for faces, a, b in contacts),
        _median(faces.divergence for faces, _, _ in contacts),
        _median(volumes if len(volumes) >= 5 else [one.volume_um3 for one in objects]),
        _median(one.flow_length for one in objects),
        _median(one.flow_error for one in objects),
    )


def contact_features(one: Examined, other: Examined, contact: Contact, usual: Usual) -> Features:
    """Describe a contact by features that speak for (positive) or against one object on both sides."""
    faces = contact.faces
    small, large = sorted((one, other), key=lambda each: each.volume_um3)
    hulls = one.hull_um3 + other.hull_um3
    surface = small.rim.area_um2 if small.rim is not None else faces.area_um2
    features = _boundary_features(
        faces, (one.gradient + other.gradient) / 2, (one.logit + other.logit) / 2, usual
    )
    known = not math.isnan(faces.nucleus)
    features |= {
        "waist": _clip(math.log(contact.union_hull_um3 / hulls), -0.5, 0.5),
        "contact": _clip(faces.area_um2 / max(surface, 1e-9), 0, 0.6),
        "nucleus_cut": _clip(faces.nucleus, 0, 0.3) if known else 0.0,
        "one_nucleus": float(known and small.nuclei + large.nuclei == 1),
        "two_nuclei": float(known and min(small.nuclei, large.nuclei) > 0),
        "small": _clip(-math.log(small.volume_um3 / usual.volume_um3), -1, -math.log(SCRAP)),
        "scrap": scrap(small.volume_um3, usual),
        "union": _clip(math.log((small.volume_um3 + large.volume_um3) / usual.volume_um3), -1, 2),
    }
    return features


def cut_features(one: Examined, cut: Cut, usual: Usual, whole: bool) -> Features:
    """Describe a cut by features that speak for (positive) or against two objects in one.

    The parts of an object that the border of the volume cuts are compared with its own volume where that is smaller than usual.
    """
    reference = usual.volume_um3 if whole else min(usual.volume_um3, one.volume_um3)
    features = _boundary_features(cut.faces, one.gradient, one.logit, usual)
    known = not math.isnan(cut.faces.nucleus)
    total = sum(cut.volumes_um3)
    features |= {
        "waist": _clip(math.log(cut.hull_ratio), -0.5, 0.5),
        "neck": _clip(cut.neck, 0, 4),
        "enclosed": _clip(cut.enclosed, 0, 1),
        "nucleus_cut": _clip(cut.faces.nucleus, 0, 0.3) if known else 0.0,
        "two_nuclei": float(known and min(cut.nuclei) > 0),
        "one_nucleus": float(known and sum(cut.nuclei) > 0 and min(cut.nuclei) == 0),
        "fraction": _clip(math.log(2 * cut.volumes_um3[0] / total), -3, 0),
        "volume": _clip(math.log(one.volume_um3 / usual.volume_um3), -2, 2),
        "part": _clip(math.log(cut.volumes_um3[0] / reference), -3, 1),
    }
    return features


def scrap(volume_um3: float, usual: Usual) -> float:
    """Return by how many powers of e a volume is smaller than that of the largest scrap, up to 3."""
    return _clip(math.log(SCRAP * usual.volume_um3 / volume_um3), 0, 3)


def _boundary_features(faces: FaceEvidence, gradient: float, logit: float, usual: Usual) -> Features:
    """Return relative strengths: 0 half as strong as usual, 0.5 as usual, -0.5 no boundary; 0 if the source is absent."""
    return {
        "image": _strength(faces.gradient - gradient, usual.gradient),
        "image_low": _strength(faces.gradient_low - gradient, usual.gradient),
        "probability": _strength(logit - faces.logit, usual.logit),
        "flows": _strength(faces.divergence, usual.divergence),
    }


def _strength(value: float, usual: float) -> float:
    if math.isnan(value) or math.isnan(usual) or usual <= 0:
        return 0.0
    return _clip(value / usual - 0.5, -CONFIDENT, CONFIDENT)


def _rise(faces: FaceEvidence, one: Examined, other: Examined) -> float:
    return faces.gradient - (one.gradient + other.gradient) / 2


def _fall(faces: FaceEvidence, one: Examined, other: Examined) -> float:
    return (one.logit + other.logit) / 2 - faces.logit


def _clip(value: float, low: float, high: float) -> float:
    return float(min(max(value, low), high))


def _median(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")
