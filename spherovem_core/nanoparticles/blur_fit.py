"""Blur of an acquisition, fitted to the images of its objects: the blur with which balls draw them best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spherovem_core.blocks import map_blocks
from spherovem_core.execution import Execution
from spherovem_core.nanoparticles.ball_images import draw_balls
from spherovem_core.nanoparticles.objects import CropReader, FoundObject

# Blurs that are tried, in pixels, and diameters, relative to that of the ball with the signal of the object.
_BLURS_PX = np.geomspace(0.25, 3.2, 12)
_DIAMETERS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1)
# The least residual is a variance; less than this much of the contrast squared is not told apart.
_FLOOR = 2e-3
# Objects that are fitted, and the fraction of them that is drawn best and whose blur counts.
_MOST, _BEST = 60, 0.5
# ... and how many must be drawn with at most this residual and agree on the blur, up to this factor.
_FEWEST, _DRAWN, _AGREEING = 4, 0.01, 1.4


class FittedBlur(NamedTuple):
    """Blur fitted to objects.

    Attributes
    ----------
    sigma_nm
        Standard deviation in the plane.
    objects
        Number of objects that agree; 0 if they are too few, and the blur is not known.
    """

    sigma_nm: float
    objects: int


def fit_blur(
    objects: Sequence[FoundObject], reader: CropReader, execution: Execution | None = None
) -> FittedBlur:
    """Find the blur with which balls draw compact objects best.

    The edges of particles in tissue differ by what surrounds them, so that the sharpest ones are sharper than the blur. Fitted
    with a plane of background, the whole image of a ball shows it. Objects that are no balls are drawn badly at any blur:
    only the half that is drawn best counts.

    Parameters
    ----------
    objects
        Compact objects that the border does not cut.
    reader
        Reader of the image.
    execution
        Executor of the fits; by default one thread.
    """
    execution = execution or Execution()
    if len(objects) > _MOST:
        objects = [objects[n] for n in np.linspace(0, len(objects) - 1, _MOST).astype(int)]
    if len(objects) < _FEWEST:
        return FittedBlur(0.0, 0)
    fits = map_blocks(
        _residuals, objects, reader, executor=execution.executor, ahead=4 * max(1, execution.workers)
    )
    residuals = np.stack([found for _, found in fits])
    count = max(_FEWEST, int(_BEST * len(objects)))
    best = np.argsort(residuals.min(axis=1), kind="stable")[:count]
    curve = np.log(residuals[best] + _FLOOR).mean(axis=0)
    blur_px = _lowest(np.log(_BLURS_PX), curve)
    # Patches that fade each have a width of their own. Blurs below the third are not told apart.
    own, least = _BLURS_PX[residuals.argmin(axis=1)], _BLURS_PX[2]
    near = np.abs(np.log(own / max(blur_px, least))) < np.log(_AGREEING)
    narrow = (own < least) & (blur_px < least)
    agreeing = int(((near | narrow) & (residuals.min(axis=1) < _DRAWN)).sum())
    return FittedBlur(float(blur_px * reader.pixel_nm), agreeing if agreeing >= _FEWEST else 0)


def _residuals(entry: FoundObject, reader: CropReader) -> NDArray[np.float64]:
    """Compute the mean squared residual of the best ball at each blur, in contrasts squared and beyond that of the noise."""
    measures, spacing = entry.measures, np.asarray(reader.spacing_nm)
    contrast = max(measures.level - measures.surroundings, 1e-6)
    origin = reader.limits(np.array(measures.box, np.int64))[0]
    places = entry.voxels - np.array(origin, np.int32)
    image = (reader.intensities(entry.voxels) - measures.surroundings) / contrast
    low = places.min(axis=0)
    shape = tuple(int(n) for n in places.max(axis=0) - low + 1)
    local = tuple((places - low).T)
    centre = (np.array(measures.centroid) - origin - low) * spacing
    signal_nm = float(np.cbrt(6 / np.pi * max(measures.signal / contrast, spacing.prod())))
    away = (places - low) * spacing / signal_nm
    basis = np.column_stack([np.ones(len(image)), np.ones(len(image)), away])
    square, ridge = float(image @ image), 1e-6 * np.eye(basis.shape[1])
    noise = (reader.detection.noise / contrast) ** 2
    out = np.full(len(_BLURS_PX), np.inf)
    for n, blur in enumerate(_BLURS_PX * reader.pixel_nm):
        for relative in _DIAMETERS:
            ball = np.array([[*centre, 0.5 * relative * signal_nm]])
            basis[:, 0] = draw_balls(ball, shape, spacing, float(blur))[local]
            # The squares that a fit leaves follow from its normal equations; an object in one slice has no slope along z.
            products = basis.T @ image
            factors = np.linalg.solve(basis.T @ basis + ridge, products)
            out[n] = min(out[n], float(square - factors @ products) / len(image))
    return np.asarray(np.maximum(out - noise, 0.0))


def _lowest(places: NDArray[np.float64], curve: NDArray[np.float64]) -> float:
    """Return the exponential of the place where a curve is lowest: the vertex of the parabola through the least three points."""
    n = int(np.argmin(curve))
    if n in (0, len(curve) - 1):
        return float(np.exp(places[n]))
    left, middle, right = curve[n - 1 : n + 2]
    shift = 0.5 * (left - right) / max(left - 2 * middle + right, 1e-12)
    return float(np.exp(places[n] + shift * (places[n + 1] - places[n])))
