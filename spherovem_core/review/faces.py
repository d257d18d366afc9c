"""Evidence on faces between voxels: how strong the boundary is that they cross."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.review.object_view import ObjectView

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


def unit_flow(view: ObjectView) -> NDArray[np.float32] | None:
    """Return flows of length 1; short ones, which have no direction, are shorter."""
    if view.flow is None:
        return None
    length = np.linalg.norm(view.flow, axis=0)
    typical = float(np.median(length[view.mask])) if view.mask.any() else 1.0
    return np.asarray(view.flow / np.maximum(length, max(0.3 * typical, 1e-6)), np.float32)


def measure_faces(view: ObjectView, faces: Faces, flow: NDArray[np.float32] | None) -> FaceEvidence:
    """Average the evidence over some faces, of which there must be one at least."""
    areas = view.face_areas_um2[faces.axis]
    total = float(areas.sum())

    def mean(values: NDArray[np.floating]) -> float:
        return float((values * areas).sum() / total)

    gradient = gradient_low = logit = divergence = nucleus = float("nan")
    if view.gradient is not None:
        values = np.maximum(*faces.both(view.gradient))
        gradient, gradient_low = mean(values), float(np.percentile(values, 25))
    if view.logit is not None:
        logit = mean(np.minimum(*faces.both(view.logit)))
    if flow is not None:
        index = tuple(faces.before.T), tuple(faces.behind.T)
        divergence = mean(flow[faces.axis, *index[1]] - flow[faces.axis, *index[0]])
    if view.nuclei is not None:
        one, other = faces.both(view.nuclei)
        nucleus = mean(((one == other) & (one > 0)).astype(np.float64))
    middles = (faces.before + faces.behind) / 2
    offsets = (middles - middles.mean(axis=0)) * view.spacing_um
    nearest = int((offsets**2).sum(axis=1).argmin())
    return FaceEvidence(
        total, gradient, gradient_low, logit, divergence, nucleus, view.place(middles[nearest])
    )
