"""Shape of labelled objects: voxel measures, surface area, curvature, fractal dimension."""

from spherovem_core.shape.known_surfaces import KnownSurfaces, remove_stale_meshes
from spherovem_core.shape.measure import measure_labels
from spherovem_core.shape.meshes import MESH_FORMATS, MeshFormat

__all__ = ["MESH_FORMATS", "KnownSurfaces", "MeshFormat", "measure_labels", "remove_stale_meshes"]
