"""Shape of labelled objects: voxel measures, surface area, curvature, fractal dimension."""

from spherovem_core.shape.measure import measure_labels
from spherovem_core.shape.meshes import MESH_FORMATS, MeshFormat

__all__ = ["MESH_FORMATS", "MeshFormat", "measure_labels"]
