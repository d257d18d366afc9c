"""Bodies: bright islands of a crop, each cut out half-way between its own level and its own surroundings."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.growth import (
    TAKEN,
    grow_body,
    median_outside,
    next_free,
    release,
    rows_within,
)
from spherovem_core.nanoparticles.local_outline import mask_in_box, refine_outline
from spherovem_core.nanoparticles.piece_survey import outline_slope
from spherovem_core.spacing import SpacingNm

_SHELL_NM = 120.0
# Levels tried, as fractions of the contrast; the higher ones only where a body leaks.
_FRACTIONS = (0.5, 0.6, 0.7)
_STRONG = 2.3
# Quantile of the slopes of an outline that shows leaks.
_GENTLE = 0.3
_COMPACT_FILL, _COMPACT_LATERAL, _FEW_VOXELS = 0.75, 1.6, 12


class Surroundings(NamedTuple):
    """Rows around each voxel of a body (`rows_within`): the rim that blur brightens, and the shell beyond it; voxel size."""

    rim: NDArray[np.int32]
    shell: NDArray[np.int32]
    spacing_nm: SpacingNm


class _Ground(NamedTuple):
    """Crop in which bodies grow, and the arrays that their growth works on.

    Attributes
    ----------
    smooth : (Z, Y, X) ndarray of float32
        Smoothed intensities.
    start
        Level of the surroundings to begin with.
    marks : (Z, Y, X) ndarray of uint8
        What each voxel belongs to.
    buffers : (2, voxels, 3) ndarray of int32
        Room for the voxels of a body and for those around it.
    around
        Rows of rim and shell.
    inside_volume : (3, 2) ndarray of bool
        True for the faces of the crop that lie inside the volume.
    """

    smooth: NDArray[np.float32]
    start: float
    marks: NDArray[np.uint8]
    buffers: NDArray[np.int32]
    around: Surroundings
    inside_volume: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Body:
    """A bright island.

    Attributes
    ----------
    voxels : (N, 3) ndarray of int32
        Its voxels in the crop.
    level, surroundings
        Intensity inside, and around it.
    isolated
        False if it reaches the border of the crop inside the volume, or nothing darker surrounds it.
    ground
        Median of the crop without the candidates.
    """

    voxels: NDArray[np.int32]
    level: float
    surroundings: float
    isolated: bool
    ground: float

    @property
    def contrast(self) -> float:
        """Height of the level above the surroundings."""
        return self.level - self.surroundings


def body_surroundings(spacing_nm: SpacingNm) -> Surroundings:
    """List the rows of rim and shell for a voxel size."""
    pixel = min(spacing_nm[1:])
    return Surroundings(rows_within(1.5, 1), rows_within(max(3.0, _SHELL_NM / pixel), 1), spacing_nm)


def find_bodies(
    smooth: NDArray[np.float32],
    candidates: NDArray[np.bool_],
    inside_volume: NDArray[np.bool_],
    min_contrast: float,
    around: Surroundings,
    intensity: NDArray[np.float32],
) -> list[Body]:
    """Find the bodies among the candidate voxels of a crop, the brightest first.

    A body is what joins its brightest voxel above the level half-way between its inside and its surroundings. Both levels
    follow from the body itself, so that a dim particle beside a bright one has its own outline.

    Parameters
    ----------
    smooth : (Z, Y, X) ndarray of float32
        Smoothed intensities of the crop.
    candidates : (Z, Y, X) ndarray of bool
        Voxels in which bodies are sought.
    inside_volume : (3, 2) ndarray of bool
        True for the faces of the crop that lie inside the volume.
    min_contrast
        Islands less high than this are no bodies.
    around
        From `body_surroundings`.
    intensity : (Z, Y, X) ndarray of float32
        Intensities of the crop as acquired, which show the outlines of wide bodies.
    """
    places = np.argwhere(candidates).astype(np.int32)
    heights = smooth[candidates]
    order = np.argsort(-heights, kind="stable")
    start = float(median_outside(smooth, candidates))
    marks = np.zeros(smooth.shape, np.uint8)
    ground = _Ground(smooth, start, marks, np.empty((2, smooth.size, 3), np.int32), around, inside_volume)
    bodies = []
    places = places[order]
    n = -1
    while (n := next_free(marks, places, n + 1)) < len(places):
        seed = places[n]
        if float(smooth[tuple(seed)]) - start < 0.5 * min_contrast:
            break
        body, rim = _best_body(seed, min_contrast, ground)
        grown = body.voxels
        if body.isolated:
            voxels = refine_outline(grown, body.level, intensity, marks == TAKEN, around.spacing_nm)
            body = replace(body, voxels=voxels)
        # What a refined outline leaves out is no body of its own.
        for taken in (grown, rim, body.voxels):
            release(marks, taken, len(taken), TAKEN)
        if body.contrast >= min_contrast:
            bodies.append(body)
    return bodies


def _best_body(
    seed: NDArray[np.int32], min_contrast: float, ground: _Ground
) -> tuple[Body, NDArray[np.int32]]:
    """Grow the body of a seed; where it leaks into bright texture, from the level at which its outline is steepest.

    Half the contrast of a faint particle is within reach of the texture around it.
    """
    best = _grow_body(seed, _FRACTIONS[0], ground)
    if best[0].isolated and (best[0].contrast > _STRONG * min_contrast or _compact(best[0])):
        return best
    steepest = _slope(best[0], ground)
    for fraction in _FRACTIONS[1:]:
        other = _grow_body(seed, fraction, ground)
        slope = _slope(other[0], ground)
        if other[0].isolated and (slope > steepest or not best[0].isolated):
            best, steepest = _widened(*other, ground.smooth), slope
    return best


def _widened(
    body: Body, rim: NDArray[np.int32], smooth: NDArray[np.float32]
) -> tuple[Body, NDArray[np.int32]]:
    """Widen a body that was grown from a higher level by the voxels of its rim above the half-way level: no further than one."""
    half = body.surroundings + _FRACTIONS[0] * body.contrast
    above = smooth[tuple(rim.T)] > half
    return replace(body, voxels=np.concatenate([body.voxels, rim[above]])), rim[~above]


def _slope(body: Body, ground: _Ground) -> float:
    """Return the slope along the gentler part of a body's outline, in grey values per pixel; 0 without an outline."""
    mask, low = mask_in_box(body.voxels, margin=1)
    slope = outline_slope(
        1, mask.astype(np.int32), low.astype(np.intp), ground.smooth, np.ones(3), len(body.voxels), _GENTLE
    )
    return float(np.nan_to_num(slope))


def _compact(body: Body) -> bool:
    """Return whether a body fills the ellipsoid with its moments, and is not long in the plane."""
    if len(body.voxels) < _FEW_VOXELS:
        return True
    away = body.voxels - body.voxels.mean(axis=0)
    moments = away.T @ away / len(away) + np.eye(3) / 12
    plane = np.linalg.eigvalsh(moments[1:, 1:])
    ellipsoid = 4 / 3 * np.pi * np.sqrt(np.linalg.det(5 * moments))
    return bool(len(away) > _COMPACT_FILL * ellipsoid and plane[1] < _COMPACT_LATERAL**2 * plane[0])


def _grow_body(seed: NDArray[np.int32], fraction: float, ground: _Ground) -> tuple[Body, NDArray[np.int32]]:
    """Grow the body of a seed until its levels settle; returns it with its rim."""
    region, others = ground.buffers
    count, rim_count, level, surroundings, isolated = grow_body(
        ground.smooth,
        seed,
        fraction,
        ground.start,
        ground.marks,
        region,
        others,
        ground.around.rim,
        ground.around.shell,
        ground.inside_volume,
    )
    return Body(region[:count].copy(), level, surroundings, isolated, ground.start), others[:rim_count].copy()
