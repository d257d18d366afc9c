"""Label volumes and operations for the tests of corrections."""

from collections.abc import Sequence

import numpy as np

from spherovem_core.corrections import Anchor, Entry, Operation
from spherovem_core.corrections.grid import LabelGrid
from spherovem_core.corrections.object_box import ObjectBox
from spherovem_core.corrections.splitting import find_seed_cut

SPACING_NM = (50.0, 20.0, 20.0)
ORIGIN_NM = (100.0, 40.0, 20.0)


def entries_of(operations: Sequence[Operation]) -> list[Entry]:
    """Number operations as a journal would."""
    return [
        Entry(number, f"id{number}", "Ada", "2026-11-30T00:00:00+00:00", "", operation)
        for number, operation in enumerate(operations, 1)
    ]


def grid_of(labels: np.ndarray) -> LabelGrid:
    return LabelGrid(labels.shape, SPACING_NM, ORIGIN_NM)


def anchor_at(labels: np.ndarray, index: Sequence[int], *, with_volume: bool = True) -> Anchor:
    """Anchor at a voxel, with the volume of the object there."""
    grid, label = grid_of(labels), labels[tuple(index)]
    volume = float((labels == label).sum()) * grid.voxel_um3 if with_volume and label else None
    return Anchor(point_um=grid.point_of(index), volume_um3=volume)


def anchor_of(labels: np.ndarray, label: int, *, with_volume: bool = True) -> Anchor:
    """Anchor at the middle voxel of an object, in C order."""
    places = np.argwhere(labels == label)
    return anchor_at(labels, places[len(places) // 2], with_volume=with_volume)


def ball(shape: Sequence[int], centre: Sequence[float], radius: float) -> np.ndarray:
    """Voxels of a ball, centre and radius in µm from the centre of voxel (0, 0, 0)."""
    axes = [(np.arange(n) * s / 1000 - c) ** 2 for n, s, c in zip(shape, SPACING_NM, centre, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2] < radius**2


def boxes(shape: tuple[int, int, int] = (20, 60, 90), seed: int = 0) -> np.ndarray:
    """Blocks of about 8 x 15 x 15 voxels with gaps, each an object of its own number."""
    random = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    number = 0
    for z in range(0, shape[0] - 7, 10):
        for y in range(0, shape[1] - 11, 15):
            for x in range(0, shape[2] - 11, 15):
                number += 1
                depth, height, width = random.integers((6, 9, 9), (11, 16, 16))
                labels[z : z + depth, y : y + height, x : x + width] = number
    return labels


def split_at_seeds(
    mask: np.ndarray, spacing: tuple[float, float, float], seeds: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """Cut an object between seeds, block by block; 0 outside the object, 1 for the part of the first seed."""
    box, parts = ObjectBox.of(mask), np.zeros(mask.shape, np.uint16)
    cut = find_seed_cut(box, spacing, seeds)
    for region in box.blocks():
        parts[region] = cut.parts(box, region)
    return parts
