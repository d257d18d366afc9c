"""The table of shape descriptors, measured label by label in bounding boxes."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.blocks import ArrayLike, map_blocks
from spherovem_core.errors import ParameterError
from spherovem_core.execution import Progress
from spherovem_core.label_statistics import LabelStatistics, collect_label_statistics
from spherovem_core.parameters import ShapeParameters
from spherovem_core.shape.descriptor_table import (
    COLUMNS,
    SURFACE,
    LabelVoxels,
    surface_measures,
    voxel_measures,
)
from spherovem_core.shape.descriptors import SurfaceDescriptors, describe_surface
from spherovem_core.shape.known_surfaces import KnownSurfaces, file_checksum
from spherovem_core.shape.label_grid import LabelBox
from spherovem_core.shape.meshes import MeshFormat, build_mesh, write_mesh
from spherovem_core.shape.smoothing_scales import choose_smoothing_scales
from spherovem_core.spacing import NM_PER_UM, SpacingNm
from spherovem_core.utils.accelerator import accelerator, select_accelerator


@dataclass(frozen=True)
class MeshTarget:
    """Folder and format of mesh files, and the position of voxel (0, 0, 0) in them."""

    folder: Path
    mesh_format: MeshFormat
    origin_nm: tuple[float, float, float]

    def path(self, label: int) -> Path:
        """Return the file of a label's mesh."""
        return self.folder / f"{label:06d}.{self.mesh_format}"


def measure_labels(
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters | None = None,
    *,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    executor: Executor | None = None,
    device: str = "cpu",
    mesh_folder: Path | None = None,
    mesh_format: MeshFormat = "ply",
    progress: Progress | None = None,
    known: KnownSurfaces | None = None,
) -> pd.DataFrame:
    """Measure the shape of every label.

    Volume is the voxel count times the voxel volume, which scatters less than any estimate from a surface. Area and
    curvatures come from the zero level of a signed distance, sampled where it crosses the grid lines
    (`spherovem_core.shape.surface`). Its smoothings follow from the voxel size and the label's thickness
    (`spherovem_core.shape.smoothing_scales`). The loss by smoothing is corrected: at curved surfaces through their
    curvature, at edges by extrapolation from two smoothings.

    A GPU computes the smoothing, the distances and the samples of the surface; its figures agree with the CPU's to the rounding
    of float32. Bounding boxes, outlines at the border and the fractal dimension are computed on the CPU in any case. On the
    CPU the first call in a fresh installation compiles the loops, which takes about fifteen seconds.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background. The volume is read once in blocks, then one bounding box at a time.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Parameters of the stage: smoothing, smallest label, meshes. None takes the defaults.
    origin_nm
        Position of the centre of voxel (0, 0, 0) in nm.
    executor
        Maps labels; None measures them in the calling thread.
    device
        ``cpu``, ``cuda``, ``cuda:n``, or ``auto`` for a GPU where one is usable.
    mesh_folder
        Folder for one mesh per label, if the parameters ask for meshes.
    mesh_format
        ``ply`` with curvatures at the vertices, ``obj`` or ``stl``.
    progress
        Called with (done, total) after each label.
    known
        Surfaces measured before. Labels whose voxels it knows are not measured, and those that are measured are added; the
        table is the same as without it.

    Returns
    -------
    DataFrame
        One row per label, in rising order. Bounding boxes are in voxels, ends exclusive. Curvatures are positive where the
        surface is convex, and their means are weighted by area. `surface_area_um2` leaves out the faces that the volume's
        border cuts, `truncated_fraction` is their fraction of the closed surface, and `sphericity` is that of the closed body.
        Inertia: principal moments per unit of mass, falling. A label with fewer voxels than `min_voxels`, or thinner than
        the smoothing, has NaN in its surface columns and the reason in `shape_note`.

    Raises
    ------
    ParameterError
        If the smoothing is smaller than the largest voxel side, or meshes are wanted and no folder is given.
    DeviceError
        If a GPU is asked for and none is usable.

    Examples
    --------
    A ball with a radius of 0.5 µm in voxels of 50 x 20 x 20 nm:

    >>> import numpy as np
    >>> from spherovem_core.shape import measure_labels
    >>> z, y, x = np.ogrid[-0.6:0.6:0.05, -0.6:0.6:0.02, -0.6:0.6:0.02]
    >>> labels = (z**2 + y**2 + x**2 <= 0.5**2).astype(np.uint32)
    >>> table = measure_labels(labels, (50.0, 20.0, 20.0))
    >>> table[["label", "volume_um3", "surface_area_um2", "sphericity"]].round(2)
       label  volume_um3  surface_area_um2  sphericity
    0      1        0.52              3.14         1.0
    """
    parameters = parameters or ShapeParameters()
    _check(spacing_nm, parameters, mesh_folder)
    meshes = (
        MeshTarget(mesh_folder, mesh_format, origin_nm) if parameters.write_meshes and mesh_folder else None
    )
    with accelerator(device) as gpu:
        return _measure(
            labels,
            spacing_nm,
            parameters,
            origin_nm,
            gpu.device,
            executor,
            meshes,
            progress,
            known or KnownSurfaces(),
        )


