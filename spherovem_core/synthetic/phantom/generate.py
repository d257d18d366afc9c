"""Phantoms: an acquisition with its exact truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import SpacingNm, spacing_um, voxel_volume_um3
from spherovem_core.synthetic.phantom.nanoparticles import volumes_inside
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.scene import RenderedSlice, Scene, build_scene

_T = TypeVar("_T")

# Largest number of grid points per mean cell diameter when the volumes of cells and nuclei are counted.
_POINTS = 72


@dataclass(frozen=True)
class Phantom:
    """A synthetic acquisition with its truth.

    The *ideal frame* is the volume as a perfectly aligned microscope samples it. Labels are contiguous from 1; 0 is
    background. A voxel belongs to the object that contains its centre.

    Attributes
    ----------
    parameters : PhantomParameters
    spacing_nm : (dz, dy, dx)
    image : (Z, Y, X) ndarray of uint8
        Slices as acquired, with misplacement, drift and noise.
    clean : (Z, Y, X) ndarray of uint8
        The ideal frame with the blur of the detector, without misplacement, drift and noise.
    cells, nuclei : (Z, Y, X) ndarray of uint32
        Instance labels in the ideal frame. A cell includes its nuclei and nanoparticles. Cells touch wherever no cleft
        lies between them.
    nanoparticles : (Z, Y, X) ndarray of uint32
        Labels in the ideal frame: the 26-connected components of the voxels in nanoparticles. Nanoparticles that touch on
        the voxel grid have one label, since no segmentation can separate them.
    nucleus_parents, nanoparticle_parents : 1-D ndarray of uint32
        Cell label of each nucleus and nanoparticle at index label - 1; 0 means outside cells.
    transforms : (Z, 2, 3) ndarray of float64
        Map of ideal pixel coordinates (y, x, 1) to those of the acquired slice, one per slice.
    gains, offsets : (Z,) ndarray of float64
        Contrast and brightness of each acquired slice: gain * ideal + offset.
    cell_volumes_um3, nucleus_volumes_um3, nanoparticle_volumes_um3 : 1-D ndarray of float64
        Volume inside the imaged box at index label - 1, independent of the voxel grid. For cells and nuclei it is counted
        on a cubic grid with about as many points as voxels, but at most 72 per mean cell diameter. For nanoparticles it
        is the sum of their balls.
    """

    parameters: PhantomParameters
    spacing_nm: SpacingNm
    image: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    cells: NDArray[np.uint32]
    nuclei: NDArray[np.uint32]
    nanoparticles: NDArray[np.uint32]
    nucleus_parents: NDArray[np.uint32]
    nanoparticle_parents: NDArray[np.uint32]
    transforms: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    cell_volumes_um3: NDArray[np.float64]
    nucleus_volumes_um3: NDArray[np.float64]
    nanoparticle_volumes_um3: NDArray[np.float64]


def make_phantom(
    parameters: PhantomParameters | None = None, *, executor: Executor | None = None, **overrides: Any
) -> Phantom:
    """Make a synthetic spheroid acquisition with its truth.

    Parameters
    ----------
    parameters : PhantomParameters, optional
        Parameters of tissue and microscope; by default `PhantomParameters()`.
    executor : concurrent.futures.Executor, optional
        Executor that renders slices in parallel. Each slice has its own random generator, so that the result is the same,
        byte for byte, with any executor and any number of workers.
    **overrides
        Fields of the parameters, such as ``shape=(32, 128, 128), seed=3``.

    Returns
    -------
    Phantom

    Raises
    ------
    pydantic.ValidationError
        If a field is unknown or out of bounds.
    """
    chosen = (parameters or PhantomParameters()).model_dump() | overrides
    scene = build_scene(PhantomParameters.model_validate(chosen))
    slices = _stack(scene, _map(executor, scene.render, range(scene.parameters.shape[0])))
    cells, cell_numbers = _renumber(slices.cells)
    nuclei, nucleus_numbers = _renumber(slices.nuclei)
    cell_volumes, nucleus_volumes = _tissue_volumes(scene, executor)
    label_of_cell = np.zeros(len(scene.tissue.cells.seeds_um), np.uint32)
    label_of_cell[cell_numbers] = np.arange(1, cell_numbers.size + 1)
    voxel = voxel_volume_um3(scene.parameters.spacing_nm)
    nanoparticles, particle_parents, particle_volumes = _components(scene, slices.particles, label_of_cell)
    return Phantom(
        parameters=scene.parameters,
        spacing_nm=scene.parameters.spacing_nm,
        image=slices.image,
        clean=slices.clean,
        cells=cells,
        nuclei=nuclei,
        nanoparticles=nanoparticles,
        nucleus_parents=label_of_cell[scene.tissue.nuclei.cells[nucleus_numbers]],
        nanoparticle_parents=particle_parents,
        transforms=scene.imaging.transforms,
        gains=scene.imaging.gains,
        offsets=scene.imaging.offsets,
        cell_volumes_um3=_volumes_of(cells, cell_volumes[cell_numbers], voxel),
        nucleus_volumes_um3=_volumes_of(nuclei, nucleus_volumes[nucleus_numbers], voxel),
        nanoparticle_volumes_um3=particle_volumes,
    )


def _map(executor: Executor | None, function: Callable[[int], _T], numbers: range) -> Iterable[_T]:
    return map(function, numbers) if executor is None else executor.map(function, numbers)


def _stack(scene: Scene, rendered: Iterable[RenderedSlice]) -> RenderedSlice:
    """Fill whole volumes slice by slice."""
    shape = scene.parameters.shape
    volumes = RenderedSlice(
        np.empty(shape, np.uint8),
        np.empty(shape, np.uint8),
        np.empty(shape, np.uint32),
        np.empty(shape, np.uint32),
        np.empty(shape, np.uint32),
    )
    for z, one in enumerate(rendered):
        for field in RenderedSlice._fields:
            getattr(volumes, field)[z] = getattr(one, field)
    return volumes


def _renumber(owners: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Make labels contiguous, in the order of their numbers, and return the number (from 0) of each label."""
    numbers = fastremap.unique(owners)
    numbers = numbers[numbers > 0].astype(np.int64)
    lookup = np.zeros(int(numbers.max(initial=0)) + 1, np.uint32)
    lookup[numbers] = np.arange(1, numbers.size + 1)
    return lookup[owners], numbers - 1


