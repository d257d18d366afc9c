"""Shape of labelled objects: voxel measures, surface area, curvature, fractal dimension."""

from spherovem_core.shape.measure import measure_labels

__all__ = ["measure_labels"]
