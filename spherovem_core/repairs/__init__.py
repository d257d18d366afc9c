"""Repairs of acquired slices on their way into denoising: shading, contrast from slice to slice, stripes."""

from spherovem_core.repairs.contrast import SliceContrast, match_contrast, measure_cells
from spherovem_core.repairs.estimate import Repairs, estimate_repairs
from spherovem_core.repairs.repaired_stack import RepairedStack
from spherovem_core.repairs.shading import Shading, estimate_shading
from spherovem_core.repairs.stripes import Stripes, find_stripes, remove_stripes

__all__ = [
    "RepairedStack",
    "Repairs",
    "Shading",
    "SliceContrast",
    "Stripes",
    "estimate_repairs",
    "estimate_shading",
    "find_stripes",
    "match_contrast",
    "measure_cells",
    "remove_stripes",
]