def _tissue_volumes(
    scene: Scene, executor: Executor | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count points to measure the volume in µm³ of each cell and nucleus inside the imaged box."""
    step = np.array(spacing_um(scene.parameters.spacing_nm))
    extent = step * scene.parameters.shape
    side = max(scene.parameters.cell_diameter_um / _POINTS, float(np.prod(step)) ** (1 / 3))
    counts = np.maximum(np.rint(extent / side).astype(int), 12)
    axes = [-s / 2 + (np.arange(n) + 0.5) * w / n for s, n, w in zip(step, counts, extent, strict=True)]
    planes = _map(executor, partial(_count_points, scene, axes), range(int(counts[0])))
    cells, nuclei = zip(*planes, strict=True)
    point = float(np.prod(extent / counts))
    return np.sum(cells, axis=0) * point, np.sum(nuclei, axis=0) * point


def _volumes_of(
    labels: NDArray[np.uint32], counted_um3: NDArray[np.float64], voxel_um3: float
) -> NDArray[np.float64]:
    """Take the counted volume, or that of the voxels for slivers that the counting grid nearly missed."""
    voxels = np.bincount(labels.ravel(), minlength=counted_um3.size + 1)[1:] * voxel_um3
    return np.where(counted_um3 > 0.5 * voxels, counted_um3, voxels)


def _count_points(
    scene: Scene, axes: list[NDArray[np.float64]], plane: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    located = scene.tissue.locate_grid(axes[0][plane : plane + 1], axes[1], axes[2])
    in_cell, in_nucleus = located.cell_depth_um > 0, located.nucleus_depth_um > 0
    return (
        np.bincount(located.cell[in_cell], minlength=len(scene.tissue.cells.seeds_um)),
        np.bincount(located.nucleus[in_nucleus], minlength=len(scene.tissue.nuclei.centres_um)),
    )


def _components(
    scene: Scene, owners: NDArray[np.uint32], label_of_cell: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float64]]:
    """Label the connected components of nanoparticles; return labels, parent cells and volumes in µm³."""
    labels = cc3d.connected_components(owners > 0, connectivity=26, out_dtype=np.uint32)
    seen = owners > 0
    balls, first = np.unique(owners[seen], return_index=True)
    component = labels[seen][first].astype(np.int64) - 1
    step = np.array(spacing_um(scene.parameters.spacing_nm))
    particles = scene.particles.take(balls.astype(np.int64) - 1)
    volumes = volumes_inside(particles, -0.5 * step, (np.array(owners.shape) - 0.5) * step)
    count = int(labels.max(initial=0))
    parents = np.zeros(count, np.uint32)
    inside = particles.cells >= 0
    parents[component[inside]] = label_of_cell[particles.cells[inside]]
    return labels, parents, np.bincount(component, volumes, count).astype(np.float64)