def _measure(
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters,
    origin_nm: tuple[float, float, float],
    device: str,
    executor: Executor | None,
    meshes: MeshTarget | None,
    progress: Progress | None,
    known: KnownSurfaces,
) -> pd.DataFrame:
    statistics = collect_label_statistics(labels, executor, known=known.statistics)
    contents = dict(zip(statistics.labels.tolist(), statistics.hashes, strict=True))
    outcomes: list[dict[str, Any]] = []
    jobs = []
    for job in _plan(statistics, labels.shape, spacing_nm):
        label = job.box.label
        outcome = known.find(contents[label], label, None if meshes is None else meshes.path(label))
        if outcome is None:
            jobs.append(job)
        else:
            outcomes.append(outcome)
    shared = (labels, spacing_nm, parameters, meshes, device)
    for job, outcome in map_blocks(_measure_one, jobs, *shared, executor=executor, ahead=64):
        known.add(contents[job.box.label], outcome)
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(statistics))
    surfaces = pd.DataFrame(outcomes, columns=["label", *SURFACE, "shape_note"])
    # Without a label, pandas could not infer the types.
    types: dict[str, Any] = {"label": statistics.labels.dtype, **dict.fromkeys(SURFACE, "float64")}
    surfaces = surfaces.astype(types).set_index("label")
    voxels = voxel_measures(statistics, spacing_nm, origin_nm)
    frame = voxels.join(surfaces, on="label")
    return frame[list(COLUMNS)].astype({"shape_note": "str"})


def _check(spacing_nm: SpacingNm, parameters: ShapeParameters, mesh_folder: Path | None) -> None:
    if parameters.smoothing_nm and parameters.smoothing_nm < max(spacing_nm):
        raise ParameterError(
            f"shape smoothing_nm is {parameters.smoothing_nm:g}, less than the largest voxel side of "
            f"{max(spacing_nm):g} nm; give that much or more, or leave it empty"
        )
    if parameters.write_meshes and mesh_folder is None:
        raise ParameterError("shape write_meshes is set but there is no folder for meshes: pass mesh_folder")


def _plan(statistics: LabelStatistics, shape: Sequence[int], spacing_nm: SpacingNm) -> list[LabelVoxels]:
    """List the labels in the order of their first slices, so that neighbours are read together."""
    face = np.prod(spacing_nm) / np.array(spacing_nm)
    depth, height, width = shape
    found = []
    for row in np.argsort(statistics.low[:, 0], kind="stable"):
        low, high = statistics.low[row].tolist(), statistics.high[row].tolist()
        box = LabelBox(int(statistics.labels[row]), tuple(low), tuple(high), (depth, height, width))
        found.append(
            LabelVoxels(
                box,
                int(statistics.voxel_count[row]),
                float(statistics.faces[row] @ face),
                float(statistics.cuts[row] @ face),
            )
        )
    return found


def _measure_one(
    label: LabelVoxels,
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters,
    meshes: MeshTarget | None,
    device: str,
) -> dict[str, Any]:
    """Measure one label; a surface that arithmetic fails on becomes NaN and a note.

    With meshes, the result holds the checksum of the mesh's file under `mesh`, empty for a label without a mesh.
    """
    volume = label.voxel_count * float(np.prod(spacing_nm))
    found = SurfaceDescriptors(note=f"fewer than {parameters.min_voxels} voxels")
    mesh_file = None
    if label.voxel_count >= parameters.min_voxels:
        extent = float(np.prod([b - a for a, b in zip(label.box.low, label.box.high, strict=True)]))
        scales = choose_smoothing_scales(
            volume,
            label.face_area_nm2 + label.cut_area_nm2,
            extent * float(np.prod(spacing_nm)),
            spacing_nm,
            parameters.smoothing_nm,
        )
        try:
            found, surface = describe_surface(
                labels,
                label.box,
                spacing_nm,
                scales,
                volume,
                select_accelerator(device),
                parameters.curvature_scale_um * NM_PER_UM,
            )
        except ArithmeticError as error:
            found, surface = SurfaceDescriptors(note=f"{type(error).__name__}: {error}"), None
        if meshes is not None and surface is not None:
            mesh_file = meshes.path(label.box.label)
            write_mesh(mesh_file, build_mesh(surface, spacing_nm, meshes.origin_nm))
    measures = surface_measures(label, found, volume)
    if meshes is not None:
        measures["mesh"] = file_checksum(mesh_file) if mesh_file else ""
    return measures
