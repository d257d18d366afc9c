"""Frames in single slices in which objects without a label are counted: their strata and their draw.

Every slice is divided into equal squares. An object without a label that crosses slice z has its profile's centre in exactly one
square of that slice, so that an object that spans h slices is met by h frames, whatever its size and place. The number of such
objects is then the number of all profiles by the mean of h: an estimate without bias from any stratified sample of frames
(Horvitz and Thompson 1952; the counting rule is that of Gundersen's frames, 1977, with centres for corners).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spherovem_core.audit.strata import allocate

EMPTIEST = 0.25
"""Fraction of all frames that make the stratum of the emptiest ones."""

EMPTY_WEIGHT = 2.0
"""Times that one of the emptiest frames is more probably drawn than another one."""

MOST_FRAMES = 2_000_000
"""Frames that are scored at most; beyond, those of some slices stand for those of all."""

Emptiness = Callable[[int], NDArray[np.float64]]
"""Function of a slice that returns a score for each frame (rows, columns); larger where an object is more likely missed."""


@dataclass(frozen=True)
class PlaceFrame:
    """The division of slices into square frames.

    Attributes
    ----------
    shape
        Shape of the label array.
    side_px
        Side of a frame in voxels; the last ones of a row or column are smaller.
    """

    shape: tuple[int, int, int]
    side_px: int

    @property
    def grid(self) -> tuple[int, int]:
        """Number of frames along y and x."""
        return -(-self.shape[1] // self.side_px), -(-self.shape[2] // self.side_px)

    @property
    def count(self) -> int:
        """Number of frames in the volume."""
        rows, columns = self.grid
        return self.shape[0] * rows * columns

    def slices(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the slices whose frames are scored: all, or evenly spaced ones from a random start on."""
        wanted = max(1, MOST_FRAMES // (self.grid[0] * self.grid[1]))
        if wanted >= self.shape[0]:
            return np.arange(self.shape[0])
        return ((np.arange(wanted) + rng.random()) * self.shape[0] / wanted).astype(np.int64)

    def extent(self, index: int) -> tuple[int, tuple[int, int], tuple[int, int]]:
        """Return slice, rows and columns of a frame by its number."""
        rows, columns = self.grid
        z, rest = divmod(index, rows * columns)
        row, column = divmod(rest, columns)
        low_y, low_x = row * self.side_px, column * self.side_px
        return (
            z,
            (low_y, min(low_y + self.side_px, self.shape[1])),
            (low_x, min(low_x + self.side_px, self.shape[2])),
        )


def draw_places(
    frame: PlaceFrame, emptiness: Emptiness, total: int, rng: np.random.Generator
) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
    """Draw frames: more of the emptiest quarter than of the others.

    Parameters
    ----------
    emptiness
        Score of the frames of a slice. Ties are broken at random. It only decides the strata: a poor score costs precision, and
        makes no bias.
    total
        Number of frames to draw.

    Returns
    -------
    drawn : list of (stratum, number of the frame)
    counts : tuple of int
        Number of frames per stratum in the whole volume: the emptiest, and the others. In a volume of more than `MOST_FRAMES`
        frames it is that of the scored slices, multiplied by the slices that each of them stands for.
    """
    slices = frame.slices(rng)
    scores = np.concatenate([np.ravel(emptiness(int(z))) for z in slices])
    order = np.lexsort((rng.random(len(scores)), -scores))
    first = max(1, round(EMPTIEST * len(order))) if len(order) > 1 else len(order)
    strata = [order[:first], order[first:]] if first < len(order) else [order]
    shares = allocate([len(each) for each in strata], [EMPTY_WEIGHT, 1.0][: len(strata)], total)
    per_slice = len(scores) // len(slices)
    drawn = [
        (number, int(slices[index // per_slice] * per_slice + index % per_slice))
        for number, (members, share) in enumerate(zip(strata, shares, strict=True))
        for index in np.sort(rng.choice(members, share, replace=False))
    ]
    return drawn, tuple(round(len(each) * frame.shape[0] / len(slices)) for each in strata)


def frame_means(
    values: NDArray[np.generic], edges: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Average a plane over the frames whose first rows and columns are given; an empty frame takes its last row or column."""
    plane = np.asarray(values, np.float64)
    starts = [np.minimum(own, n - 1) for own, n in zip(edges, plane.shape, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(plane, starts[0], axis=0), starts[1], axis=1)
    sizes = [np.maximum(np.diff([*own, n]), 1) for own, n in zip(starts, plane.shape, strict=True)]
    return np.asarray(sums / np.outer(*sizes))
