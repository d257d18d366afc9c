"""Labels of the particles: components too small are dropped, and components that are split get a label per piece."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import ArrayLike, Region
from spherovem_core.nanoparticles.components import (
    CORE,
    FIRST,
    VOXELS,
    ComponentMeasures,
    concatenate_measures,
    measure_components,
)
from spherovem_core.nanoparticles.mixture import Mixture
from spherovem_core.nanoparticles.slabs import read_measured_slices
from spherovem_core.nanoparticles.splitting import MAX_BOX_VOXELS, split_component
from spherovem_core.nanoparticles.volume_components import VolumeComponents, large_enough
from spherovem_core.parameters import NanoparticleParameters
from spherovem_core.spacing import SpacingNm


@dataclass(frozen=True)
class ParticleLabels:
    """Labels of the particles.

    Attributes
    ----------
    measures
        Measures of the particles, label 1 first.
    of_component : (components,) ndarray of uint32
        Label of each component; 0 if it is dropped or split.
    of_pieces
        Labels of the pieces of each component that is split; 0 for pieces too small.
    spacing_nm, parameters
        Used to split a component a second time when its pieces are painted: keeping the pieces would need memory for all of
        their voxels.
    """

    measures: ComponentMeasures
    of_component: NDArray[np.uint32]
    of_pieces: dict[int, NDArray[np.uint32]]
    spacing_nm: SpacingNm
    parameters: NanoparticleParameters

    def paint_split(
        self, labels: NDArray[np.uint32], region: Region, components: VolumeComponents, slab_labels: ArrayLike
    ) -> None:
        """Paint the pieces of split components into the labels of a region."""
        starts = np.array([s.start for s in region])
        stops = np.array([s.stop for s in region])
        for component, piece_labels in self.of_pieces.items():
            box = components.measures.boxes[component]
            low, high = np.maximum(box[:3], starts), np.minimum(box[3:], stops)
            if np.any(low >= high):
                continue
            pieces = split_component(
                component_mask(component, components, slab_labels), self.spacing_nm, self.parameters
            )
            here = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, starts, strict=True))
            there = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, box[:3], strict=True))
            painted = np.concatenate([np.zeros(1, np.uint32), piece_labels])[pieces[there]]
            labels[here] |= painted


def component_mask(component: int, components: VolumeComponents, slab_labels: ArrayLike) -> NDArray[np.bool_]:
    """Read the mask of one component of the volume in its bounding box."""
    values = np.zeros(len(components.measures), np.uint32)
    values[component] = 1
    return components.read(slab_labels, _region(components.measures.boxes[component]), values) > 0


def number_particles(
    components: VolumeComponents,
    source: ArrayLike,
    mixture: Mixture,
    slab_labels: ArrayLike,
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
) -> ParticleLabels:
    """Number the components that are particles: large enough, and with a core.

    Touching particles are split if `split_touching` is on. Particles are numbered in the order of their first voxels.
    """
    voxel_nm3 = float(np.prod(spacing_nm))
    whole = large_enough(components.measures, voxel_nm3, parameters.min_volume_nm3)
    whole &= components.measures.sums[:, CORE] > 0
    found: dict[int, ComponentMeasures] = {}
    if parameters.split_touching:
        for component in _components_to_split(components.measures, voxel_nm3, parameters):
            pieces = split_component(
                component_mask(component, components, slab_labels), spacing_nm, parameters
            )
            if pieces.max() > 1:
                found[component] = _measure_pieces(
                    pieces, components.measures.boxes[component], source, mixture, parameters
                )
                whole[component] = False
    return _number(components.measures, whole, found, spacing_nm, parameters)


def _components_to_split(
    measures: ComponentMeasures, voxel_nm3: float, parameters: NanoparticleParameters
) -> Iterator[int]:
    """List the components to split: with a core, large enough for two particles, and with a box that fits in memory."""
    extents = measures.boxes[:, 3:] - measures.boxes[:, :3]
    fitting = np.prod(extents, axis=1) <= MAX_BOX_VOXELS
    double = measures.sums[:, VOXELS] * voxel_nm3 >= 2 * parameters.min_volume_nm3
    return (int(n) for n in np.flatnonzero(fitting & double & (measures.sums[:, CORE] > 0)))


def _measure_pieces(
    pieces: NDArray[np.uint32],
    box: NDArray[np.int64],
    source: ArrayLike,
    mixture: Mixture,
    parameters: NanoparticleParameters,
) -> ComponentMeasures:
    region = _region(box)
    origin = (int(box[0]), int(box[1]), int(box[2]))
    slices = read_measured_slices(source, mixture, parameters, region[0], region[1:])
    return measure_components(pieces, slices, origin, source.shape)


def _number(
    measures: ComponentMeasures,
    whole: NDArray[np.bool_],
    found: dict[int, ComponentMeasures],
    spacing_nm: SpacingNm,
    parameters: NanoparticleParameters,
) -> ParticleLabels:
    kept = np.flatnonzero(whole)
    everything = concatenate_measures([measures.take(kept), *found.values()])
    particles = np.flatnonzero(
        large_enough(everything, float(np.prod(spacing_nm)), parameters.min_volume_nm3)
    )
    order = particles[np.argsort(everything.sums[particles, FIRST])]
    label_of = np.zeros(len(everything), np.uint32)
    label_of[order] = np.arange(1, len(order) + 1)
    labels = np.zeros(len(measures), np.uint32)
    labels[kept] = label_of[: len(kept)]
    bounds = len(kept) + np.cumsum([0, *(len(piece) for piece in found.values())])
    pieces = {
        component: label_of[start:stop]
        for component, start, stop in zip(found, bounds[:-1], bounds[1:], strict=True)
    }
    return ParticleLabels(everything.take(order), labels, pieces, spacing_nm, parameters)


def _region(box: NDArray[np.int64]) -> Region:
    return tuple(slice(int(a), int(b)) for a, b in zip(box[:3], box[3:], strict=True))
