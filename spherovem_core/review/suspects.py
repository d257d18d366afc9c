"""Ranking of the objects that are probably wrong, with reason, place and remedy."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_statistics import (
    BOX_COLUMNS,
    CENTROID_COLUMNS,
    LabelStatistics,
    collect_label_statistics,
)
from spherovem_core.object_kinds import ObjectKind
from spherovem_core.review.all_objects import examine_objects
from spherovem_core.review.boundary_shift import UNKNOWN, shift_interval_um
from spherovem_core.review.confidence import confidence_table
from spherovem_core.review.examination import Examined
from spherovem_core.review.features import Usual, scrap, usual_figures
from spherovem_core.review.hypotheses import Hypothesis, one_in_two, two_in_one
from spherovem_core.review.known_objects import grid_boxes
from spherovem_core.review.object_view import ObjectBox
from spherovem_core.review.oddities import BASE, Oddity, find_oddities
from spherovem_core.review.review_grid import PlacedField, ReviewLevel, choose_grid
from spherovem_core.spacing import NM_PER_UM, SpacingNm
from spherovem_core.store.columns import SUSPECT_COLUMNS

SEED_COLUMNS = tuple(f"seed_{n}_{axis}_um" for n in (1, 2) for axis in "zyx")
COLUMNS = tuple(column.name for column in SUSPECT_COLUMNS)

MOST = 2000
"""Rows of a table of suspects."""

VOXELS_ACROSS = 32
"""Voxels of a view along the usual diameter of an object."""

LEAST_SCORE = -4.0
"""Log odds below which nothing is a suspect: 1 in 55."""

ODDITY_SHARE = 0.5
"""Weight of an object's oddities where there is a certain hypothesis: they partly tell the same."""


