"""Results in formats of other programs: CSV tables, OME-TIFF labels, surface meshes."""

from spherovem_core.output.export.labels import write_label_tiff
from spherovem_core.output.export.meshes import write_meshes
from spherovem_core.output.export.tables import write_csv, write_units
from spherovem_core.output.export.target import ExportTarget
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
