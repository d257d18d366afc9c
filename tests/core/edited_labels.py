"""Random corrections of label volumes: merge, split, delete, paint, move a border, renumber."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint32]
Edit = Callable[[Labels, np.random.Generator], None]


def random_edits(labels: Labels, rng: np.random.Generator, count: int = 3) -> Labels:
    """Apply some corrections to a copy of the labels."""
    edited = labels.copy()
    for edit in rng.choice(len(EDITS), count):
        if edited.any():
            EDITS[edit](edited, rng)
    return edited


def merge(labels: Labels, rng: np.random.Generator) -> None:
    """Give one label the number of another."""
    first, second = rng.choice(np.unique(labels[labels > 0]), 2)
    labels[labels == first] = second


def split(labels: Labels, rng: np.random.Generator) -> None:
    """Cut a label across one axis; the far part becomes a new label."""
    label = _any(labels, rng)
    places = np.nonzero(labels == label)
    axis = rng.integers(3)
    far = places[axis] > np.median(places[axis])
    labels[tuple(index[far] for index in places)] = labels.max() + 1


def delete(labels: Labels, rng: np.random.Generator) -> None:
    """Delete a label."""
    labels[labels == _any(labels, rng)] = 0


def paint(labels: Labels, rng: np.random.Generator) -> None:
    """Paint a box anywhere, over whatever is there, as a new label or as part of one."""
    low = [rng.integers(0, max(1, n - 4)) for n in labels.shape]
    high = [a + rng.integers(2, 9) for a in low]
    number = labels.max() + 1 if rng.random() < 0.5 else _any(labels, rng)
    labels[tuple(map(slice, low, high))] = number


def move_border(labels: Labels, rng: np.random.Generator) -> None:
    """Let a label grow by one voxel along one axis, over its neighbours."""
    label, axis = _any(labels, rng), rng.integers(3)
    grown = np.roll(labels == label, rng.choice((-1, 1)), axis)
    labels[grown] = label


def renumber(labels: Labels, rng: np.random.Generator) -> None:
    """Give all labels other numbers; no voxel changes hands."""
    numbers = np.unique(labels[labels > 0])
    fresh = np.zeros(int(labels.max()) + 1, np.uint32)
    fresh[numbers] = rng.permutation(len(numbers)).astype(np.uint32) + rng.integers(1, 40, dtype=np.uint32)
    labels[:] = fresh[labels]


def _any(labels: Labels, rng: np.random.Generator) -> np.uint32:
    return np.uint32(rng.choice(np.unique(labels[labels > 0])))


EDITS: tuple[Edit, ...] = (merge, split, delete, paint, move_border, renumber)
