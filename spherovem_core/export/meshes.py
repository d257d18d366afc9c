"""Surface meshes of the labels of a finished run."""

from concurrent.futures import Executor
from pathlib import Path

from spherovem_core.execution import Progress
from spherovem_core.parameters import ShapeParameters
from spherovem_core.shape import MeshFormat, measure_labels
from spherovem_core.store import StoredArray


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
    folder
        Takes the files; it is made if it is not there.
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
        mesh_format=mesh_format,
        progress=progress,
    )
    return sum(1 for _ in folder.glob(f"*.{mesh_format}"))
