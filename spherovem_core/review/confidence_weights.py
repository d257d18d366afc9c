"""Log odds that an object is right, by feature, fitted to segmented phantoms.

``benchmarks/confidence.py --fit`` prints them.
"""

from collections.abc import Mapping

from spherovem_core.object_kinds import ObjectKind

BIAS: Mapping[ObjectKind, float] = {"cells": -29.918, "nuclei": -19.900}
"""Log odds where all features are 0."""

WEIGHTS: Mapping[ObjectKind, Mapping[str, float]] = {
    "cells": {
        "merge": -0.327,
        "split": -0.436,
        "flow_error": -2.561,
        "flow_length": 4.567,
        "small": 0.000,
        "large": -0.559,
        "solidity": 9.718,
        "no_nucleus": -0.141,
        "edge": 2.224,
        "fall": 2.711,
        "divergence": 7.050,
    },
    "nuclei": {
        "merge": -0.422,
        "split": -0.116,
        "flow_error": -3.356,
        "flow_length": 0.000,
        "small": 0.000,
        "large": 0.000,
        "solidity": 14.927,
        "no_nucleus": 0.000,
        "edge": 1.617,
        "fall": 2.958,
        "divergence": 19.913,
    },
}
"""Log odds per unit of each feature of `confidence_features`."""
