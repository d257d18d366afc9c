"""Surface meshes of labels as PLY, OBJ or STL."""

from concurrent.futures import Executor
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.execution import Progress
from spherovem_core.parameters import ShapeParameters
from spherovem_core.shape import measure_labels
from spherovem_core.store import StoredArray

MeshFormat = Literal["ply", "obj", "stl"]
MESH_FORMATS: tuple[MeshFormat, ...] = get_args(MeshFormat)
_PLY_NUMBERS = "<f4"
_STL_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_meshes(
    labels: StoredArray,
    folder: Path,
    mesh_format: MeshFormat,
    parameters: ShapeParameters,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the surface of every label to a file named by its number, in µm with axes x, y, z.

    The surfaces are those that the shape stage measures. A label that is too small or too thin for it has no file.

    Parameters
    ----------
    labels
        Cells or nuclei.
    mesh_format
        Format. Only ``ply`` holds the curvatures at the vertices.
    parameters
        Parameters of the shape stage, such as smoothing and the smallest label.

    Returns
    -------
    int
        Number of meshes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measure_labels(
        labels,
        labels.spacing_nm,
        parameters.model_copy(update={"write_meshes": True}),
        origin_nm=labels.origin_nm,
        executor=executor,
        mesh_folder=folder,
        progress=progress,
    )
    written = sorted(folder.glob("*.ply"))
    if mesh_format != "ply":
        for path in written:
            vertices, faces = read_ply(path)
            write = write_obj if mesh_format == "obj" else write_stl
            write(path.with_suffix(f".{mesh_format}"), vertices, faces)
            path.unlink()
    return len(written)


def read_ply(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Read a mesh written by `spherovem_core.shape`.

    Returns
    -------
    vertices : (N, 3) ndarray of float32
        Positions x, y, z in µm.
    faces : (M, 3) ndarray of int32
        Indices of the vertices of each triangle.

    Raises
    ------
    IncompleteArtifactError
        If the file is truncated, or is no such mesh.
    """
    content = path.read_bytes()
    head, end, body = content.partition(b"end_header\n")
    lines = head.decode("ascii", "replace").splitlines()
    counts = {parts[1]: int(parts[2]) for parts in map(str.split, lines) if parts[:1] == ["element"]}
    properties = sum(line.startswith("property float") for line in lines)
    face = np.dtype([("count", "u1"), ("vertices", "<i4", 3)])
    vertex_bytes = 4 * properties * counts.get("vertex", 0)
    if not end or len(body) != vertex_bytes + face.itemsize * counts.get("face", 0):
        raise IncompleteArtifactError(f"{path} is not a complete mesh of spherovem; export it again")
    vertices = np.frombuffer(body[:vertex_bytes], _PLY_NUMBERS).reshape(-1, properties)[:, :3]
    faces = np.frombuffer(body[vertex_bytes:], face)["vertices"]
    return vertices.astype(np.float32), faces.astype(np.int32)


def write_obj(path: Path, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
    """Write a mesh as Wavefront OBJ."""
    with path.open("w", encoding="ascii") as file:
        file.write("# lengths in um\n")
        np.savetxt(file, vertices, fmt="v %.7g %.7g %.7g")
        np.savetxt(file, faces + 1, fmt="f %d %d %d")


def write_stl(path: Path, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
    """Write a mesh as binary STL, with the normals of its triangles."""
    facets = np.zeros(len(faces), _STL_FACET)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    facets["corners"] = corners
    header = b"binary STL, lengths in um".ljust(80)
    path.write_bytes(header + np.uint32(len(facets)).astype("<u4").tobytes() + facets.tobytes())
