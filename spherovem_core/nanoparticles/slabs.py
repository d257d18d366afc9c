"""Slabs of the second pass, processed in order, so that each slice of the image is read once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.components import (
    ComponentMeasures,
    LabelledVoxels,
    MeasuredSlice,
    labelled_voxels,
    measure_components,
    posterior_units,
)
from spherovem_core.nanoparticles.delineation import mask_halo
from spherovem_core.nanoparticles.intensity_tables import SliceTable, is_core, look_up, slice_table
from spherovem_core.nanoparticles.mask_columns import TabulatedSlice, slab_mask, tabulate_slice
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class SlabSummary:
    """Components of one slab, numbered from 1.

    Attributes
    ----------
    measures
        Measures of the components.
    top, bottom
        Labelled voxels of the first and the last slice of the slab.
    """

    measures: ComponentMeasures
    top: LabelledVoxels
    bottom: LabelledVoxels


class SlabReader:
    """Reader of slabs with their halo; it keeps the slices that the next slab shares."""

    def __init__(self, source: ArrayLike, mixture: Mixture, parameters: NanoparticleParameters) -> None:
        self._source, self._mixture, self._parameters = source, mixture, parameters
        self._slices: dict[int, TabulatedSlice] = {}

    def read(self, block: Block) -> list[TabulatedSlice]:
        """Read the slices of the block's outer region. Call it with the blocks in the order of z."""
        outer = range(block.outer[0].start, block.outer[0].stop)
        self._slices = {z: entry for z, entry in self._slices.items() if z in outer}
        for z in outer:
            if z not in self._slices:
                self._slices[z] = tabulate_slice(self._source[z], z, self._mixture, self._parameters)
        return [self._slices[z] for z in outer]


def stored_posterior(slices: Sequence[TabulatedSlice]) -> NDArray[np.float16]:
    """Look up the posterior of slices, rounded to float16 as it is stored."""
    out = np.empty((len(slices), *slices[0].image.shape), np.float16)
    for target, entry in zip(out, slices, strict=True):
        look_up(entry.image, entry.table.posterior.astype(np.float16), target)
    return out


def label_slab(
    slices: Sequence[TabulatedSlice],
    block: Block,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
    execution: Execution,
) -> NDArray[np.uint32]:
    """Label the components of a slab's core from 1."""
    halo = mask_halo(spacing_nm, parameters)
    mask = slab_mask(slices, block, halo, spacing_nm, parameters, execution)
    if not mask.any():
        return mask.astype(np.uint32)
    return np.asarray(
        cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32, binary_image=True)
    )


def to_measured_slice(
    image: NDArray[Any], table: SliceTable, parameters: NanoparticleParameters
) -> MeasuredSlice:
    """Prepare a slice of the image for `measure_components`."""
    return MeasuredSlice(
        image, posterior_units(table.posterior), is_core(table.posterior, table.contrast, parameters)
    )


def read_measured_slices(
    source: ArrayLike,
    mixture: Mixture,
    parameters: NanoparticleParameters,
    extent: slice,
    region: tuple[slice, ...] = (),
) -> Iterator[MeasuredSlice]:
    """Read slices of the image, or a region of them, for `measure_components`."""
    for z in range(extent.start, extent.stop):
        image = np.ascontiguousarray(source[(z, *region)])
        yield to_measured_slice(image, slice_table(mixture, z), parameters)


def summarise_slab(
    block: Block,
    shape: tuple[int, ...],
    slices: Iterable[MeasuredSlice],
    labels: NDArray[np.uint32],
) -> SlabSummary:
    """Measure the components of a slab and list the labelled voxels of its outermost slices; all arrays are the block's core."""
    measures = measure_components(labels, slices, (block.core[0].start, 0, 0), shape)
    return SlabSummary(measures, labelled_voxels(labels[0]), labelled_voxels(labels[-1]))
