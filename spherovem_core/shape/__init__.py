"""Shape of labelled objects: voxel measures, surface area, curvature, fractal dimension."""

from typing import TYPE_CHECKING

from spherovem_core.utils.lazy_names import lazy_names

if TYPE_CHECKING:
    from spherovem_core.shape.known_surfaces import KnownSurfaces, remove_stale_meshes
    from spherovem_core.shape.measure import measure_labels
    from spherovem_core.shape.meshes import MESH_FORMATS, MeshFormat

__getattr__ = lazy_names(__name__, __file__)

__all__ = ["MESH_FORMATS", "KnownSurfaces", "MeshFormat", "measure_labels", "remove_stale_meshes"]
