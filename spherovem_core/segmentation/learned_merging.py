"""Supervoxels and their merging by a model that was learned from labelled slices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import Block, Region
from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.boosted_trees import BoostedTrees
from spherovem_core.segmentation.contact_features import MAPS, Side, contact_features, contact_maps
from spherovem_core.segmentation.grid import crop_grid
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.merging import AdjacencyGraph
from spherovem_core.segmentation.merging_model import MergingModel
from spherovem_core.segmentation.resample import resample
from spherovem_core.segmentation.supervoxels import Supervoxels
from spherovem_core.segmentation.voxel_features import MARGIN, voxel_features
from spherovem_core.segmentation.watershed_supervoxels import watershed_supervoxels
from spherovem_core.spacing import SpacingNm

SLAB = 48
"""Planes for which features are held in memory at a time."""


@dataclass(frozen=True)
class LearnedMerging:
    """A model, and the intensities of the volume that are its 0 and 1."""

    model: MergingModel
    intensities: tuple[float, float]


def learned_supervoxels(
    block: Block,
    inputs: MaskInputs,
    model: MergingModel,
    intensities: tuple[float, float],
    parameters: MaskParameters,
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Divide a block with its halo into supervoxels, and measure what describes their contacts.

    Returns
    -------
    (z, y, x) ndarray of uint32
        Supervoxels of the block with its halo; 0 is background.
    (12, z + 1, y + 1, x + 1) ndarray of float32
        Maps in the block's core and the layers in front of it, for `measure_block`.
    """
    shape = [s.stop - s.start for s in block.outer]
    probability, foreground = np.empty(shape, np.float32), np.empty(shape, bool)
    core = [(max(0, s.start - 1), s.stop) for s in block.core]
    maps = np.zeros((len(MAPS), *(s.stop - s.start + 1 for s in block.core)), np.float32)
    for region in _slabs(block.outer):
        found = evaluate_maps(region, inputs, model, intensities)
        own = slice(region[0].start - block.outer[0].start, region[0].stop - block.outer[0].start)
        probability[own] = found[0]
        foreground[own] = inputs.upsampled_logit(region, parameters) > parameters.probability_threshold
        kept = [(max(low, s.start), min(high, s.stop)) for s, (low, high) in zip(region, core, strict=True)]
        if all(low < high for low, high in kept):
            source = tuple(slice(a - s.start, b - s.start) for s, (a, b) in zip(region, kept, strict=True))
            target = tuple(
                slice(a - s.start + 1, b - s.start + 1) for s, (a, b) in zip(block.core, kept, strict=True)
            )
            maps[(slice(None), *target)] = found[(slice(None), *source)]
    return watershed_supervoxels(probability, foreground, inputs.in_sections), maps


def evaluate_maps(
    region: Region, inputs: MaskInputs, model: MergingModel, intensities: tuple[float, float]
) -> NDArray[np.float32]:
    """Return the maps `MAPS` (12, z, y, x) in a region of the masks' grid."""
    place = inputs.coarse_region(region, MARGIN)
    features, flows = features_on_flows(place, inputs, intensities, model.step(inputs.grid))
    probability = model.boundary.probability(features.reshape(len(features), -1)).reshape(flows.shape[1:])
    maps = contact_maps(probability, features, flows)
    return resample(maps, crop_grid(inputs.grid, place), inputs.target, region)


def features_on_flows(
    place: Region, inputs: MaskInputs, intensities: tuple[float, float], step: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return voxel features (21, z, y, x) and flows (4, z, y, x) in a region of the flows' grid.

    Parameters
    ----------
    step
        Thickness of sections in pixels by which features are filtered, see `MergingModel.step`.
    """
    low, high = intensities
    flows = np.asarray(inputs.flows[(slice(None), *place)]).astype(np.float32)
    image = np.zeros(flows.shape[1:], np.float32)
    if inputs.image is not None:
        image = (resample(inputs.image, inputs.target, inputs.grid, place) - np.float32(low)) / np.float32(
            max(high - low, 1e-6)
        )
    return voxel_features(image, flows, step), flows


class LearnedGraph(AdjacencyGraph):
    """Adjacency graph in which the trees of a model tell the strength of a boundary.

    Parameters
    ----------
    supervoxels, spacing_nm
        See `AdjacencyGraph`; with the sums of `MAPS`.
    contact
        See `MergingModel`.
    unit_nm
        Voxel size on which the trees were learned; areas and volumes are compared in it.
    """

    def __init__(
        self, supervoxels: Supervoxels, spacing_nm: SpacingNm, contact: BoostedTrees, unit_nm: float
    ) -> None:
        super().__init__(supervoxels, spacing_nm)
        self._trees = contact
        self._face = unit_nm**2
        self._voxel = float(np.prod(spacing_nm)) / unit_nm**3
        self._strengths: dict[tuple[int, int], float] = {}
        self._measure([(a, b) for a, others in self.contacts.items() for b in others if a < b])

    def features(self, a: int, b: int) -> NDArray[np.float32]:
        """Return the features of the contact of two touching objects, see `contact_features`."""
        contact = self.contacts[a][b]
        return contact_features(
            contact.area / self._face, contact.sums, contact.count, self._side(a), self._side(b)
        )

    def boundary_strength(self, a: int, b: int) -> float:
        """Return the probability that two touching objects are different ones."""
        if (min(a, b), max(a, b)) not in self._strengths:
            # As a rule an object has just been merged, and all its contacts are asked for.
            changed = [(min(a, other), max(a, other)) for other in self.contacts[a]]
            self._measure([pair for pair in changed if pair not in self._strengths])
        return self._strengths[min(a, b), max(a, b)]

    def merge(self, kept: int, gone: int) -> None:
        """Merge two touching objects under the number `kept`; the strengths of their contacts are measured again."""
        for a in (kept, gone):
            for b in self.contacts[a]:
                self._strengths.pop((min(a, b), max(a, b)), None)
        super().merge(kept, gone)

    def _measure(self, pairs: list[tuple[int, int]]) -> None:
        if pairs:
            features = np.stack([self.features(a, b) for a, b in pairs], axis=1)
            self._strengths |= dict(zip(pairs, self._trees.probability(features).tolist(), strict=True))

    def _side(self, a: int) -> Side:
        found = self.objects[a]
        return Side(found.area / self._face, found.count * self._voxel, found.sums / max(found.count, 1))


def _slabs(region: Region) -> Iterator[Region]:
    """Divide a region along z."""
    for start in range(region[0].start, region[0].stop, SLAB):
        yield (slice(start, min(start + SLAB, region[0].stop)), *region[1:])
