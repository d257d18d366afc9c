"""Measures of particles and other objects, from the image inside and around them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spherovem_core.nanoparticles.bodies import Body
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
        Ratio of the principal axes in the plane, and of the extent along z to that in the plane; 1 for a ball.
    fill
        Volume relative to the ellipsoid with the same moments; 1 for an ellipsoid, less for an irregular body.
    edge_nm
        Width of the edge in the largest cross-section, from 25 to 75 % of the contrast.
    cut
        True if the border of the volume cuts it.
    isolated
        See `Body`.
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
    cut: bool
    isolated: bool


def contrast_of(objects: pd.DataFrame) -> NDArray[np.float64]:
    """Compute the height of objects above their surroundings, from a table with the columns of `PieceMeasures`."""
    return (objects.level - objects.surroundings).to_numpy(np.float64)


def territories(
    shape: tuple[int, ...], body: Body, pieces: Sequence[NDArray[np.int32]]
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Assign the voxels around a body to the nearest of its pieces.

    Returns
    -------
    labels : ndarray of int32
        Piece (from 1) of each voxel of the box around the body; 0 beyond its rim.
    origin : (3,) ndarray
        First voxel of the box in the crop.
    """
    low = np.maximum(body.voxels.min(axis=0) - np.array((1, 2, 2)), 0)
    high = np.minimum(body.voxels.max(axis=0) + np.array((2, 3, 3)), shape)
    labels = np.zeros(tuple(high - low), np.int32)
    for number, voxels in enumerate(pieces, start=1):
        labels[tuple((voxels - low).T)] = number
    return _grow_once(labels), low.astype(np.intp)


def _grow_once(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Grow labels by one slice, and by 1.5 pixels in the plane; of two labels that meet, the higher one wins."""
    from scipy.ndimage import grey_dilation

    around = grey_dilation(labels, footprint=np.ones((3, 3, 3), bool))
    return np.where(labels > 0, labels, around)


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
    grounds = territories(intensity.shape, body, pieces)
    return measure_territories(intensity, smooth, body, pieces, grounds, origin, volume_shape, spacing_nm)


def measure_territories(
    intensity: NDArray[np.float32],
    smooth: NDArray[np.float32],
    body: Body,
    pieces: Sequence[NDArray[np.int32]],
    grounds: tuple[NDArray[np.int32], NDArray[np.intp]],
    origin: tuple[int, int, int],
    volume_shape: tuple[int, ...],
    spacing_nm: SpacingNm,
) -> list[PieceMeasures]:
    """Measure the pieces of a body, given their `territories`; see `measure_pieces`."""
    labels, low = grounds
    region = tuple(slice(a, a + n) for a, n in zip(low, labels.shape, strict=True))
    inside, soft = intensity[region], smooth[region]
    return [
        _measure(inside, soft, labels == number, body, voxels, low, origin, volume_shape, spacing_nm)
        for number, voxels in enumerate(pieces, start=1)
    ]


def _measure(
    intensity: NDArray[np.float32],
    smooth: NDArray[np.float32],
    territory: NDArray[np.bool_],
    body: Body,
    voxels: NDArray[np.int32],
    low: NDArray[np.intp],
    origin: tuple[int, int, int],
    volume_shape: tuple[int, ...],
    spacing_nm: SpacingNm,
) -> PieceMeasures:
    steps = np.asarray(spacing_nm)
    level = body.level
    places = np.argwhere(territory)
    excess = intensity[territory] - body.surroundings
    height = (smooth[territory] - body.surroundings) / max(level - body.surroundings, 1e-6)
    weights = np.clip(height, 0.0, 1.0)
    weights[height < 0.25] = 0.0
    if not weights.any():
        # A thin part of a larger body may lie below a quarter of that body's contrast.
        weights[np.isin(_flat(places, territory.shape), _flat(voxels - low, territory.shape))] = 1.0
    centre = weights @ places / weights.sum()
    away = (places - centre) * steps
    moments = (away * weights[:, None]).T @ away / weights.sum()
    section = np.bincount(voxels[:, 0])
    widest = int(section.argmax())
    start, stop = voxels.min(axis=0) + origin, voxels.max(axis=0) + 1 + np.asarray(origin)
    return PieceMeasures(
        box=(*map(int, start), *map(int, stop)),  # type: ignore[arg-type]
        voxels=len(voxels),
        centroid=tuple(float(c) for c in centre + low + origin),  # type: ignore[arg-type]
        level=level,
        surroundings=body.surroundings,
        signal=float(excess.sum() * steps.prod()),
        section_nm=float(np.sqrt(4 / np.pi * section.max() * steps[1] * steps[2])),
        lateral=_lateral_ratio(moments),
        axial=_axial_ratio(moments, steps),
        fill=_fill(moments, steps, float(weights.sum() * steps.prod())),
        edge_nm=_edge_width(height, places, widest - int(low[0]), steps),
        cut=bool((start == 0).any() or (stop == np.asarray(volume_shape)).any()),
        isolated=body.isolated,
    )


def _flat(places: NDArray[np.integer], shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.asarray(np.ravel_multi_index(tuple(places.T), shape))


def _lateral_ratio(moments: NDArray[np.float64]) -> float:
    """Return the ratio of the long to the short axis in the plane."""
    low, high = np.linalg.eigvalsh(moments[1:, 1:])
    return float(np.sqrt(high / max(low, 1e-6)))


def _axial_ratio(moments: NDArray[np.float64], steps: NDArray[np.float64]) -> float:
    """Return the extent along z relative to that in the plane, less the thickness of a slice."""
    along = max(moments[0, 0] - steps[0] ** 2 / 12, 0.0)
    across = max((moments[1, 1] + moments[2, 2]) / 2 - steps[1] * steps[2] / 12, 1e-6)
    return float(np.sqrt(along / across))


def _fill(moments: NDArray[np.float64], steps: NDArray[np.float64], volume: float) -> float:
    """Return the volume relative to that of the ellipsoid with the same moments."""
    axes = np.linalg.eigvalsh(moments)
    return float(volume / (4 / 3 * np.pi * np.sqrt(np.prod(5 * np.maximum(axes, 1e-6)))))


def _edge_width(
    height: NDArray[np.floating], places: NDArray[np.intp], z: int, steps: NDArray[np.float64]
) -> float:
    """Return the distance between the outlines at 25 and at 75 % of the contrast, as circles of the same area."""
    here = height[places[:, 0] == z]
    outer, inner = (np.sqrt((here > part).sum() * steps[1] * steps[2] / np.pi) for part in (0.25, 0.75))
    return float(outer - inner)
