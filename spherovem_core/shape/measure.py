"""The table of shape descriptors: every label of a volume, one bounding box at a time."""

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
from spherovem_core.shape.descriptors import SurfaceDescriptors, describe_surface
from spherovem_core.shape.meshes import build_mesh, write_ply
from spherovem_core.shape.occupancy import LabelBox
from spherovem_core.shape.scales import choose_scales
from spherovem_core.spacing import NM_PER_UM, SpacingNm, voxel_volume_um3
from spherovem_core.utils.accelerator import accelerator, select

BOUNDS = ("bbox_z0", "bbox_y0", "bbox_x0", "bbox_z1", "bbox_y1", "bbox_x1")
CENTROID = ("centroid_z_um", "centroid_y_um", "centroid_x_um")
INERTIA = ("inertia_1_um2", "inertia_2_um2", "inertia_3_um2")
SURFACE = (
    "surface_area_um2",
    "sphericity",
    "mean_curvature_mean_per_um",
    "mean_curvature_std_per_um",
    "gaussian_curvature_mean_per_um2",
    "gaussian_curvature_std_per_um2",
    "shape_index_mean",
    "shape_index_std",
    "curvedness_mean_per_um",
    "curvedness_std_per_um",
    "fractal_dimension",
    "fractal_r2",
    "fractal_low_um",
    "fractal_high_um",
    "truncated_fraction",
)
COLUMNS = (
    "label",
    *BOUNDS,
    *CENTROID,
    "voxel_count",
    "volume_um3",
    "equivalent_diameter_um",
    *SURFACE,
    *INERTIA,
    "shape_note",
)
# What may go wrong with one label without being the fault of the whole run.
LABEL_ERRORS = (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class LabelTask:
    """What a worker needs to know of one label."""

    box: LabelBox
    voxel_count: int
    face_area_nm2: float
    cut_area_nm2: float


@dataclass(frozen=True)
class MeshPlace:
    """Where meshes are written, and where voxel (0, 0, 0) lies in them."""

    folder: Path
    origin_nm: tuple[float, float, float]


def measure_labels(
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters | None = None,
    *,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    executor: Executor | None = None,
    device: str = "cpu",
    mesh_folder: Path | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure the shape of every label.

    Volume is the voxel count times the voxel volume: no estimate from the surface scatters less. Area and
    curvatures come from the zero level of a signed distance, sampled where it crosses the grid lines
    (`spherovem_core.shape.surface`), at smoothings chosen from the voxels and the label's thickness
    (`spherovem_core.shape.scales`); what smoothing takes off is put back: at curved surfaces through their curvature,
    at edges by extrapolation from two smoothings. On a GPU smoothing, distances and the sampling of the surface run
    there, the rest (bounding boxes, outlines at the border, fractal dimension) stays on the CPU; its figures agree with
    the CPU's to float32's rounding. On the CPU the first call in a fresh installation compiles the loops for about fifteen
    seconds, later processes load them from the cache.

    Parameters
    ----------
    labels : (Z, Y, X) array-like of unsigned integers
        Instance labels, 0 is background. Read in slabs once, then one bounding box at a time.
    spacing_nm : (dz, dy, dx)
        Voxel size in nm.
    parameters
        Smoothing, smallest label, meshes.
    origin_nm
        Position of the centre of voxel (0, 0, 0) in nm.
    executor
        Maps labels; None measures them in the calling thread.
    device
        ``cpu``, ``cuda``, ``cuda:n``, or ``auto`` for a GPU where one is usable.
    mesh_folder
        Where meshes go, one PLY a label, if the parameters ask for them.
    progress
        Called with (done, total) after each label.

    Returns
    -------
    DataFrame
        One row a label, in rising order. Bounding boxes in voxels, ends exclusive. Curvatures are positive where the
        surface is convex; their means are weighted by area. `surface_area_um2` is without the faces that the
        volume's border cuts, `truncated_fraction` their share, sphericity that of the closed body. Inertia:
        principal moments per unit of mass, falling. A label of fewer voxels than `min_voxels`, or thinner than
        the smoothing, has NaN in its surface columns and the reason in `shape_note`.

    Raises
    ------
    ParameterError
        If the smoothing is smaller than the largest voxel side, or meshes are wanted and no folder is given.
    DeviceError
        If a GPU is asked for and none is usable.
    """
    parameters = parameters or ShapeParameters()
    _check(spacing_nm, parameters, mesh_folder)
    with accelerator(device) as gpu:
        return _measure(
            labels, spacing_nm, parameters, origin_nm, gpu.device, executor, mesh_folder, progress
        )


def _measure(
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters,
    origin_nm: tuple[float, float, float],
    device: str,
    executor: Executor | None,
    mesh_folder: Path | None,
    progress: Progress | None,
) -> pd.DataFrame:
    folder = mesh_folder if parameters.write_meshes else None
    census = collect_label_statistics(labels, executor)
    tasks = _plan(census, labels.shape, spacing_nm)
    outcomes: list[dict[str, Any]] = []
    shared = (labels, spacing_nm, parameters, MeshPlace(folder, origin_nm) if folder else None, device)
    for _, outcome in map_blocks(_measure_one, tasks, *shared, executor=executor, ahead=64):
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(tasks))
    surfaces = pd.DataFrame(outcomes, columns=["label", *SURFACE, "shape_note"])
    # With no label there is nothing to tell the types from.
    types: dict[str, Any] = {"label": census.labels.dtype, **dict.fromkeys(SURFACE, "float64")}
    surfaces = surfaces.astype(types).set_index("label")
    voxels = _voxel_measures(census, spacing_nm, origin_nm)
    frame = voxels.join(surfaces, on="label")
    return frame[list(COLUMNS)].astype({"shape_note": "str"})


def _check(spacing_nm: SpacingNm, parameters: ShapeParameters, mesh_folder: Path | None) -> None:
    if 0 < parameters.smoothing_nm < max(spacing_nm):
        raise ParameterError(
            f"shape smoothing_nm is {parameters.smoothing_nm:g}, less than the largest voxel side of "
            f"{max(spacing_nm):g} nm; give that much or more, or 0 to have it chosen"
        )
    if parameters.write_meshes and mesh_folder is None:
        raise ParameterError("shape write_meshes is set but there is no folder for meshes: pass mesh_folder")


def _plan(census: LabelStatistics, shape: Sequence[int], spacing_nm: SpacingNm) -> list[LabelTask]:
    """Tasks in the order of the labels' first slices, so that neighbours are read together."""
    face = np.prod(spacing_nm) / np.array(spacing_nm)
    depth, height, width = shape
    tasks = []
    for row in np.argsort(census.low[:, 0], kind="stable"):
        low, high = census.low[row].tolist(), census.high[row].tolist()
        box = LabelBox(int(census.labels[row]), tuple(low), tuple(high), (depth, height, width))
        tasks.append(
            LabelTask(
                box,
                int(census.voxel_count[row]),
                float(census.faces[row] @ face),
                float(census.cuts[row] @ face),
            )
        )
    return tasks


def _measure_one(
    task: LabelTask,
    labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: ShapeParameters,
    meshes: MeshPlace | None,
    device: str,
) -> dict[str, Any]:
    """Measure one label; what fails becomes NaN and a note."""
    volume = task.voxel_count * float(np.prod(spacing_nm))
    found = SurfaceDescriptors(note=f"fewer than {parameters.min_voxels} voxels")
    if task.voxel_count >= parameters.min_voxels:
        extent = float(np.prod([b - a for a, b in zip(task.box.low, task.box.high, strict=True)]))
        scales = choose_scales(
            volume,
            task.face_area_nm2 + task.cut_area_nm2,
            extent * float(np.prod(spacing_nm)),
            spacing_nm,
            parameters.smoothing_nm,
        )
        try:
            found, layer = describe_surface(labels, task.box, spacing_nm, scales, volume, select(device))
        except LABEL_ERRORS as error:
            found, layer = SurfaceDescriptors(note=f"{type(error).__name__}: {error}"), None
        if meshes is not None and layer is not None:
            mesh = build_mesh(layer, spacing_nm, meshes.origin_nm)
            write_ply(meshes.folder / f"{task.box.label:06d}.ply", mesh)
    return _row(task, found, volume)


def _row(task: LabelTask, found: SurfaceDescriptors, volume_nm3: float) -> dict[str, Any]:
    closed = found.area + task.cut_area_nm2
    return {
        "label": task.box.label,
        "surface_area_um2": found.area / NM_PER_UM**2,
        "sphericity": np.pi ** (1 / 3) * (6 * volume_nm3) ** (2 / 3) / closed,
        "mean_curvature_mean_per_um": found.mean_curvature_mean * NM_PER_UM,
        "mean_curvature_std_per_um": found.mean_curvature_std * NM_PER_UM,
        "gaussian_curvature_mean_per_um2": found.gaussian_curvature_mean * NM_PER_UM**2,
        "gaussian_curvature_std_per_um2": found.gaussian_curvature_std * NM_PER_UM**2,
        "shape_index_mean": found.shape_index_mean,
        "shape_index_std": found.shape_index_std,
        "curvedness_mean_per_um": found.curvedness_mean * NM_PER_UM,
        "curvedness_std_per_um": found.curvedness_std * NM_PER_UM,
        "fractal_dimension": found.fractal.dimension,
        "fractal_r2": found.fractal.r2,
        "fractal_low_um": found.fractal.low_nm / NM_PER_UM,
        "fractal_high_um": found.fractal.high_nm / NM_PER_UM,
        "truncated_fraction": task.cut_area_nm2 / closed,
        "shape_note": found.note,
    }


def _voxel_measures(
    census: LabelStatistics, spacing_nm: SpacingNm, origin_nm: tuple[float, float, float]
) -> pd.DataFrame:
    spacing = np.array(spacing_nm)
    centroids = (census.centroid * spacing + origin_nm) / NM_PER_UM
    covariance = census.covariance * np.multiply.outer(spacing, spacing) / NM_PER_UM**2
    spread = np.linalg.eigvalsh(covariance)
    moments = np.sort(spread.sum(axis=1, keepdims=True) - spread, axis=1)[:, ::-1]
    volume = census.voxel_count * voxel_volume_um3(spacing_nm)
    columns: dict[str, Any] = {"label": census.labels}
    columns |= dict(zip(BOUNDS, np.hstack([census.low, census.high]).T, strict=True))
    columns |= dict(zip(CENTROID, centroids.T, strict=True))
    columns |= {
        "voxel_count": census.voxel_count,
        "volume_um3": volume,
        "equivalent_diameter_um": (6 * volume / np.pi) ** (1 / 3),
    }
    columns |= dict(zip(INERTIA, np.maximum(moments, 0).T, strict=True))
    return pd.DataFrame(columns)
