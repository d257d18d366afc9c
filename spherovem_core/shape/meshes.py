"""Surface meshes with curvatures at their vertices, as PLY."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from spherovem_core.shape.descriptors import Layer, shape_index
from spherovem_core.spacing import NM_PER_UM, SpacingNm

VERTEX_PROPERTIES = ("x", "y", "z", "mean_curvature", "gaussian_curvature", "shape_index", "curvedness")


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in µm.

    Attributes
    ----------
    vertices : (N, 3) ndarray of float64
        z, y, x.
    faces : (M, 3) ndarray of int64
        Vertex numbers, counter-clockwise seen from outside in a right-handed x, y, z frame.
    mean_curvature, gaussian_curvature, shape_index, curvedness : (N,) ndarray of float64
        In 1/µm, 1/µm², pure number, 1/µm.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    mean_curvature: NDArray[np.float64]
    gaussian_curvature: NDArray[np.float64]
    shape_index: NDArray[np.float64]
    curvedness: NDArray[np.float64]


def build_mesh(layer: Layer, spacing_nm: SpacingNm, origin_nm: SpacingNm = (0.0, 0.0, 0.0)) -> Mesh:
    """Triangulate a label's surface by marching cubes; what lies beyond the volume's border is left out.

    Curvatures are those of the surface's sample points, which lie on the same grid lines as the vertices; a vertex
    moves to where its sample point was before the smoothing.
    """
    found, faces, _, _ = marching_cubes(layer.distance, 0.0, spacing=layer.grid.spacing_nm)
    found = found + layer.grid.centre_of_first_cell(spacing_nm)
    points = layer.everywhere
    nearest = np.asarray(cKDTree(layer.level).query(found)[1])
    vertices = found + (points.position - layer.level)[nearest]
    keep = layer.inside[nearest]
    faces = faces[keep[faces].all(axis=1)]
    used, faces = np.unique(faces, return_inverse=True)
    point = nearest[used]
    mean, gaussian = points.mean_curvature[point] * NM_PER_UM, points.gaussian_curvature[point] * NM_PER_UM**2
    return Mesh(
        vertices=(vertices[used] + origin_nm) / NM_PER_UM,
        faces=faces.reshape(-1, 3)[:, ::-1],
        mean_curvature=mean,
        gaussian_curvature=gaussian,
        shape_index=shape_index(mean, gaussian),
        curvedness=np.sqrt(np.maximum(2 * mean**2 - gaussian, 0)),
    )


def write_ply(path: Path, mesh: Mesh) -> None:
    """Write a mesh as binary PLY (x, y, z and curvatures as float32), whole or not at all."""
    columns = [mesh.vertices[:, 2], mesh.vertices[:, 1], mesh.vertices[:, 0]]
    columns += [mesh.mean_curvature, mesh.gaussian_curvature, mesh.shape_index, mesh.curvedness]
    vertices = np.column_stack(columns).astype("<f4")
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("vertices", "<i4", 3)])
    faces["count"], faces["vertices"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", "comment lengths in um, curvatures in 1/um and 1/um2"]
    header += [f"element vertex {len(vertices)}", *(f"property float {name}" for name in VERTEX_PROPERTIES)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes("\n".join(header).encode() + vertices.tobytes() + faces.tobytes())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
