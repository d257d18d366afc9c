"""Label volumes, and edits of them as a person makes them in another program."""

import numpy as np
from numpy.typing import NDArray

SPACING = (50.0, 10.0, 8.0)
EDITS = ("merge", "split", "delete", "paint", "erase", "add", "shift", "carve", "renumber")


def random_cells(
    rng: np.random.Generator, shape: tuple[int, int, int] = (10, 36, 40), count: int = 9
) -> NDArray[np.uint32]:
    """Make cells that touch each other, with background around some of them, and numbers with gaps."""
    places = rng.uniform(0, 1, (count, 3)) * shape
    sides = np.array(SPACING)
    grid = np.indices(shape).reshape(3, -1).T
    distance = (((grid[:, None] - places[None]) * sides) ** 2).sum(2)
    numbers = rng.choice(np.arange(1, 5 * count), count, replace=False).astype(np.uint32)
    labels = numbers[distance.argmin(1)]
    labels[np.sqrt(distance.min(1)) > 140] = 0
    return labels.reshape(shape)


def edit(labels: NDArray[np.uint32], kind: str, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Return a copy with one edit."""
    out = labels.copy()
    known = np.unique(labels[labels > 0])
    if len(known) < 2:
        return out
    chosen, other = rng.choice(known, 2, replace=False)
    new = int(labels.max()) + int(rng.integers(1, 5))
    z, y, x = np.indices(labels.shape)
    centre = np.argwhere(labels == chosen)[rng.integers(np.count_nonzero(labels == chosen))]
    ball = (
        ((z - centre[0]) * SPACING[0]) ** 2
        + ((y - centre[1]) * SPACING[1]) ** 2
        + ((x - centre[2]) * SPACING[2]) ** 2
    ) < rng.uniform(20, 110) ** 2
    if kind == "merge":
        out[labels == other] = chosen
    elif kind == "split":
        normal = rng.normal(size=3)
        side = (z - centre[0]) * normal[0] + (y - centre[1]) * normal[1] + (x - centre[2]) * normal[2] > 0
        out[(labels == chosen) & side] = new
    elif kind == "delete":
        out[labels == chosen] = 0
    elif kind == "paint":
        out[ball] = chosen
    elif kind == "erase":
        out[ball] = 0
    elif kind == "add":
        out[ball & (labels == 0)] = new
    elif kind == "carve":
        out[ball] = new
    elif kind == "shift":
        out = np.roll(labels, int(rng.integers(-2, 3)), axis=int(rng.integers(3)))
    elif kind == "renumber":
        numbers = rng.permutation(np.arange(1, len(known) + 1)) * 3
        for label, number in zip(known, numbers, strict=True):
            out[labels == label] = number
    return out
