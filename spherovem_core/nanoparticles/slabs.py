"""The slabs of the second pass, one after the other: each slice of the image is read once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.components import (
    MeasuredSlice,
    Measures,
    VoxelsOfSlice,
    measure,
    posterior_units,
    voxels_of,
)
from spherovem_core.nanoparticles.delineation import mask_halo
from spherovem_core.nanoparticles.lookup import SliceTable, is_core, look_up, slice_table
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.tiles import Plane, read_plane, slab_mask
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class SlabSummary:
    """The components of one slab, numbered from 1.

    Attributes
    ----------
    measures
        Of the components.
    top, bottom
        Labelled voxels of the slab's first and last slice.
    """

    measures: Measures
    top: VoxelsOfSlice
    bottom: VoxelsOfSlice


class SlabReader:
    """Hands out slabs with their halo, keeping the slices that the next one shares."""

    def __init__(self, source: ArrayLike, mixture: Mixture, parameters: NanoparticleParameters) -> None:
        self._source, self._mixture, self._parameters = source, mixture, parameters
        self._planes: dict[int, Plane] = {}

    def planes(self, block: Block) -> list[Plane]:
        """Slices of the block's outer region; blocks are to be asked for in the order of z."""
        outer = range(block.outer[0].start, block.outer[0].stop)
        self._planes = {z: plane for z, plane in self._planes.items() if z in outer}
        for z in outer:
            if z not in self._planes:
                self._planes[z] = read_plane(self._source[z], z, self._mixture, self._parameters)
        return [self._planes[z] for z in outer]


def posterior_of(planes: Sequence[Plane]) -> NDArray[np.float16]:
    """Posterior of slices, as it is stored."""
    out = np.empty((len(planes), *planes[0].image.shape), np.float16)
    for target, plane in zip(out, planes, strict=True):
        look_up(plane.image, plane.table.posterior.astype(np.float16), target)
    return out


def label_slab(
    planes: Sequence[Plane],
    block: Block,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> NDArray[np.uint32]:
    """Label the components of a slab's core, each slab from 1."""
    halo = mask_halo(spacing_nm, parameters)
    mask = slab_mask(planes, block, halo, spacing_nm, parameters, execution)
    if not mask.any():
        return mask.astype(np.uint32)
    return np.asarray(
        cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32, binary_image=True)
    )


def measured_slice(
    image: NDArray[Any], table: SliceTable, parameters: NanoparticleParameters
) -> MeasuredSlice:
    """Prepare a slice for `measure`."""
    return MeasuredSlice(
        image, posterior_units(table.posterior), is_core(table.posterior, table.contrast, parameters)
    )


def measured_slices(
    source: ArrayLike,
    mixture: Mixture,
    parameters: NanoparticleParameters,
    extent: slice,
    region: tuple[slice, ...] = (),
) -> Iterator[MeasuredSlice]:
    """Read slices, or a region of them, for `measure`."""
    for z in range(extent.start, extent.stop):
        image = np.ascontiguousarray(source[(z, *region)])
        yield measured_slice(image, slice_table(mixture, z), parameters)


def summarise(
    block: Block,
    shape: tuple[int, ...],
    slices: Iterable[MeasuredSlice],
    labels: NDArray[np.uint32],
) -> SlabSummary:
    """Measure a slab's components and keep its outermost slices; all arrays are the block's core."""
    measures = measure(labels, slices, (block.core[0].start, 0, 0), shape)
    return SlabSummary(measures, voxels_of(labels[0]), voxels_of(labels[-1]))
