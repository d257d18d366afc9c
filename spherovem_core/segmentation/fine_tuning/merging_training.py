"""Training of a merging model on labelled slices of a volume."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import MemorySink, block_grid
from spherovem_core.errors import LabelsError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import count_overlaps, pool
from spherovem_core.parameters import ObjectParameters
from spherovem_core.segmentation.boosted_trees import NO_TREES, BoostedTrees, fit_trees
from spherovem_core.segmentation.evaluation.information import variation_of_information
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice, TrainingRegion
from spherovem_core.segmentation.learned_merging import LearnedGraph, LearnedMerging, features_on_flows
from spherovem_core.segmentation.merging import merge_in_order
from spherovem_core.segmentation.merging_model import MergingModel
from spherovem_core.segmentation.stitching import measure_blocks
from spherovem_core.segmentation.supervoxels import Supervoxels
from spherovem_core.segmentation.voxel_features import MARGIN

FOLDS = 2
PIXELS_PER_SLICE = 15000
GAP = 2
"""Pixels up to which background beside an object counts as boundary: a membrane that was left out of the labels."""
LEAST_PURITY, LEAST_PIXELS = 0.7, 6
"""A section of an object has the label that covers this fraction of it, from this number of pixels on."""
STAGES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Strengths up to which training contacts are merged before the contacts of the merged objects are learned too."""
TOLERANCE = 1.05
"""Slices do not show all mergers in 3D, and their variation of information hardly depends on the threshold: that of 0.5 is
taken unless it is worse than the best by more than this factor. On FIB-SEM of neuropil it was within 5 % from 0.45 to 0.9 and
from 0.35 to 0.7 in two parts; in 3D it was least at 0.4 to 0.5 and at 0.8."""
THRESHOLDS = np.round(np.arange(0.1, 0.96, 0.05), 2)
LEAST_CONTACTS = 20


@dataclass
class _Examples:
    """Features of contacts (31,) and whether both objects are different."""

    features: list[NDArray[np.float32]] = field(default_factory=list)
    different: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class MergingScores:
    """Agreement of merged objects with the labels of slices that neither trees had seen.

    Attributes
    ----------
    thresholds
        Values of `MergingModel.strongest` that were tried.
    split_bits, merge_bits
        Variation of information within the labelled slices for each, see `variation_of_information`.
    contacts, different
        Number of contacts in the training, and of those between different objects.
    """

    thresholds: NDArray[np.float64]
    split_bits: NDArray[np.float64]
    merge_bits: NDArray[np.float64]
    contacts: int
    different: int


def learn_merging(
    regions: Sequence[TrainingRegion],
    intensities: tuple[float, float],
    percentiles: tuple[float, float],
    parameters: ObjectParameters,
    execution: Execution,
    seed: int = 0,
) -> tuple[MergingModel, MergingScores]:
    """Learn boundaries and merging from labelled slices.

    Trees first learn whether a voxel lies at a boundary, from the pixels of all slices. Other trees learn whether the contact of
    two supervoxels separates different objects: contacts that a slice cuts, between supervoxels with a label in it. As in the
    learned agglomeration of Nunez-Iglesias et al. 2013 (PLOS ONE 8), contacts of partly merged objects are learned too.

    Slices are divided in two halves. Contacts are learned from the one half, of supervoxels whose boundaries were learned from
    the other. The largest strength at which objects are merged is the one nearest to 0.5 that has nearly the least
    variation of information in slices that neither trees had seen.

    Parameters
    ----------
    regions
        Parts of the volume with their flows and labelled slices.
    intensities, percentiles
        Intensities of the volume that become 0 and 1, and their percentiles.
    parameters
        `probability_threshold` and filters; the others have no effect.
    execution
        Workers, blocks, deadline and progress.

    Raises
    ------
    LabelsError
        If the slices show too few contacts of different objects, or of parts of one object.
    """
    slices = [one for region in regions for one in region.slices]
    fold_of = folds(slices)
    pixels = _boundary_pixels(regions, intensities, seed)
    boundaries = [
        _fit_boundary(pixels, [n for n, f in fold_of.items() if f != fold], seed) for fold in range(FOLDS)
    ]
    scenes = [
        _Scene.make(
            region,
            boundaries[fold],
            [s for s in region.slices if fold_of[s.name] == fold],
            fold,
            intensities,
            parameters,
            execution,
        )
        for region in regions
        for fold in range(FOLDS)
        if any(fold_of[s.name] == fold for s in region.slices)
    ]
    by_fold = [_examples([s for s in scenes if s.fold == fold], seed) for fold in range(FOLDS)]
    contacts = [_fit_contact(one, seed) for one in by_fold]
    split, merge = _scores(scenes, [contacts[1 - fold] for fold in range(FOLDS)])
    both = _Examples([f for e in by_fold for f in e.features], [d for e in by_fold for d in e.different])
    model = MergingModel(
        _fit_boundary(pixels, list(fold_of), seed),
        _fit_contact(both, seed),
        choose_threshold(split + merge),
        regions[0].grid.spacing_nm[-1],
        percentiles,
        regions[0].grid.in_sections,
    )
    return model, MergingScores(THRESHOLDS, split, merge, len(both.different), sum(both.different))


