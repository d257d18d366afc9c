"""Ends of the interval of the shift of surfaces, in boundary units, fitted to segmented phantoms.

``benchmarks/intervals.py --parts objects --fit`` prints them.
"""

from collections.abc import Mapping

from spherovem_core.object_kinds import ObjectKind

MOST_COARSE = 0.26
"""Largest coarseness among the phantoms: slices of 240 nm for flows of 120 nm."""
WIDTHS: Mapping[ObjectKind, tuple[float, float]] = {"cells": (0.145, 0.321), "nuclei": (0.064, 0.127)}
"""Range of the width of boundaries among the phantoms: units over which the logit falls by one."""
LOW: Mapping[ObjectKind, tuple[float, float, float]] = {
    "cells": (0.153, -0.805, -1.320),
    "nuclei": (0.520, -9.372, -0.183),
}
"""Lower end: intercept, gain per width, and gain per coarseness."""
HIGH: Mapping[ObjectKind, tuple[float, float, float]] = {
    "cells": (0.742, 0.052, 0.715),
    "nuclei": (0.219, -0.767, -1.195),
}
"""Upper end."""
