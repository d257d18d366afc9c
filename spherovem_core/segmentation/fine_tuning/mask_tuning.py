"""Choice of the parameters of masks by objects labelled in 3D: one half of the labelled box chooses, the other one tests."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink, Region
from spherovem_core.errors import LabelsError
from spherovem_core.execution import Execution
from spherovem_core.label_overlaps import count_overlaps
from spherovem_core.parameters import MaskParameters
from spherovem_core.segmentation.evaluation.information import variation_of_information
from spherovem_core.segmentation.evaluation.matching import count_scores, match_objects
from spherovem_core.segmentation.learned_merging import LearnedMerging
from spherovem_core.segmentation.mask_inputs import MaskInputs
from spherovem_core.segmentation.stitching import segment_masks

STRENGTHS = (0.2, 0.1, 0.3, 0.05, 0.0)
LEARNED_STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.7)
THRESHOLD_STEPS = (-1.0, 1.0)
SMOOTHINGS = (0.0, 1.0, 2.0, 3.0)
SIZE_FACTORS = (0.5, 1.5, 2.0)
TIE = 0.005
"""F1 by which a candidate must be better, unless the variation of information is lower by as many bits."""
LEAST_OBJECTS = 4
"""Labelled objects in each half."""
SMALLEST_PERCENTILE, SMALLEST_FRACTION = 5.0, 0.25
"""Objects below a quarter of this percentile of the sizes of labelled ones do not count: most are cut by the box."""


@dataclass(frozen=True)
class MaskScore:
    """F1 at an IoU of 0.5, and variation of information on labelled objects in bits."""

    f1: float
    voi_bits: float

    def beats(self, other: "MaskScore") -> bool:
        """Return whether F1 is clearly higher, or as high with less variation of information."""
        if abs(self.f1 - other.f1) > TIE:
            return self.f1 > other.f1
        return self.voi_bits < other.voi_bits - TIE


@dataclass(frozen=True)
class TunedMasks:
    """Outcome of `tune_masks`.

    Attributes
    ----------
    values
        Parameters of `MaskParameters` by name; `strongest` for the largest strength at which a learned model merges.
    choice
        Scores in the half by which they were chosen, before and after; no fair test.
    stated
        Scores in the other half, before and after.
    objects
        Labelled objects in the half that chose, and in the other.
    """

    values: dict[str, float]
    choice: tuple[MaskScore, MaskScore]
    stated: tuple[MaskScore, MaskScore]
    objects: tuple[int, int]

    def described(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def tune_masks(
    inputs: MaskInputs,
    truth: NDArray[np.uint32],
    start: MaskParameters,
    execution: Execution,
    learned: LearnedMerging | None = None,
) -> TunedMasks:
    """Choose the parameters of masks by labels in 3D.

    Each parameter in turn takes the value with the highest F1 in the first half of the labelled box along its longest side;
    the others stay as they are. The second half decides nothing.

    Parameters
    ----------
    inputs
        Flows and image around the labelled box, on one grid.
    truth : (Z, Y, X) ndarray of uint32
        Labels on that grid. All within their bounding box is known: 0 is background there.
    start
        Parameters that are compared with.
    execution
        Workers, blocks, deadline and progress.
    learned
        Model of merging of the network.

    Raises
    ------
    LabelsError
        If a half holds fewer than four objects.
    """
    halves = halves_of(truth)
    counts = [len(fastremap.unique(truth[half])) - bool((truth[half] == 0).any()) for half in halves]
    if min(counts) < LEAST_OBJECTS:
        raise LabelsError(
            f"the labels in 3D show {counts[0]} objects in one half of their box and {counts[1]} in the other; parameters of "
            f"masks are chosen by {LEAST_OBJECTS} and more: label a larger box"
        )

    def segment(values: dict[str, float]) -> NDArray[np.uint32]:
        return _segment(inputs, start, values, execution, learned)

    best = _first(start, learned)
    labels = segment(best)
    before = after = [_score(truth[half], labels[half]) for half in halves]
    tried = list(_candidates(best))
    for done, (name, value) in enumerate(tried):
        execution.report(done, len(tried))
        if best[name] == value:
            continue
        other = best | {name: value}
        labels = segment(other)
        score = _score(truth[halves[0]], labels[halves[0]])
        if score.beats(after[0]):
            best, after = other, [score, _score(truth[halves[1]], labels[halves[1]])]
    return TunedMasks(best, (before[0], after[0]), (before[1], after[1]), (counts[0], counts[1]))


def labelled_box(truth: NDArray[np.uint32]) -> Region:
    """Return the bounding box of all labels."""
    sides = []
    for axis in range(3):
        shown = np.flatnonzero(truth.any(axis=tuple(n for n in range(3) if n != axis)))
        sides.append(slice(int(shown[0]), int(shown[-1]) + 1))
    return tuple(sides)


def halves_of(truth: NDArray[np.uint32]) -> tuple[Region, Region]:
    """Return both halves of the labelled box along its longest side."""
    box = labelled_box(truth)
    axis = max(range(3), key=lambda n: box[n].stop - box[n].start)
    middle = (box[axis].start + box[axis].stop) // 2
    first, second = list(box), list(box)
    first[axis], second[axis] = slice(box[axis].start, middle), slice(middle, box[axis].stop)
    return tuple(first), tuple(second)


def _first(start: MaskParameters, learned: LearnedMerging | None) -> dict[str, float]:
    values = {"probability_threshold": start.probability_threshold, "min_diameter_um": start.min_diameter_um}
    if learned is not None:
        # Flows decide nothing where boundaries are learned.
        return values | {"strongest": learned.model.strongest}
    return values | {
        "flow_smoothing": start.flow_smoothing,
        "merge_boundary_strength": start.merge_boundary_strength,
    }


def _candidates(first: dict[str, float]) -> Iterable[tuple[str, float]]:
    """Yield the values to try, one parameter after another; the parameter with the largest effect comes first."""
    for name in ("strongest", "merge_boundary_strength"):
        if name in first:
            yield from ((name, value) for value in (LEARNED_STRENGTHS if name == "strongest" else STRENGTHS))
    if "flow_smoothing" in first:
        yield from (("flow_smoothing", value) for value in SMOOTHINGS)
    yield from (("probability_threshold", first["probability_threshold"] + step) for step in THRESHOLD_STEPS)
    yield from (
        ("min_diameter_um", float(f"{factor * first['min_diameter_um']:.3g}")) for factor in SIZE_FACTORS
    )


def _segment(
    inputs: MaskInputs,
    start: MaskParameters,
    values: dict[str, float],
    execution: Execution,
    learned: LearnedMerging | None,
) -> NDArray[np.uint32]:
    labels, provisional = (np.zeros(inputs.target.shape, np.uint32) for _ in range(2))
    own = {name: value for name, value in values.items() if name != "strongest"}
    if learned is not None:
        learned = replace(learned, model=replace(learned.model, strongest=values["strongest"]))
    # Progress is that of the candidates.
    quiet = replace(execution, progress=None)
    segment_masks(
        inputs,
        MemorySink(provisional),
        MemorySink(labels),
        start.model_copy(update=own),
        quiet,
        None,
        learned,
    )
    return labels


def _score(truth: NDArray[np.uint32], found: NDArray[np.uint32]) -> MaskScore:
    table = count_overlaps(truth, found)
    sizes = table.true.sizes[table.true.labels > 0]
    smallest = math.ceil(SMALLEST_FRACTION * float(np.percentile(sizes, SMALLEST_PERCENTILE)))
    f1 = count_scores(table, match_objects(table, 0.5, smallest)).f1
    return MaskScore(f1, float(sum(variation_of_information(table, objects_only=True))))


def diameter_um(pixels: float, pixel_nm: float) -> float:
    """Return the diameter in µm of a ball whose largest section has as many pixels."""
    return 2 * math.sqrt(pixels / math.pi) * pixel_nm / 1000
