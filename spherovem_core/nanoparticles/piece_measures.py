"""Measures of particles and other objects, from the image inside and around them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.nanoparticles.bodies import Body
from spherovem_core.nanoparticles.piece_survey import PieceSurvey, grow_once, survey_piece
from spherovem_core.spacing import SpacingNm


class PieceMeasures(NamedTuple):
    """Measures of one piece of a body; lengths in nm, intensities in grey values.

    Attributes
    ----------
    box
        z0, y0, x0, z1, y1, x1 in the volume, half-open.
    voxels
        Number of voxels within the half-way outline.
    centroid
        Centre (z, y, x) of the signal, in voxels of the volume.
    level, surroundings
        Intensity inside and around.
    signal
        Sum over the territory of the intensity above the surroundings, in grey values times nm³.
    section_nm
        Diameter of the circle with the area of the largest cross-section.
    lateral, axial
        Ratio of the principal axes in the plane, and of the extent along z to that in the plane; 1 for a ball, also for one that
        a side of the volume cuts.
    fill
        Volume relative to the ellipsoid with the same moments; 1 for an ellipsoid, less for an irregular body.
    edge_nm
        Width of the edge in the largest cross-section, from 25 to 75 % of the contrast.
    slope
        Slope of the smoothed image along the outline in the plane (70 % quantile), in contrasts per nm; NaN where the border
        cuts all of it.
    ground
        Level of the wider surroundings; see `Body`.
    cut
        True if the border of the volume cuts it.
    isolated
        See `Body`.
    cap_nm
        Diameter of the ball of which it is the cap; NaN where no side of the volume cuts it.
    """

    box: tuple[int, int, int, int, int, int]
    voxels: int
    centroid: tuple[float, float, float]
    level: float
    surroundings: float
    signal: float
    section_nm: float
    lateral: float
    axial: float
    fill: float
    edge_nm: float
    slope: float
    ground: float
    cut: bool
    isolated: bool
    cap_nm: float = float("nan")


def contrast_of(objects: pd.DataFrame) -> NDArray[np.float64]:
    """Compute the height of objects above their surroundings, from a table with the columns of `PieceMeasures`."""
    return (objects.level - objects.surroundings).to_numpy(np.float64)


class Territories(NamedTuple):
    """Pieces of a body and the voxels around them, in a box of the crop.

    Attributes
    ----------
    cores, labels : (z, y, x) ndarray of int32
        Piece (from 1) of each voxel: within its outline, and with the voxels around it; 0 elsewhere.
    origin : (3,) ndarray
        First voxel of the box in the crop.
    """

    cores: NDArray[np.int32]
    labels: NDArray[np.int32]
    origin: NDArray[np.intp]


def territories(shape: tuple[int, ...], body: Body, pieces: Sequence[NDArray[np.int32]]) -> Territories:
    """Assign the voxels around a body to the nearest of its pieces."""
    low = np.maximum(body.voxels.min(axis=0) - np.array((1, 2, 2)), 0)
    high = np.minimum(body.voxels.max(axis=0) + np.array((2, 3, 3)), shape)
    cores = np.zeros(tuple(high - low), np.int32)
    for number, voxels in enumerate(pieces, start=1):
        cores[tuple((voxels - low).T)] = number
    return Territories(cores, grow_once(cores), low.astype(np.intp))


def survey(
    intensity: NDArray[np.float32],
    smooth: NDArray[np.float32],
    body: Body,
    grounds: Territories,
    number: int,
    steps: NDArray[np.float64],
) -> PieceSurvey:
    """Survey a piece of a body, by its number from 1."""
    return PieceSurvey(
        *survey_piece(
            number,
            grounds.cores,
            grounds.labels,
            grounds.origin,
            intensity,
            smooth,
            body.level,
            body.surroundings,
            steps,
        )
    )


def measure_pieces(
    intensity: NDArray[np.float32],
    smooth: NDArray[np.float32],
    body: Body,
    pieces: Sequence[NDArray[np.int32]],
    origin: tuple[int, int, int],
    volume_shape: tuple[int, ...],
    spacing_nm: SpacingNm,
) -> list[PieceMeasures]:
    """Measure the pieces of a body.

    The signal is a sum over all voxels that blur or the thickness of a slice lets a particle reach. Neither changes it, so
    that the signal divided by the contrast of a particle is its volume, however few voxels it fills.

    Parameters
    ----------
    intensity, smooth : (Z, Y, X) ndarray of float32
        Intensities of the crop, as acquired and smoothed.
    body
        The body.
    pieces
        Voxels (N, 3) of each piece, in the crop.
    origin
        First voxel of the crop in the volume.
    volume_shape, spacing_nm
        Shape and voxel size of the volume.
    """
    grounds, steps = territories(intensity.shape, body, pieces), np.asarray(spacing_nm)
    return [
        measure_survey(
            survey(intensity, smooth, body, grounds, number, steps),
            body,
            grounds.origin + origin,
            volume_shape,
            steps,
        )
        for number in range(1, len(pieces) + 1)
    ]


def measure_survey(
    found: PieceSurvey,
    body: Body,
    origin: NDArray[np.intp],
    volume_shape: tuple[int, ...],
    steps: NDArray[np.float64],
) -> PieceMeasures:
    """Compute the measures of a piece from its survey, whose box begins at `origin` (3,) in the volume."""
    box = [int(n) + int(origin[axis % 3]) for axis, n in enumerate(found.box)]
    voxel, pixel = float(steps.prod()), float(steps[1] * steps[2])
    outer, inner = (np.sqrt(count * pixel / np.pi) for count in (found.outer, found.inner))
    sides = [box[axis] == 0 or box[axis + 3] == volume_shape[axis] for axis in (1, 2)]
    completed = _completed(found.moments, sides)
    return PieceMeasures(
        box=tuple(box),  # type: ignore[arg-type]
        voxels=int(found.size),
        centroid=tuple(float(c) for c in found.centre + origin),  # type: ignore[arg-type]
        level=body.level,
        surroundings=body.surroundings,
        signal=float(found.excess * voxel),
        section_nm=float(np.sqrt(4 / np.pi * found.section * pixel)),
        lateral=_lateral_ratio(completed),
        axial=_axial_ratio(completed, steps),
        fill=_fill(found.moments, float(found.weight * voxel)),
        edge_nm=float(outer - inner),
        slope=float(found.slope),
        ground=body.ground,
        cut=min(box[:3]) == 0 or any(n == end for n, end in zip(box[3:], volume_shape, strict=True)),
        isolated=body.isolated,
        cap_nm=_cap_diameter(found.moments, sides),
    )


def _completed(moments: NDArray[np.float64], sides: Sequence[bool]) -> NDArray[np.float64]:
    """Complete the moments of a piece that a side of the volume cuts: what it hides makes a cap as wide across as along the side.

    A rod that lies askew stays one, by its mixed moment.
    """
    out = moments.copy()
    for axis, cut in zip((1, 2), sides, strict=True):
        if cut:
            out[axis, axis] = max(moments[1, 1], moments[2, 2])
    return out


def _cap_diameter(moments: NDArray[np.float64], sides: Sequence[bool]) -> float:
    """Return the diameter of the ball whose cap has these moments.

    A cap of height h whose base has the radius a belongs to a ball of the radius (a² + h²) / 2h. Its variance along the base is
    a² / 6, and that of its height h² / 18, as long as h is small against a: half a ball measures 10 % too much.
    """
    if sum(sides) != 1:
        return float("nan")
    across, along = (moments[1, 1], moments[2, 2]) if sides[0] else (moments[2, 2], moments[1, 1])
    height = np.sqrt(18 * max(across, 1e-6))
    return float(6 * along / height + height)


def _lateral_ratio(moments: NDArray[np.float64]) -> float:
    """Return the ratio of the long to the short axis in the plane."""
    low, high = np.linalg.eigvalsh(moments[1:, 1:])
    return float(np.sqrt(high / max(low, 1e-6)))


def _axial_ratio(moments: NDArray[np.float64], steps: NDArray[np.float64]) -> float:
    """Return the extent along z relative to that in the plane, less the thickness of a slice."""
    along = max(moments[0, 0] - steps[0] ** 2 / 12, 0.0)
    across = max((moments[1, 1] + moments[2, 2]) / 2 - steps[1] * steps[2] / 12, 1e-6)
    return float(np.sqrt(along / across))


def _fill(moments: NDArray[np.float64], volume: float) -> float:
    """Return the volume relative to that of the ellipsoid with the same moments."""
    axes = np.linalg.eigvalsh(moments)
    return float(volume / (4 / 3 * np.pi * np.sqrt(np.prod(5 * np.maximum(axes, 1e-6)))))
