"""Log odds of the kinds of evidence, fitted to errors planted in phantoms.

``benchmarks/review.py --fit`` prints them: a logistic regression in which each weight keeps the sign that the evidence has by its
meaning, on volumes in which image, flows and nuclei are left out in turn, so that a missing source weighs nothing. Errors
and correct objects weigh the same there; `PRIOR` takes into account that errors are rare.
"""

from collections.abc import Mapping

PRIOR = -2.5
"""Log odds that any one contact or cut is an error: 1 in 13."""

CONTACT_BIAS = -0.89
CONTACT: Mapping[str, float] = {
    "contact": 3.81,
    "flows": -2.57,
    "image": -0.3,
    "image_low": -2.89,
    "nucleus_cut": 2.45,
    "one_nucleus": 0.36,
    "probability": -2.82,
    "scrap": -2.6,
    "small": 0.0,
    "two_nuclei": -1.03,
    "union": -1.4,
    "waist": -5.27,
}
"""Weights for one object on both sides of a contact."""

CUT_BIAS = 2.99
CUT: Mapping[str, float] = {
    "enclosed": 0.0,
    "flows": 2.11,
    "fraction": 1.63,
    "image": 0.0,
    "image_low": 1.16,
    "neck": -0.95,
    "nucleus_cut": -1.61,
    "one_nucleus": 0.0,
    "part": 0.46,
    "probability": 1.43,
    "two_nuclei": 1.61,
    "volume": 1.77,
    "waist": 2.22,
}
"""Weights for two objects on both sides of a cut."""
