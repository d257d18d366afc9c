"""Evidence on faces between voxels: how strong the boundary is that they cross."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.review.object_view import ObjectView
from spherovem_core.review.review_grid import ReviewGrid

AXIS_PAIRS = tuple(
    (
        tuple(slice(None, -1) if a == axis else slice(None) for a in range(3)),
        tuple(slice(1, None) if a == axis else slice(None) for a in range(3)),
    )
    for axis in range(3)
)
"""For each axis, the voxels before and behind every face."""


@dataclass(frozen=True)
class Faces:
    """N faces between voxels.

    Attributes
    ----------
    before, behind : (N, 3) ndarray of int64
        Indices of the voxels on both sides.
    axis : (N,) ndarray of int64
        Axis that each face points along.
    """

    before: NDArray[np.int64]
    behind: NDArray[np.int64]
    axis: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.axis)

    def select(self, chosen: NDArray[np.bool_]) -> "Faces":
        """Return some of the faces."""
        return Faces(self.before[chosen], self.behind[chosen], self.axis[chosen])

    def both(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the values of the voxels before and behind."""
        return values[tuple(self.before.T)], values[tuple(self.behind.T)]


@dataclass(frozen=True)
class FaceEvidence:
    """Means over some faces, weighted by area; NaN where the source is absent.

    Attributes
    ----------
    area_um2
        Sum of the areas of the faces; a staircase overestimates that of a slanted surface by up to 1.7.
    gradient, gradient_low
        Boundary gradient of the image, the larger of both sides: mean, and value that a quarter of the faces stay below.
    logit
        Logit of the probability, the smaller of both sides.
    divergence
        Difference of the unit flow along the face's axis, behind minus before: positive where flows part.
    nucleus
        Fraction of the area within one nucleus.
    centre_um : (3,) ndarray
        Centre of the face nearest to the centre of all.
    """

    area_um2: float
    gradient: float
    gradient_low: float
    logit: float
    divergence: float
    nucleus: float
    centre_um: NDArray[np.float64]


def find_faces(first: NDArray[np.generic], second: NDArray[np.generic]) -> Faces:
    """Find the faces at which two arrays of classes differ: `first` before and `second` behind, both not zero."""
    before, behind, axes = [], [], []
    for axis, (here, there) in enumerate(AXIS_PAIRS):
        a, b = first[here], second[there]
        places = np.argwhere((a != 0) & (b != 0) & (a != b))
        before.append(places)
        behind.append(places + np.eye(3, dtype=np.int64)[axis])
        axes.append(np.full(len(places), axis))
    return Faces(np.concatenate(before), np.concatenate(behind), np.concatenate(axes))


def unit_flow(field: NDArray[np.float32] | None, usual_length: float) -> NDArray[np.float32] | None:
    """Return flows (3, z, y, x) of length 1; those much shorter than usual have no direction and stay shorter."""
    if field is None:
        return None
    length = np.linalg.norm(field, axis=0)
    return np.asarray(field / np.maximum(length, max(0.3 * usual_length, 1e-6)), np.float32)


@dataclass(frozen=True)
class FaceValues:
    """Evidence on N faces.

    Attributes
    ----------
    before : (N, 3) ndarray of int64
        Indices in the grid of the voxels before the faces.
    axis : (N,) ndarray of int64
        Axis that each face points along.
    evidence : (4, N) ndarray of float32
        Gradient, logit, divergence and nucleus as in `FaceEvidence`; NaN where the source is absent.
    """

    before: NDArray[np.int64]
    axis: NDArray[np.int64]
    evidence: NDArray[np.float32]

    def select(self, chosen: NDArray[Any]) -> "FaceValues":
        """Return the values of some of the faces."""
        return FaceValues(self.before[chosen], self.axis[chosen], self.evidence[:, chosen])

    @staticmethod
    def join(parts: "Sequence[FaceValues]") -> "FaceValues":
        """Join the values of parts of a contact, in the order in which they are found in one view."""
        joined = FaceValues(
            np.concatenate([part.before for part in parts]),
            np.concatenate([part.axis for part in parts]),
            np.concatenate([part.evidence for part in parts], axis=1),
        )
        z, y, x = joined.before.T
        return joined.select(np.lexsort((x, y, z, joined.axis)))


def read_values(view: ObjectView, faces: Faces, flow: NDArray[np.float32] | None) -> FaceValues:
    """Return the evidence on each of some faces; `flow` is that of `unit_flow`."""
    evidence = np.full((4, len(faces)), np.nan, np.float32)
    if view.gradient is not None:
        evidence[0] = np.maximum(*faces.both(view.gradient))
    if view.logit is not None:
        evidence[1] = np.minimum(*faces.both(view.logit))
    if flow is not None:
        index = tuple(faces.before.T), tuple(faces.behind.T)
        evidence[2] = flow[faces.axis, *index[1]] - flow[faces.axis, *index[0]]
    if view.nuclei is not None:
        one, other = faces.both(view.nuclei)
        evidence[3] = (one == other) & (one > 0)
    return FaceValues(faces.before + view.low, faces.axis, evidence)


def average_values(values: FaceValues, grid: ReviewGrid) -> FaceEvidence:
    """Average the evidence over some faces, of which there must be one at least; their order is part of the last bits."""
    areas = (float(np.prod(grid.spacing_um)) / grid.spacing_um)[values.axis]
    total = float(areas.sum())
    gradient, logit, divergence, nucleus = (float((each * areas).sum() / total) for each in values.evidence)
    low = float(np.percentile(values.evidence[0], 25))
    middles = values.before + np.eye(3)[values.axis] / 2
    offsets = (middles - middles.mean(axis=0)) * grid.spacing_um
    nearest = int((offsets**2).sum(axis=1).argmin())
    return FaceEvidence(total, gradient, low, logit, divergence, nucleus, grid.place(middles[nearest]))


def measure_faces(view: ObjectView, faces: Faces, flow: NDArray[np.float32] | None) -> FaceEvidence:
    """Average the evidence over some faces of a view, of which there must be one at least."""
    return average_values(read_values(view, faces, flow), view.grid)
