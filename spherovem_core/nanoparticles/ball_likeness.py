"""Likeness of objects to balls: how well the image of a blurred ball fits their own, and how even they are inside."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spherovem_core.nanoparticles.acquisition_blur import AcquisitionBlur
from spherovem_core.nanoparticles.ball_images import draw_balls
from spherovem_core.nanoparticles.objects import CropReader, FoundObject

# Factor between the image of a ball and that of an object: mean and spread for particles, and for patches of chromatin,
# whose soft and irregular edges lie outside the ball.
_BALL, _PATCH = (0.93, 0.07), (0.62, 0.17)
_LIMITS = (0.05, 4.0)
# Error of the factor for an object as faint as the faintest candidates.
_TEXTURE = 0.12
# Texture inside, as a variance relative to the squared contrast: spread for particles, mean and spread for what is made of
# tissue (chromatin, lysosomes, maxima of the texture).
_EVEN_SD, _MOTTLED = 0.008, (0.03, 0.015)
# Voxels lie inside a ball where blur leaves this part of its contrast; fewer pairs of rows show no texture.
_INSIDE, _FEWEST_PAIRS = 0.9, 6


def ball_likeness(
    objects: Sequence[FoundObject],
    diameter_nm: NDArray[np.float64],
    reader: CropReader,
    blur: AcquisitionBlur,
) -> NDArray[np.float64]:
    """Compare the images of objects with those of balls of their place and size.

    Parameters
    ----------
    objects
        Objects of a stack.
    diameter_nm : (N,) ndarray
        Their diameters.
    reader
        Reader of the image.
    blur
        Blur and slice depth of the acquisition.

    Returns
    -------
    (N,) ndarray
        Likelihood of the fit if the object is a ball, relative to that if it is a patch without a sharp and round edge, or
        with a texture inside. The texture is the covariance of neighbouring rows, which is free of noise.
    """
    sigma = blur.drawn_nm(reader.spacing_nm)
    out = np.ones(len(objects))
    for n, (entry, diameter) in enumerate(zip(objects, diameter_nm, strict=True)):
        factor, texture, pairs = _fit_ball(entry, float(diameter), reader, sigma, blur.depth_nm)
        (ball, ball_sd), (patch, patch_sd) = _BALL, _PATCH
        # The texture of the tissue around a faint object disturbs its fit.
        contrast = max(entry.measures.level - entry.measures.surroundings, 1e-6)
        faintness = _TEXTURE * reader.detection.min_contrast / contrast
        ball_sd = float(np.hypot(ball_sd, faintness))
        # A factor above that of a ball is no worse.
        ball_away, patch_away = min(factor - ball, 0) / ball_sd, max(factor - patch, 0) / patch_sd
        ratio = np.log(patch_sd / ball_sd) + 0.5 * (patch_away**2 - ball_away**2)
        ratio += _log_evenness(texture, pairs, (reader.detection.noise / contrast) ** 2, faintness**2)
        out[n] = np.exp(np.clip(ratio, *np.log(_LIMITS)))
    return out


def _log_evenness(texture: float, pairs: int, noise: float, around: float) -> float:
    """Return the logarithm of the likelihood ratio of an even inside to a mottled one.

    Parameters
    ----------
    texture, pairs
        From `_fit_ball`.
    noise, around
        Variance of the noise, and of what the texture of the tissue around adds, relative to the squared contrast.
    """
    if pairs < _FEWEST_PAIRS:
        return 0.0
    mean, spread = _MOTTLED
    error = np.hypot(noise / np.sqrt(pairs), around)
    even, mottled = (float(np.hypot(sd, error)) for sd in (_EVEN_SD, spread))
    # Still more texture is no likelier to be a particle's.
    even_away, mottled_away = max(texture, 0.0) / even, (min(texture, mean) - mean) / mottled
    return float(np.log(mottled / even) + 0.5 * (mottled_away**2 - even_away**2))


def _fit_ball(
    entry: FoundObject, diameter_nm: float, reader: CropReader, sigma: float, depth_nm: float
) -> tuple[float, float, int]:
    """Fit level and contrast of a ball's image to the territory of an object.

    Returns
    -------
    contrast : float
        Relative to the object's.
    texture : float
        Covariance of what the fit leaves inside the ball in neighbouring rows.
    pairs : int
        Number of pairs of voxels that it is the mean of.
    """
    measures, spacing = entry.measures, np.asarray(reader.spacing_nm)
    low, high = reader.limits(np.array(measures.box, np.int64))
    shape = tuple(b - a for a, b in zip(low, high, strict=True))
    centre = (np.array(measures.centroid) - low) * spacing
    drawn = draw_balls(np.array([[*centre, diameter_nm / 2]]), shape, spacing, sigma, depth_nm=depth_nm)
    places = tuple((entry.voxels - np.array(low, np.int32)).T)
    image = entry.heights(reader.intensities(entry.voxels))
    # The tissue may be brighter on one side (a particle beside resin): a plane is fitted with the ball.
    away = (entry.voxels - np.asarray(measures.centroid)) * spacing / max(diameter_nm, 1.0)
    basis = np.column_stack([drawn[places], np.ones(len(image)), away])
    factors = np.linalg.lstsq(basis, image, rcond=None)[0]
    left = np.full((shape[0], shape[1], shape[2]), np.nan)
    left[places] = np.where(basis[:, 0] > _INSIDE, image - basis @ factors, np.nan)
    products = left[:, 1:] * left[:, :-1]
    pairs = int(np.isfinite(products).sum())
    return float(factors[0]), float(np.nansum(products) / max(pairs, 1)), pairs