def folds(slices: Sequence[PlacedSlice]) -> dict[str, int]:
    """Return the half, 0 or 1, to which each slice belongs, by its name; neighbours are in different ones."""
    ordered = sorted(slices, key=lambda s: (s.axis, s.index, s.name))
    return {one.name: n % FOLDS for n, one in enumerate(ordered)}


def choose_threshold(bits: NDArray[np.float64]) -> float:
    """Return the threshold of `THRESHOLDS` nearest to 0.5 whose variation of information is nearly the least."""
    good = THRESHOLDS[bits <= TOLERANCE * bits.min()]
    return float(good[int(np.argmin(np.abs(good - 0.5)))])


def boundary_pixels(labels: NDArray[np.uint32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels of a labelled slice lie at a boundary of objects, and which are known to or not to.

    A pixel with a neighbour of another label lies at a boundary, and so does background up to 2 pixels from an object. Other
    background is unknown.
    """
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        ahead = tuple(slice(1, None) if n == axis else slice(None) for n in range(2))
        behind = tuple(slice(None, -1) if n == axis else slice(None) for n in range(2))
        differs = labels[ahead] != labels[behind]
        edge[ahead] |= differs
        edge[behind] |= differs
    inside = labels > 0
    near = ndimage.binary_dilation(inside, iterations=GAP)
    return edge | (near & ~inside), near


Pixels = dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]


def _boundary_pixels(
    regions: Sequence[TrainingRegion], intensities: tuple[float, float], seed: int
) -> Pixels:
    """Return features (21, n) and classes (n,) of pixels of each slice."""
    found: Pixels = {}
    for region in regions:
        inputs = region.inputs
        for one in region.slices:
            place = list(one.region)
            place[one.axis] = slice(one.index, one.index + 1)
            outer = tuple(
                slice(max(0, s.start - MARGIN), min(n, s.stop + MARGIN))
                for s, n in zip(place, region.grid.shape, strict=True)
            )
            inner = tuple(
                slice(s.start - o.start, s.stop - o.start) for s, o in zip(place, outer, strict=True)
            )
            step = region.grid.spacing_nm[0] / region.grid.spacing_nm[2]
            features = features_on_flows(outer, inputs, intensities, step)[0][(slice(None), *inner)].squeeze(
                one.axis + 1
            )
            edge, known = boundary_pixels(one.labels)
            generator = np.random.default_rng((seed, len(found)))
            chosen = generator.permutation(np.flatnonzero(known))[:PIXELS_PER_SLICE]
            found[one.name] = (features.reshape(len(features), -1)[:, chosen], edge.ravel()[chosen])
    return found


def _fit_boundary(pixels: Pixels, names: Sequence[str], seed: int) -> BoostedTrees:
    features = np.concatenate([pixels[name][0] for name in names], axis=1)
    edge = np.concatenate([pixels[name][1] for name in names])
    if edge.all() or not edge.any():
        raise LabelsError(
            "the labelled slices show no boundary between objects; label whole regions with touching objects"
        )
    return fit_trees(features, edge, trees=100, leaves=31, least_samples=50, seed=seed)


@dataclass
class _Scene:
    """Supervoxels of a region, and the labelled slices from which their contacts are learned."""

    region: TrainingRegion
    slices: list[PlacedSlice]
    fold: int
    numbers: NDArray[np.uint32]
    supervoxels: Callable[[], Supervoxels]

    @classmethod
    def make(
        cls,
        region: TrainingRegion,
        boundary: BoostedTrees,
        slices: list[PlacedSlice],
        fold: int,
        intensities: tuple[float, float],
        parameters: ObjectParameters,
        execution: Execution,
    ) -> "_Scene":
        numbers = np.zeros(region.grid.shape, np.uint32)
        blocks = block_grid(numbers.shape, (execution.block_voxels,) * 3, execution.block_halo_voxels)
        learned = LearnedMerging(
            MergingModel(
                boundary, NO_TREES, 0.0, region.grid.spacing_nm[-1], (0.0, 100.0), region.grid.in_sections
            ),
            intensities,
        )
        statistics = measure_blocks(
            blocks, region.inputs, MemorySink(numbers), parameters, execution, {}, learned
        )
        return cls(region, slices, fold, numbers, lambda: Supervoxels(statistics))

    def graph(self, supervoxels: Supervoxels, contact: BoostedTrees) -> LearnedGraph:
        spacing = self.region.grid.spacing_nm
        return LearnedGraph(supervoxels, spacing, contact, spacing[-1])

    def sections(self, roots: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.uint32]]]:
        """Return the object of each pixel of each slice, and the labels."""
        found = []
        for one in self.slices:
            place = list(one.region)
            place[one.axis] = slice(one.index, one.index + 1)
            found.append((roots[self.numbers[tuple(place)].squeeze(one.axis)], one.labels))
        return found


def _examples(scenes: Sequence[_Scene], seed: int) -> _Examples:
    """Collect contacts of supervoxels, then those of objects merged by what was learned so far."""
    examples = _Examples()
    for scene in scenes:
        supervoxels = scene.supervoxels()
        _collect(scene, supervoxels, scene.graph(supervoxels, NO_TREES), examples)
    first = _fit_contact(examples, seed)
    for scene in scenes:
        supervoxels = scene.supervoxels()
        graph = scene.graph(supervoxels, first)
        for stage in STAGES:
            supervoxels.join(merge_in_order(graph, stage)[0])
            _collect(scene, supervoxels, graph, examples)
    return examples


def _collect(scene: _Scene, supervoxels: Supervoxels, graph: LearnedGraph, examples: _Examples) -> None:
    votes: dict[tuple[int, int], list[int]] = {}
    for objects, labels in scene.sections(supervoxels.roots):
        known = section_labels(objects, labels)
        for a, b in touching_pairs(objects).tolist():
            if a in known and b in known and b in graph.contacts.get(a, {}):
                votes.setdefault((a, b), [0, 0])[int(known[a] != known[b])] += 1
    for (a, b), (same, different) in sorted(votes.items()):
        if same != different:
            examples.features.append(graph.features(a, b))
            examples.different.append(different > same)


def section_labels(objects: NDArray[np.int64], labels: NDArray[np.uint32]) -> dict[int, int]:
    """Return the label of each object in a slice, where one label covers enough of it."""
    pairs, counts = np.unique(np.stack([objects.ravel(), labels.ravel()]), axis=1, return_counts=True)
    found: dict[int, int] = {}
    totals: dict[int, int] = {}
    for (number, _), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        totals[number] = totals.get(number, 0) + count
    for (number, label), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        if label and count >= max(LEAST_PURITY * totals[number], LEAST_PIXELS):
            found[number] = label
    return found


def touching_pairs(objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pairs (M, 2) of objects that touch in a slice, the smaller number first."""
    beside = np.concatenate(
        [
            np.stack([objects[1:].ravel(), objects[:-1].ravel()], axis=1),
            np.stack([objects[:, 1:].ravel(), objects[:, :-1].ravel()], axis=1),
        ]
    )
    beside = np.sort(beside[beside[:, 0] != beside[:, 1]], axis=1)
    return np.unique(beside, axis=0)


def _fit_contact(examples: _Examples, seed: int) -> BoostedTrees:
    different = np.array(examples.different, bool)
    fewest = min(int(different.sum()), int((~different).sum()))
    if fewest < LEAST_CONTACTS:
        raise LabelsError(
            f"the labelled slices cut {int(different.sum())} contacts of different objects and {int((~different).sum())} within "
            f"an object; merging is learned from {LEAST_CONTACTS} of each: label more slices"
        )
    return fit_trees(
        np.stack(examples.features, axis=1), different, trees=60, leaves=8, least_samples=10, seed=seed
    )


def _scores(
    scenes: Sequence[_Scene], contacts: Sequence[BoostedTrees]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the variation of information, split and merge, in the slices for each of `THRESHOLDS`."""
    tables: list[list[object]] = [[] for _ in THRESHOLDS]
    for scene in scenes:
        supervoxels = scene.supervoxels()
        graph = scene.graph(supervoxels, contacts[scene.fold])
        for number, threshold in enumerate(THRESHOLDS.tolist()):
            supervoxels.join(merge_in_order(graph, threshold)[0])
            for objects, labels in scene.sections(supervoxels.roots):
                pieces = cc3d.connected_components(
                    objects.astype(np.uint32), connectivity=4, out_dtype=np.uint32
                )
                tables[number].append(count_overlaps(labels, pieces))
    bits = np.array([variation_of_information(pool(one), objects_only=True) for one in tables])  # type: ignore[arg-type]
    return bits[:, 0], bits[:, 1]
