"""Connected components of the volume, merged from the components of its slabs."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region
from spherovem_core.nanoparticles.components import (
    LABEL_BITS,
    SEED_BIT,
    ComponentMeasures,
    concatenate_measures,
    merge_components,
    touching_pairs,
)
from spherovem_core.nanoparticles.intensity_tables import look_up
from spherovem_core.nanoparticles.slab_summary import SlabSummary


@dataclass(frozen=True)
class VolumeComponents:
    """Components of a volume whose slabs are labelled separately.

    Attributes
    ----------
    slabs
        Slabs in the order of z.
    starts : (slabs + 1,) ndarray
        Number of slab components before each slab.
    owner : (slab components,) ndarray
        Component of the volume, from 0, that each slab component belongs to.
    measures
        Measures of the volume's components, in the order of their first voxels.
    """

    slabs: Sequence[Block]
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]
    measures: ComponentMeasures

    @cached_property
    def _slab_stops(self) -> NDArray[np.int64]:
        return np.array([slab.core[0].stop for slab in self.slabs])

    def read(self, slab_labels: ArrayLike, region: Region, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Read a region of the slabs' labels and replace each component by its value.

        Parameters
        ----------
        slab_labels : (Z, Y, X) array-like of uint32
            Labels of the slabs, with `SEED_BIT`.
        region
            Region to read.
        values : (components,) ndarray
            Value of each component of the volume.

        Returns
        -------
        ndarray of uint32
            0 where there is no component.
        """
        out = np.asarray(slab_labels[region], np.uint32) & LABEL_BITS
        z = np.arange(region[0].start, region[0].stop)
        slab = np.searchsorted(self._slab_stops, z, side="right")
        for number in np.unique(slab):
            owner = self.owner[self.starts[number] : self.starts[number + 1]]
            table = np.concatenate([np.zeros(1, np.uint32), values[owner]])
            in_slab = slice(*(np.flatnonzero(slab == number)[[0, -1]] + (0, 1)))
            look_up(out[in_slab], table, out[in_slab])
        return out

    @cached_property
    def _pieces(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slab components in the order of their component, and where each component's begin."""
        order = np.argsort(self.owner, kind="stable")
        return order, np.searchsorted(self.owner[order], np.arange(len(self.measures) + 1))

    def seeds(self, slab_labels: ArrayLike, number: int) -> NDArray[np.bool_]:
        """Mark the voxels of a component's bounding box that can start a body."""
        box = self.measures.boxes[number]
        region = tuple(slice(int(a), int(b)) for a, b in zip(box[:3], box[3:], strict=True))
        labels = np.asarray(slab_labels[region], np.uint32)
        order, bounds = self._pieces
        out = np.zeros(labels.shape, np.bool_)
        for piece in order[bounds[number] : bounds[number + 1]]:
            slab = int(np.searchsorted(self.starts, piece, side="right")) - 1
            extent = self.slabs[slab].core[0]
            here = slice(max(extent.start - region[0].start, 0), max(extent.stop - region[0].start, 0))
            out[here] |= labels[here] == np.uint32(piece - self.starts[slab] + 1) | SEED_BIT
        return out


def merge_slabs(
    slabs: Sequence[Block], summaries: Sequence[SlabSummary], shape: tuple[int, ...]
) -> VolumeComponents:
    """Merge the components of consecutive slabs that touch."""
    counts = [len(summary.measures) for summary in summaries]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    pairs = [np.empty((0, 2), np.int64)]
    for n, (upper, lower) in enumerate(itertools.pairwise(summaries)):
        touching = touching_pairs(upper.bottom, lower.top, shape[1], shape[2])
        pairs.append(touching - 1 + starts[n : n + 2])
    owner, measures = merge_components(
        concatenate_measures([summary.measures for summary in summaries]), np.concatenate(pairs)
    )
    return VolumeComponents(slabs, starts, owner, measures)
