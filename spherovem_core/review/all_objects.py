"""Examination of all objects of a segmentation; what was examined before is taken over."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import map_blocks
from spherovem_core.known_blocks import KnownResults
from spherovem_core.label_statistics import collect_label_statistics
from spherovem_core.review.examination import Contact, Examination, Examined, Inside, examine
from spherovem_core.review.faces import FaceEvidence
from spherovem_core.review.hulls import hull_of_points
from spherovem_core.review.known_labels import coarse_labels
from spherovem_core.review.known_objects import (
    ObjectKeys,
    decode_faces,
    decode_inside,
    encode_faces,
    encode_inside,
    grid_boxes,
)
from spherovem_core.review.object_view import ObjectBox
from spherovem_core.review.review_grid import ReviewGrid
from spherovem_core.review.touching import Pair, Touch, find_touching

AHEAD = 16


@dataclass(frozen=True)
class _Work:
    """Settings of one review."""

    grid: ReviewGrid
    keys: ObjectKeys
    executor: Executor | None
    progress: Callable[[int, int], None] | None


def examine_objects(
    grid: ReviewGrid,
    known: KnownResults | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Examined]:
    """Examine every object with a voxel on the grid, in rising order of the labels.

    Parameters
    ----------
    known
        What was examined before on the same image and flows. What did not change since is taken from it, and the result is the
        same as without it.
    executor
        Maps objects; None examines them in the calling thread.
    progress
        Called with (done, total).
    """
    # Blocks of labels share the entries, and are not counted among objects and contacts. Labels in memory are read at once.
    stored = known is not None and hasattr(grid.level.labels, "shard_digest")
    blocks = KnownResults(known.entries, known.used) if known is not None and stored else None
    known = KnownResults() if known is None else known
    work = _Work(grid, ObjectKeys(grid, known), executor, progress)
    level = grid.level
    statistics = collect_label_statistics(coarse_labels(grid, level.labels), executor, known=blocks)
    nuclei = (
        None
        if level.nuclei is None
        else collect_label_statistics(coarse_labels(grid, level.nuclei), executor, known=blocks)
    )
    boxes = {box.label: box for box in grid_boxes(statistics)}
    touches = find_touching(grid, executor, blocks)
    inside, contacts = _examine(work, boxes, work.keys.objects(statistics, nuclei), touches)
    contents = dict(zip(boxes, statistics.hashes, strict=True))
    hulls = _union_hulls(work, [pair for pair in touches if set(pair) <= inside.keys()], contents, inside)
    by_label: dict[int, list[Contact]] = defaultdict(list)
    for (one, other), volume in hulls.items():
        by_label[one].append(Contact(other, contacts[one, other], volume))
    return [
        Examined(**vars(found), label=label, contacts=tuple(by_label[label]))
        for label, found in sorted(inside.items())
    ]


def _examine(
    work: _Work, boxes: Mapping[int, ObjectBox], keys: Mapping[int, str], touches: Mapping[Pair, Touch]
) -> tuple[dict[int, Inside], dict[Pair, FaceEvidence]]:
    """Measure objects and contacts that are not known; a contact is read in the view of an object that is read anyway."""
    find, add = work.keys.find, work.keys.known.add
    inside: dict[int, Inside] = {}
    for label, key in keys.items():
        found = find(key, decode_inside)
        if found is not None:
            inside[label] = found
    contacts: dict[Pair, FaceEvidence] = {}
    wanted: dict[int, dict[int, Touch]] = defaultdict(dict)
    for (one, other), touch in touches.items():
        evidence = find(work.keys.contact(touch), decode_faces)
        if evidence is not None:
            contacts[one, other] = evidence
        elif one in inside and other not in inside:
            wanted[other][one] = touch
        else:
            wanted[one][other] = touch
    tasks = [
        Examination(box, label not in inside, wanted[label])
        for label, box in boxes.items()
        if label not in inside or label in wanted
    ]
    # In the order of their first slices, so that neighbours are read together.
    tasks.sort(key=lambda task: task.box.low[0])
    work.keys.known.count("objects", len(boxes) - len(inside), len(inside))
    work.keys.known.count("contacts", len(touches) - len(contacts), len(contacts))
    for done, (task, (found, measured)) in enumerate(
        map_blocks(examine, tasks, work.grid, executor=work.executor, ahead=AHEAD), 1
    ):
        label = task.box.label
        if found is not None:
            inside[label] = found
            add(keys[label], encode_inside(found))
        for other, evidence in measured.items():
            pair = (min(label, other), max(label, other))
            contacts[pair] = evidence
            add(work.keys.contact(touches[pair]), encode_faces(evidence))
        if work.progress is not None:
            work.progress(done, len(tasks))
    return inside, contacts


def _union_hulls(
    work: _Work, pairs: Sequence[Pair], contents: Mapping[int, str], inside: Mapping[int, Inside]
) -> dict[Pair, float]:
    """Return the volumes of the convex hulls of pairs of objects."""
    keys = {pair: work.keys.hull(contents[pair[0]], contents[pair[1]]) for pair in pairs}
    volumes = {pair: work.keys.find(key, float) for pair, key in keys.items()}
    unknown = [pair for pair, volume in volumes.items() if volume is None]
    parts = [_hulls_of(inside[one], inside[other]) for one, other in unknown]
    measured = map_blocks(_union_hull, parts, executor=work.executor, ahead=4 * AHEAD)
    for pair, (_, volume) in zip(unknown, measured, strict=True):
        volumes[pair] = volume
        work.keys.known.add(keys[pair], volume)
    return {pair: volumes[pair] or 0.0 for pair in pairs}


def _hulls_of(one: Inside, other: Inside) -> tuple[NDArray[np.float32], float]:
    """Return the corners of two hulls, in an order that does not depend on the labels, and the sum of the hulls."""
    first, second = sorted((one, other), key=lambda each: (each.hull_um3, each.hull_um.tobytes()))
    return np.concatenate([first.hull_um, second.hull_um]), first.hull_um3 + second.hull_um3


def _union_hull(hulls: tuple[NDArray[np.float32], float]) -> float:
    corners, total = hulls
    return hull_of_points(corners.astype(np.float64), total)[1]
