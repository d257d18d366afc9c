"""Making of phantoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spherovem_core.spacing import spacing_um, voxel_volume_um3
from spherovem_core.synthetic.phantom.cell_states import CellState
from spherovem_core.synthetic.phantom.detector import stored_type
from spherovem_core.synthetic.phantom.parameters import PhantomParameters
from spherovem_core.synthetic.phantom.phantom import Phantom
from spherovem_core.synthetic.phantom.sample import RenderedSlice, Sample, build_sample
from spherovem_core.synthetic.phantom.scenes.registry import settings_of
from spherovem_core.synthetic.phantom.truth_labels import label_others, label_particles, renumber

_T = TypeVar("_T")

# Largest number of grid points per mean cell diameter when the volumes of cells and nuclei are counted.
_POINTS = 72


def make_phantom(
    parameters: PhantomParameters | None = None,
    *,
    scenes: Iterable[str] = (),
    executor: Executor | None = None,
    **overrides: Any,
) -> Phantom:
    """Make a synthetic spheroid acquisition with its truth.

    Parameters
    ----------
    parameters : PhantomParameters, optional
        Parameters of tissue and microscope; by default `PhantomParameters()`.
    scenes : iterable of str
        Names of scenes, such as ``("resin", "droplets")``. They set fields of the parameters, the later ones last.
    executor : concurrent.futures.Executor, optional
        Executor that renders slices in parallel. Each slice has its own random generator, so that the result is the same,
        byte for byte, with any executor and any number of workers.
    **overrides
        Fields of the parameters, such as ``shape=(32, 128, 128), seed=3``. They win over the scenes.

    Returns
    -------
    Phantom

    Raises
    ------
    ParameterError
        If there is no scene of a name.
    pydantic.ValidationError
        If a field is unknown or out of bounds.
    """
    chosen = (parameters or PhantomParameters()).model_dump() | settings_of(scenes) | overrides
    sample = build_sample(PhantomParameters.model_validate(chosen))
    slices = _stack(sample, _map(executor, sample.render, range(sample.parameters.shape[0])))
    cells, cell_numbers = renumber(slices.cells)
    nuclei, nucleus_numbers = renumber(slices.nuclei)
    cell_volumes, nucleus_volumes = _tissue_volumes(sample, executor)
    label_of_cell = np.zeros(len(sample.tissue.cells.seeds_um), np.uint32)
    label_of_cell[cell_numbers] = np.arange(1, cell_numbers.size + 1)
    voxel = voxel_volume_um3(sample.parameters.spacing_nm)
    nanoparticles, agglomerates, particles = label_particles(sample, slices.particles, label_of_cell)
    others, other_objects = label_others(sample, slices.others, label_of_cell)
    return Phantom(
        parameters=sample.parameters,
        spacing_nm=sample.parameters.spacing_nm,
        image=slices.image,
        clean=slices.clean,
        cells=cells,
        nuclei=nuclei,
        nanoparticles=nanoparticles,
        agglomerates=agglomerates,
        others=others,
        specimen=slices.specimen,
        particles=particles,
        other_objects=other_objects,
        cell_states=np.array(
            [CellState(state).name.lower() for state in sample.tissue.nuclei.states[cell_numbers]],
            dtype="U13",
        ),
        nucleus_parents=label_of_cell[sample.tissue.nuclei.cells[nucleus_numbers]],
        transforms=sample.imaging.transforms,
        gains=sample.imaging.gains,
        offsets=sample.imaging.offsets,
        slice_positions_nm=1000 * sample.planes_um,
        cell_volumes_um3=_volumes_of(cells, cell_volumes[cell_numbers], voxel),
        nucleus_volumes_um3=_volumes_of(nuclei, nucleus_volumes[nucleus_numbers], voxel),
    )


def _map(executor: Executor | None, function: Callable[[int], _T], numbers: range) -> Iterable[_T]:
    return map(function, numbers) if executor is None else executor.map(function, numbers)


def _stack(sample: Sample, rendered: Iterable[RenderedSlice]) -> RenderedSlice:
    """Fill whole volumes slice by slice."""
    shape = sample.parameters.shape
    stored = stored_type(sample.parameters)
    volumes = RenderedSlice(
        image=np.empty(shape, stored),
        clean=np.empty(shape, stored),
        cells=np.empty(shape, np.uint32),
        nuclei=np.empty(shape, np.uint32),
        particles=np.empty(shape, np.uint32),
        others=np.zeros(shape, np.uint32),
        specimen=np.empty(shape, np.uint8),
    )
    for z, one in enumerate(rendered):
        for field in RenderedSlice._fields:
            # Most phantoms have no other bodies; zeros that nobody writes take no memory.
            if field != "others" or one.others.any():
                getattr(volumes, field)[z] = getattr(one, field)
    return volumes


def _tissue_volumes(
    sample: Sample, executor: Executor | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count points to measure the volume in µm³ of each cell and nucleus inside the imaged box."""
    step = np.array(spacing_um(sample.parameters.spacing_nm))
    extent = step * sample.parameters.shape
    side = max(sample.parameters.cell_diameter_um / _POINTS, float(np.prod(step)) ** (1 / 3))
    counts = np.maximum(np.rint(extent / side).astype(int), 12)
    axes = [-s / 2 + (np.arange(n) + 0.5) * w / n for s, n, w in zip(step, counts, extent, strict=True)]
    planes = _map(executor, partial(_count_points, sample, axes), range(int(counts[0])))
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
    sample: Sample, axes: list[NDArray[np.float64]], plane: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    located = sample.tissue.locate_grid(axes[0][plane : plane + 1], axes[1], axes[2])
    in_cell, in_nucleus = located.cell_depth_um > 0, located.nucleus_depth_um > 0
    return (
        np.bincount(located.cell[in_cell], minlength=len(sample.tissue.cells.seeds_um)),
        np.bincount(located.nucleus[in_nucleus], minlength=len(sample.tissue.nuclei.centres_um)),
    )
