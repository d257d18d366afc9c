"""From slabs to the volume: which of the slabs' components are one particle, and what its label is."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Block, Region
from spherovem_core.nanoparticles.components import VOXELS, Measures, concatenate, merge, touching_pairs
from spherovem_core.nanoparticles.lookup import look_up
from spherovem_core.nanoparticles.slabs import SlabSummary


@dataclass(frozen=True)
class Assembly:
    """The components of a volume whose slabs are labelled each on its own.

    Attributes
    ----------
    slabs
        In the order of z.
    starts : (slabs + 1,) ndarray
        Components of all slabs before each.
    owner : (pieces,) ndarray
        Component of the volume that each slab's component belongs to, from 0.
    measures
        Of the volume's components, in the order of their first voxels.
    """

    slabs: Sequence[Block]
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]
    measures: Measures

    @cached_property
    def _slab_stops(self) -> NDArray[np.int64]:
        return np.array([slab.core[0].stop for slab in self.slabs])

    def read(self, provisional: ArrayLike, region: Region, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Read a region of the slabs' labels and replace each component by its value.

        Parameters
        ----------
        provisional : (Z, Y, X) array-like of uint32
            Labels of the slabs.
        region
            To be read.
        values : (components,) ndarray
            Value of each component of the volume.

        Returns
        -------
        ndarray of uint32
            0 where there is no component.
        """
        out = np.asarray(provisional[region], np.uint32).copy()
        z = np.arange(region[0].start, region[0].stop)
        slab = np.searchsorted(self._slab_stops, z, side="right")
        for number in np.unique(slab):
            owner = self.owner[self.starts[number] : self.starts[number + 1]]
            table = np.concatenate([np.zeros(1, np.uint32), values[owner]])
            planes = slice(*(np.flatnonzero(slab == number)[[0, -1]] + (0, 1)))
            look_up(out[planes], table, out[planes])
        return out


def assemble(slabs: Sequence[Block], summaries: Sequence[SlabSummary], shape: tuple[int, ...]) -> Assembly:
    """Merge the components of consecutive slabs where they touch."""
    counts = [len(summary.measures) for summary in summaries]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    pairs = [np.empty((0, 2), np.int64)]
    for n, (upper, lower) in enumerate(itertools.pairwise(summaries)):
        touching = touching_pairs(upper.bottom, lower.top, shape[1], shape[2])
        pairs.append(touching - 1 + starts[n : n + 2])
    owner, measures = merge(concatenate([summary.measures for summary in summaries]), np.concatenate(pairs))
    return Assembly(slabs, starts, owner, measures)


def large_enough(measures: Measures, voxel_nm3: float, min_volume_nm3: float) -> NDArray[np.bool_]:
    """Which components have at least the minimum volume."""
    return measures.sums[:, VOXELS] >= min_volume_nm3 / voxel_nm3
