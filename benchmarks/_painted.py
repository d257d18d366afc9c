"""Nanoparticles painted into a real stack, and simple thresholds as baselines."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from spherovem_core.spacing import SpacingNm

GREY_MEAN, GREY_SD = 232.0, 8.0
DIAMETER_NM = (60.0, 160.0)
CLUSTER = 4


def paint(
    image: NDArray[np.uint8], spacing_nm: SpacingNm, fraction: float, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Paint clusters of balls until they fill a fraction of the stack; returns the stack and the truth.

    The grey value of a ball is drawn from N(232, 8), and its diameter uniformly from 60 to 160 nm. Balls are blurred like the
    stack (by a Gaussian of 0.8 voxels, as the sharpest membranes of the FIB-SEM stack show) and get noise of the same spread
    (see `noise_spread`).
    """
    random = np.random.default_rng(seed)
    covered, grey = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
    extent = np.array(image.shape) * np.array(spacing_nm)
    target = fraction * float(np.prod(extent))
    painted = 0.0
    while painted < target:
        centre = random.uniform(0, extent)
        for _ in range(random.poisson(CLUSTER - 1) + 1):
            radius = random.uniform(*DIAMETER_NM) / 2
            _add_ball(covered, grey, centre, radius, random.normal(GREY_MEAN, GREY_SD), spacing_nm)
            painted += 4 / 3 * np.pi * radius**3
            direction = random.standard_normal(3)
            centre = centre + 1.9 * radius * direction / np.linalg.norm(direction)
    truth = covered > 0.5
    soft = np.clip(ndimage.gaussian_filter(covered, 0.8), 0, 1)
    value = ndimage.gaussian_filter(grey, 0.8) / np.maximum(ndimage.gaussian_filter(covered, 0.8), 1e-6)
    noise = noise_spread(image) * random.standard_normal(image.shape)
    mixed = image * (1 - soft) + soft * (value + noise)
    return np.clip(np.rint(np.where(soft > 0.01, mixed, image)), 0, 255).astype(np.uint8), truth


def noise_spread(image: NDArray[np.uint8]) -> float:
    """Estimate the standard deviation of the noise from the median absolute deviation of differences along x."""
    difference = np.diff(image.astype(np.float32), axis=2)
    return float(1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2))


def _add_ball(
    covered: NDArray[np.float32],
    grey: NDArray[np.float32],
    centre: NDArray[np.float64],
    radius: float,
    value: float,
    spacing_nm: SpacingNm,
) -> None:
    low = [max(0, int((c - radius) / s) - 1) for c, s in zip(centre, spacing_nm, strict=True)]
    high = [
        min(n, int((c + radius) / s) + 2) for c, s, n in zip(centre, spacing_nm, covered.shape, strict=True)
    ]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = [np.arange(a, b) * s - c for a, b, s, c in zip(low, high, spacing_nm, centre, strict=True)]
    away = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2)
    cover = np.clip((radius - away) / min(spacing_nm) + 0.5, 0, 1).astype(np.float32)
    more = np.maximum(cover - covered[region], 0)
    grey[region] += more * value
    covered[region] += more


def otsu(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Threshold the whole stack by Otsu's method."""
    return image > threshold_otsu(image)


def percentile(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark the brightest 0.2 % of the stack."""
    return image > np.percentile(image, 99.8)


def global_mixture(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Fit two normal distributions to the histogram of the whole stack, from its 50 % and 99.5 % quantiles."""
    counts = np.bincount(image.ravel(), minlength=256).astype(float)
    levels = np.arange(256.0)
    mean, sd = np.percentile(image, [50, 99.5]).astype(float), np.array([20.0, 10.0])
    weight = np.array([0.99, 0.01])
    for _ in range(500):
        density = weight / sd * np.exp(-0.5 * ((levels[:, None] - mean) / sd) ** 2) + 1e-300
        chance = density / density.sum(axis=1, keepdims=True) * counts[:, None]
        total = chance.sum(axis=0) + 1e-12
        weight, mean = total / total.sum(), levels @ chance / total
        sd = np.sqrt(np.maximum(((levels[:, None] - mean) ** 2 * chance).sum(axis=0) / total, 0.25))
    brighter = int(mean.argmax())
    return (density[:, brighter] > density[:, 1 - brighter])[image] & (image > mean[1 - brighter])