def find_suspects(
    levels: Sequence[ReviewLevel],
    *,
    flows: PlacedField | None = None,
    table: pd.DataFrame | None = None,
    accepted: Sequence[Sequence[float]] = (),
    known: KnownResults | None = None,
    known_blocks: KnownResults | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Rank the objects of a segmentation that are probably wrong.

    Every object is read once with its surroundings, on a coarse grid of some 32 voxels across the usual object. There the image's
    boundary gradient, the logit and the flows are measured at each contact with a neighbour, relative to what is usual at
    contacts of this acquisition. The same is done on the best cuts that would divide the object; they are found by evidence, by
    shape and between nuclei. With the convexity of the parts, their nuclei and volumes this becomes the log odds that two
    neighbours are one object, or that one object is two (`spherovem_core.review.weights`). Oddities of flows, volume and shape
    are added. An absent source weighs nothing: with labels alone, only shape and volume speak.

    Parameters
    ----------
    levels
        Levels of the pyramid of labels, image and nuclei, the finest first. One level is enough, but reads more.
    flows : (4, Z, Y, X) array, optional
        dz, dy, dx and the logit of the probability.
    table
        Table of the objects with the descriptors of shape, for odd shapes and for nuclei outside cells.
    accepted
        Points z, y, x in µm. Objects there were found right by a person and are left out.
    known
        What was examined before on the same image and flows (`spherovem_core.review.known_objects`). What did not change since is
        taken from it, and the table is the same as without it.
    known_blocks
        Statistics of blocks of the finest labels so far.
    executor
        Maps objects; None examines them in the calling thread. Runs on the CPU.
    progress
        Called with (done, total).

    Returns
    -------
    DataFrame
        One row per suspect, the most probable first, with `COLUMNS`. `operation` is ``merge`` of `label` with `other_label`,
        ``split`` between the two seeds, ``delete`` or ``look``. `score` is the natural logarithm of the odds that the object is
        wrong. The centroid columns hold the place to look at: within the object, on the contact, or on the cut. Bounding boxes
        are in voxels of the finest level and cover both objects of a pair. A label stands in the column `label` once.
    """
    return examine_labels(
        levels,
        flows=flows,
        known=known,
        known_blocks=known_blocks,
        executor=executor,
        progress=progress,
    ).suspects(table, accepted)


@dataclass(frozen=True)
class ExaminedLabels:
    """All objects of a segmentation, examined.

    Attributes
    ----------
    statistics
        Statistics of the finest labels.
    objects
        Those that have a voxel on the grid.
    truncated
        Fraction of each object's surface on the border of the volume.
    finest
        Finest level.
    flow_spacing_nm
        Voxel size of the flows; None without flows.
    """

    statistics: LabelStatistics
    objects: Sequence[Examined]
    truncated: Mapping[int, float]
    finest: ReviewLevel
    flow_spacing_nm: SpacingNm | None = None

    def suspects(
        self, table: pd.DataFrame | None = None, accepted: Sequence[Sequence[float]] = ()
    ) -> pd.DataFrame:
        """Rank the objects that are probably wrong; see `find_suspects`."""
        hypotheses = judge(self.objects, self.truncated, table, has_nuclei=self.finest.nuclei is not None)
        right = accepted_labels(self.finest, accepted)
        kept = [each for each in hypotheses if not {each.label, each.other} & right]
        return _table(kept, {box.label: box for box in grid_boxes(self.statistics)})

    def confidence(self, kind: ObjectKind, has_flows: bool) -> pd.DataFrame:
        """Estimate how probably each object is right, and how far its surface may be shifted.

        Returns the table of `confidence_table` with ``boundary_shift_low_um`` and ``boundary_shift_high_um``, see
        `shift_interval_um`.
        """
        usual = usual_figures(
            self.objects, {label: fraction == 0 for label, fraction in self.truncated.items()}
        )
        labels = self.statistics.labels.tolist()
        found = confidence_table(kind, labels, self.objects, self.truncated, usual, has_flows)
        flows = self.flow_spacing_nm
        shifts = {
            one.label: UNKNOWN
            if flows is None or not has_flows
            else shift_interval_um(kind, one.slope, self.finest.spacing_nm, flows)
            for one in self.objects
        }
        ends = np.array([shifts.get(label, UNKNOWN) for label in labels], float).reshape(-1, 2)
        return found.assign(boundary_shift_low_um=ends[:, 0], boundary_shift_high_um=ends[:, 1])


def examine_labels(
    levels: Sequence[ReviewLevel],
    *,
    flows: PlacedField | None = None,
    known: KnownResults | None = None,
    known_blocks: KnownResults | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExaminedLabels:
    """Examine all objects of a segmentation; parameters as those of `find_suspects`."""
    statistics = collect_label_statistics(levels[0].labels, executor, known=known_blocks)
    if not len(statistics):
        return ExaminedLabels(statistics, (), {}, levels[0])
    objects = examine_all(levels, statistics, flows, known, executor, progress)
    truncated = truncated_fractions(statistics, levels[0])
    spacing = None if flows is None else flows.spacing_nm
    return ExaminedLabels(statistics, objects, truncated, levels[0], spacing)


def examine_all(
    levels: Sequence[ReviewLevel],
    statistics: LabelStatistics,
    flows: PlacedField | None = None,
    known: KnownResults | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Examined]:
    """Examine every object on the grid for objects of their usual size; one without a voxel on it is left out."""
    grid = choose_grid(levels, flows, _voxel_nm(statistics, levels[0]), known)
    return examine_objects(grid, known, executor, progress)


def judge(
    objects: Sequence[Examined],
    truncated: Mapping[int, float],
    table: pd.DataFrame | None = None,
    has_nuclei: bool = False,
) -> list[Hypothesis]:
    """Return the hypotheses about examined objects, the most probable first; each label is the subject of one."""
    by_label = {one.label: one for one in objects}
    usual = usual_figures(objects, {label: fraction == 0 for label, fraction in truncated.items()})
    oddities = find_oddities(objects, truncated, table, has_nuclei)
    candidates = []
    for one in objects:
        candidates.append(_look(one, oddities[one.label]))
        candidates.append(two_in_one(one, usual, truncated.get(one.label, 0.0) == 0))
        candidates += [
            one_in_two(one, by_label[contact.other], contact, usual)
            for contact in one.contacts
            if one.label < contact.other and contact.other in by_label
        ]
    scored = [_with_oddities(each, oddities, by_label, usual) for each in candidates if each is not None]
    scored = [each for each in scored if each.score >= LEAST_SCORE]
    scored.sort(key=lambda each: (-each.score, each.label, each.other))
    return _each_once(scored)


def accepted_labels(level: ReviewLevel, points_um: Sequence[Sequence[float]]) -> set[int]:
    """Return the labels at some points in µm; points outside the volume and on background have none."""
    found = set()
    for point in points_um:
        index = np.rint(
            (np.array(point) * NM_PER_UM - np.array(level.origin_nm)) / np.array(level.spacing_nm)
        ).astype(int)
        if (index >= 0).all() and (index < np.array(level.labels.shape)).all():
            found.add(int(np.asarray(level.labels[tuple(slice(i, i + 1) for i in index.tolist())]).item()))
    return found - {0}


def _each_once(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Keep the strongest hypothesis of every label; a pair may stand under either of its labels."""
    taken: set[int] = set()
    kept = []
    for each in hypotheses:
        if each.label in taken:
            if each.other == 0 or each.other in taken:
                continue
            each = replace(each, label=each.other, other=each.label, seeds_um=each.seeds_um[::-1])
        taken.add(each.label)
        kept.append(each)
    return kept


def _look(one: Examined, oddity: Oddity) -> Hypothesis | None:
    if oddity.weight <= 0:
        return None
    operation = "delete" if oddity.wrong else "look"
    return Hypothesis(one.label, 0, operation, BASE, (), (), one.inside_um)


def _with_oddities(
    hypothesis: Hypothesis, oddities: Mapping[int, Oddity], by_label: Mapping[int, Examined], usual: Usual
) -> Hypothesis:
    own = oddities[hypothesis.label]
    certain = hypothesis.operation in ("merge", "split")
    small = 0.0 if hypothesis.operation == "merge" else scrap(by_label[hypothesis.label].volume_um3, usual)
    changed = replace(
        hypothesis,
        score=hypothesis.score + own.weight * (ODDITY_SHARE if certain else 1.0) - small,
        reasons=hypothesis.reasons + own.reasons,
        figures=hypothesis.figures + own.figures,
    )
    if own.wrong:
        return replace(changed, operation="delete", other=0, seeds_um=np.full((2, 3), np.nan))
    return changed


def _voxel_nm(statistics: LabelStatistics, level: ReviewLevel) -> float:
    whole = (statistics.cuts == 0).all(axis=1)
    counts = statistics.voxel_count[whole] if whole.sum() >= 5 else statistics.voxel_count
    volume = float(np.median(counts)) * math.prod(level.spacing_nm)
    return float(np.cbrt(6 / np.pi * volume)) / VOXELS_ACROSS


def truncated_fractions(statistics: LabelStatistics, level: ReviewLevel) -> dict[int, float]:
    """Return, by label, the fraction of the surface on the border of the volume."""
    areas = math.prod(level.spacing_nm) / np.array(level.spacing_nm)
    cuts, faces = statistics.cuts @ areas, statistics.faces @ areas
    fractions = cuts / np.maximum(cuts + faces, 1e-9)
    return dict(zip(statistics.labels.tolist(), fractions.tolist(), strict=True))


def _table(hypotheses: Sequence[Hypothesis], boxes: Mapping[int, ObjectBox]) -> pd.DataFrame:
    rows = []
    for each in hypotheses:
        members = [boxes[n] for n in (each.label, each.other) if n]
        reasons = tuple(dict.fromkeys(each.reasons)) or ("several weak signs",)
        row: dict[str, Any] = {
            "label": each.label,
            "other_label": each.other,
            "operation": each.operation,
            "reason": ", ".join(reasons),
            "explanation": sentence(each.figures),
            "score": each.score,
        }
        row |= dict(zip(CENTROID_COLUMNS, each.place_um.tolist(), strict=True))
        low = np.min([box.low for box in members], axis=0)
        high = np.max([box.high for box in members], axis=0)
        row |= dict(zip(BOX_COLUMNS, [*low.tolist(), *high.tolist()], strict=True))
        row |= dict(zip(SEED_COLUMNS, each.seeds_um.ravel().tolist(), strict=True))
        rows.append(row)
    return suspect_table(rows)


def sentence(figures: Sequence[str]) -> str:
    """Join parts of a sentence."""
    text = "; ".join(figures)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def suspect_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of suspects from its rows, the most probable first; those beyond `MOST` are left out."""
    frame = pd.DataFrame(list(rows[:MOST]), columns=list(COLUMNS))
    frame["rank"] = np.arange(1, len(frame) + 1)
    types = {column.name: "str" if column.type == "string" else column.type for column in SUSPECT_COLUMNS}
    return frame.astype(types)
