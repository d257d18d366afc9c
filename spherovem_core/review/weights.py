"""Log odds of the kinds of evidence, fitted to errors planted in phantoms.

``benchmarks/review.py --fit`` prints them: a logistic regression in which each weight keeps the sign that the evidence has by its
meaning, on volumes in which image, flows and nuclei are left out in turn, so that a missing source weighs nothing. Errors
and correct objects weigh the same there; `PRIOR` takes into account that errors are rare.
"""

from collections.abc import Mapping

PRIOR = -2.5
"""Log odds that any one contact or cut is an error: 1 in 13."""

CONTACT_BIAS = 0.67
CONTACT: Mapping[str, float] = {
    "contact": 3.07,
    "flows": -1.26,
    "image": -1.12,
    "image_low": -3.45,
    "nucleus_cut": 2.74,
    "one_nucleus": 0.31,
    "probability": -3.39,
    "small": 0.0,
    "two_nuclei": -2.19,
    "union": -1.71,
    "waist": -5.44,
}
"""Weights for one object on both sides of a contact."""

CUT_BIAS = 4.77
CUT: Mapping[str, float] = {
    "enclosed": 0.0,
    "flows": 1.99,
    "fraction": 0.0,
    "image": 0.0,
    "image_low": 1.9,
    "neck": -1.03,
    "nucleus_cut": -1.48,
    "one_nucleus": 0.0,
    "part": 2.22,
    "probability": 0.42,
    "two_nuclei": 1.3,
    "volume": 0.0,
    "waist": 2.97,
}
"""Weights for two objects on both sides of a cut."""
