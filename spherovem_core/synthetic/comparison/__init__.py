"""Comparison of the measurements on a phantom with its truth."""

from spherovem_core.synthetic.comparison.compare import compare_with_truth
from spherovem_core.synthetic.comparison.run_results import LabelImage, Measured, read_measured

__all__ = ["LabelImage", "Measured", "compare_with_truth", "read_measured"]
