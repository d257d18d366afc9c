"""Export of results to formats of other programs: CSV tables, OME-TIFF labels, surface meshes."""

from spherovem_core.export.labels import write_label_tiff
from spherovem_core.export.meshes import write_meshes
from spherovem_core.export.tables import write_csv, write_units
from spherovem_core.export.target import ExportTarget
from spherovem_core.shape import MESH_FORMATS, MeshFormat

__all__ = [
    "MESH_FORMATS",
    "ExportTarget",
    "MeshFormat",
    "write_csv",
    "write_label_tiff",
    "write_meshes",
    "write_units",
]
