"""Errors planted in labels: neighbours joined, and objects cut in two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

SPLITS = ("plane", "curved", "watershed")
SMALLEST_PART = 0.1
"""Volume of the smaller part of a planted split as a fraction of the object."""


@dataclass(frozen=True)
class Plant:
    """A planted error: `merge` of `labels` (now the first one), or a split that made both `labels`.

    Attributes
    ----------
    fraction
        Contact area over the smaller one's surface for a merge, the smaller part's fraction of the volume for a split.
    at_border
        True if one of them touches the border of the volume.
    """

    kind: str
    labels: tuple[int, int]
    fraction: float
    at_border: bool

    def is_undone_by(
        self, suspect: Mapping[Any, Any], before: NDArray[np.uint32], spacing_nm: Sequence[float]
    ) -> bool:
        """Tell whether the operation that a suspect suggests undoes it; `before` holds the labels before planting."""
        if self.kind != "merge":
            return suspect["operation"] == "merge" and {suspect["label"], suspect["other_label"]} == set(
                self.labels
            )
        if suspect["operation"] != "split" or suspect["label"] != self.labels[0]:
            return False
        return {int(before[seed]) for seed in seeds_of(suspect, spacing_nm)} == set(self.labels)


def seeds_of(suspect: Mapping[Any, Any], spacing_nm: Sequence[float]) -> list[tuple[int, ...]]:
    """Return the voxels of the seeds of a suggested split."""
    points = np.array([[suspect[f"seed_{n}_{axis}_um"] for axis in "zyx"] for n in (1, 2)])
    index = np.rint(points * 1000 / np.array(spacing_nm)).astype(int)
    return [tuple(place) for place in index.tolist()]


def contacts_of(labels: NDArray[np.uint32], spacing: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """Measure the common area of every pair of touching labels."""
    areas: dict[tuple[int, int], float] = {}
    for axis in range(3):
        a, b = np.delete(labels, -1, axis), np.delete(labels, 0, axis)
        touching = (a != b) & (a > 0) & (b > 0)
        pairs = np.sort(np.stack([a[touching], b[touching]]), axis=0)
        found, counts = np.unique(pairs, axis=1, return_counts=True)
        area = float(np.prod(spacing) / spacing[axis])
        for (one, other), count in zip(found.T.tolist(), counts.tolist(), strict=True):
            areas[one, other] = areas.get((one, other), 0.0) + count * area
    return areas


def plant_errors(
    labels: NDArray[np.uint32],
    spacing: NDArray[np.float64],
    usable: set[int],
    rng: np.random.Generator,
    merges: int = 20,
    splits: int = 20,
    kinds: tuple[str, ...] = SPLITS,
    gap: bool = False,
) -> tuple[NDArray[np.uint32], list[Plant]]:
    """Join and cut usable labels, each one once. `gap` leaves one voxel of background along a cut."""
    labels, plants = labels.copy(), []
    border = set(
        np.unique(
            np.concatenate([np.take(labels, end, axis).ravel() for axis in range(3) for end in (0, -1)])
        ).tolist()
    )
    areas = contacts_of(labels, spacing)
    boxes = ndimage.find_objects(labels.astype(np.int32))
    volumes = np.bincount(labels.ravel()) * np.prod(spacing)
    free = set(usable)
    pairs = sorted(pair for pair in areas if set(pair) <= free)
    # Small and large contacts alike: the rank of the contact is drawn, not its frequency.
    fraction = {pair: area / min(volumes[list(pair)]) ** (2 / 3) / 5 for pair, area in areas.items()}
    pairs = [pair for pair in pairs if fraction[pair] > 0.04]
    rng.shuffle(pairs)
    chosen = []
    for pair in pairs:
        if len(chosen) == merges:
            break
        if set(pair) <= free:
            chosen.append(tuple(pair))
            free -= set(pair)
    cells = sorted(free)
    rng.shuffle(cells)
    next_label = int(labels.max()) + 1
    done = 0
    for cell in cells:
        if done == splits:
            break
        box = boxes[cell - 1]
        mask = labels[box] == cell
        for _ in range(6):
            part = cut(mask, spacing, kinds[done % len(kinds)], rng)
            small = min(part.sum(), mask.sum() - part.sum()) / mask.sum()
            if small > SMALLEST_PART * 0.8:
                break
        else:
            continue
        labels[box][part] = next_label
        if gap:
            labels[box][part & ndimage.binary_dilation(mask & ~part)] = 0
        plants.append(Plant(kinds[done % len(kinds)], (cell, next_label), float(small), cell in border))
        next_label += 1
        done += 1
    for one, other in chosen:
        labels[labels == other] = one
        plants.append(Plant("merge", (one, other), fraction[one, other], bool({one, other} & border)))
    return labels, plants


def cut(
    mask: NDArray[np.bool_], spacing: NDArray[np.float64], kind: str, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose the part of an object that a cut takes away, from a tenth of it to half."""
    points = np.argwhere(mask) * spacing
    wanted = rng.uniform(SMALLEST_PART, 0.5)
    part = np.zeros(mask.shape, bool)
    if kind == "watershed":
        # A rough landscape, flooded from two voxels: the cut is ragged and follows no plane.
        rough = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 0.35 / spacing)
        places = np.argwhere(mask)
        order = np.argsort(points @ rng.standard_normal(3))
        markers = np.zeros(mask.shape, np.int32)
        for n, q in enumerate((rng.uniform(0.02, 0.2), rng.uniform(0.5, 0.98)), 1):
            markers[tuple(places[order[int(q * (len(order) - 1))]])] = n
        return np.asarray(watershed(rough, markers, mask=mask) == 1)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    if kind == "plane":
        score = points @ direction
    else:
        size = float(np.cbrt(len(points) * np.prod(spacing)))
        centre = points.mean(axis=0) + direction * size * rng.uniform(0.5, 1.2)
        score = np.linalg.norm(points - centre, axis=1)
    chosen = score < np.quantile(score, wanted)
    part[mask] = chosen
    return part
