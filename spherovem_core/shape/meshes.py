"""Surface meshes with curvatures at their vertices, written as PLY, OBJ or STL."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from spherovem_core.shape.curvature_spread import curvedness, shape_index
from spherovem_core.shape.smoothed_surface import SmoothedSurface
from spherovem_core.spacing import NM_PER_UM, SpacingNm

if TYPE_CHECKING:
    from trimesh import Trimesh

MeshFormat = Literal["ply", "obj", "stl"]
MESH_FORMATS: tuple[MeshFormat, ...] = get_args(MeshFormat)


def build_mesh(
    surface: SmoothedSurface, spacing_nm: SpacingNm, origin_nm: SpacingNm = (0.0, 0.0, 0.0)
) -> "Trimesh":
    """Triangulate a label's surface by marching cubes; the part beyond the volume's border is left out.

    Curvatures are those of the surface's sample points, which lie on the same grid lines as the vertices. A vertex moves to
    where its sample point was before the smoothing.

    Parameters
    ----------
    surface
        Surface of the label.
    spacing_nm, origin_nm
        Voxel size, and the position of the centre of voxel (0, 0, 0).

    Returns
    -------
    Trimesh
        Vertices x, y, z in µm; faces counter-clockwise seen from outside. `vertex_attributes` (float32): `mean_curvature` in
        1/µm, `gaussian_curvature` in 1/µm², `shape_index`, `curvedness` in 1/µm.
    """
    from trimesh import Trimesh

    found, faces, _, _ = marching_cubes(surface.distance, 0.0, spacing=surface.grid.spacing_nm)
    found = found + surface.grid.centre_of_first_cell(spacing_nm)
    points = surface.everywhere
    nearest = np.asarray(cKDTree(surface.level.position).query(found)[1])
    vertices = found + (points.position - surface.level.position)[nearest]
    keep = surface.inside[nearest]
    used, faces = np.unique(faces[keep[faces].all(axis=1)], return_inverse=True)
    point = nearest[used]
    mean, gaussian = points.mean_curvature[point] * NM_PER_UM, points.gaussian_curvature[point] * NM_PER_UM**2
    attributes = {
        "mean_curvature": mean,
        "gaussian_curvature": gaussian,
        "shape_index": shape_index(mean, gaussian),
        "curvedness": curvedness(mean, gaussian),
    }
    return Trimesh(
        vertices=((vertices[used] + origin_nm) / NM_PER_UM)[:, ::-1],
        faces=faces.reshape(-1, 3)[:, ::-1],
        vertex_attributes={name: values.astype(np.float32) for name, values in attributes.items()},
        process=False,
    )


def write_mesh(path: Path, mesh: "Trimesh") -> None:
    """Write a mesh in the format of the path's suffix, whole or not at all.

    A binary PLY (float32) carries the curvatures; OBJ and binary STL carry the surface alone. Each names its units in a comment
    or in its header.
    """
    mesh_format = path.suffix.removeprefix(".")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(_encode(mesh, mesh_format))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _encode(mesh: "Trimesh", mesh_format: str) -> bytes:
    from trimesh.exchange.obj import export_obj
    from trimesh.exchange.ply import export_ply
    from trimesh.exchange.stl import export_stl

    if mesh_format == "ply":
        comment = b"comment lengths in um, curvatures in 1/um and 1/um2\n"
        content = bytes(export_ply(mesh, vertex_normal=False))
        return content.replace(b"end_header\n", comment + b"end_header\n", 1)
    if mesh_format == "stl":
        return b"binary STL, lengths in um".ljust(80) + bytes(export_stl(mesh))[80:]
    text = export_obj(mesh, include_normals=False, include_color=False, header="lengths in um")
    return str(text).encode("ascii")
