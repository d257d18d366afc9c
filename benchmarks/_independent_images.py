"""Images of tissue with particles by a generator that shares no code with the product's phantom.

Everything is drawn in memory from numpy and scipy alone. Signal comes from the whole thickness of a slice (partial volume).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from _independent_balls import Floats, Spacing
from _independent_particles import Blobs, Population, blob_cover, is_cut, paint_particles, place_particles
from _independent_textures import (
    TISSUE_GREY,
    Resin,
    chromatin_cover,
    resin_cover,
    resin_texture,
    smooth_noise,
    tissue,
)
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Recipe:
    """Content of an image, and the microscope that sees it.

    Grey values are those of bright particles; dark ones, and all other bodies with them, have 256 less that. `wide` makes a
    16-bit image: a grey value of the 8-bit one becomes `wide[0]` units, and 0 becomes `wide[1]`. `gain_drift` is the standard
    deviation of the slices' gain, `shading` the change of the gain across a slice, and `contrast` stretches the grey values
    about those of tissue, so that the brightest are clipped.
    """

    populations: tuple[Population, ...] = (Population(),)
    shape: tuple[int, int, int] = (24, 256, 256)
    spacing_nm: Spacing = (120.0, 40.0, 40.0)
    noise: float = 6.0
    noise_kind: Literal["normal", "poisson", "correlated"] = "normal"
    blur_px: float = 0.5
    resin: Resin | None = None
    blobs: tuple[Blobs, ...] = ()
    streaks: int = 0
    heterochromatin_grey: float = 0.0
    gain_drift: float = 0.0
    shading: float = 0.0
    contrast: float = 1.0
    dark: bool = False
    wide: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Drawing:
    """An image and its truth.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of uint8 or uint16
    clean : (Z, Y, X) ndarray of float32
        The image before noise and quantisation, in its own units.
    particles
        One row per particle: ``label``, ``z_nm``, ``y_nm``, ``x_nm``, ``diameter_nm``, ``population`` (1, 2, ...), ``clump``,
        ``place``, ``cut`` (the border of the volume cuts it).
    labels : (Z, Y, X) ndarray of uint32
        Voxels that a particle fills by half or more, and the fullest voxel of a particle that fills none by half.
    cover : (Z, Y, X) ndarray of float32
        Fraction of each voxel that particles fill.
    others : (Z, Y, X) ndarray of bool
        Voxels that droplets, lysosomes or bright heterochromatin fill by half or more.
    resin : (Z, Y, X) ndarray of bool
    spacing_nm
        Voxel size (dz, dy, dx).
    parameters
        Parameters that a user must set, such as the polarity.
    """

    image: NDArray[Any]
    clean: Floats
    particles: pd.DataFrame
    labels: NDArray[np.uint32]
    cover: Floats
    others: NDArray[np.bool_]
    resin: NDArray[np.bool_]
    spacing_nm: Spacing
    parameters: dict[str, Any]


def draw(recipe: Recipe, seed: int) -> Drawing:
    """Draw an image of a recipe; the same seed gives the same image."""
    random = np.random.default_rng([seed, 20261129])
    spacing, shape = recipe.spacing_nm, recipe.shape
    grey, nuclei = tissue(shape, spacing, random)
    if recipe.dark:
        # The whole image is mirrored at the end: tissue keeps its dark membranes, all that is drawn into it becomes dark.
        grey = 256 - grey
    resin = np.zeros(shape, np.float32)
    if recipe.resin is not None:
        resin = resin_cover(recipe.resin, shape, spacing, random)
        grey += resin * (resin_texture(recipe.resin, shape, spacing, random) - grey)
    others = np.zeros(shape, np.float32)
    if recipe.heterochromatin_grey:
        patches = chromatin_cover(nuclei, spacing, random) * (1 - resin)
        grey += patches * (recipe.heterochromatin_grey + 8 * smooth_noise(shape, spacing, 60, random) - grey)
        others = np.maximum(others, patches)
    for blobs in recipe.blobs:
        cover = blob_cover(blobs, np.maximum(others, resin) > 0.01, spacing, random)
        texture = blobs.grey + blobs.mottle * smooth_noise(shape, spacing, 70, random)
        grey += cover * (texture - grey)
        others = np.maximum(others, cover)
    table = place_particles(recipe.populations, resin > 0.5, others > 0.01, spacing, random)
    cover, labels = paint_particles(grey, table, spacing)
    table["cut"] = is_cut(table, shape, spacing)
    clean = ndimage.gaussian_filter(grey, (0, recipe.blur_px, recipe.blur_px), mode="nearest")
    add_streaks(clean, recipe.streaks, random)
    if recipe.dark:
        clean = 256 - clean
    clean = illuminate(clean, recipe, random)
    image, clean = expose(clean, recipe, random)
    parameters = {"polarity": "dark"} if recipe.dark else {}
    particles = table.drop(columns="grey")
    return Drawing(image, clean, particles, labels, cover, others > 0.5, resin > 0.5, spacing, parameters)


def add_streaks(clean: Floats, count: int, random: np.random.Generator) -> None:
    """Add charging: bright lines along x in single slices, 1 to 2 px high and 20 to 200 px long, fading at the end."""
    depth, height, width = clean.shape
    for _ in range(count):
        z, y, x = random.integers(depth), random.integers(height - 2), random.integers(width - 20)
        length, rows = int(random.integers(20, 201)), int(random.integers(1, 3))
        line = random.uniform(60, 120) * np.minimum(1, np.linspace(4, 0.4, length))
        part = clean[z, y : y + rows, x : x + length]
        part += line[: part.shape[1]].astype(np.float32)


def illuminate(clean: Floats, recipe: Recipe, random: np.random.Generator) -> Floats:
    """Apply the gain of each slice, the shading across it and the contrast of the detector."""
    if not (recipe.gain_drift or recipe.shading or recipe.contrast != 1):
        return clean
    gains = 1 + recipe.gain_drift * random.standard_normal((len(clean), 1, 1))
    x = np.linspace(-0.5, 0.5, clean.shape[2])
    stretched = TISSUE_GREY + recipe.contrast * (clean - TISSUE_GREY)
    return (stretched * gains * (1 + recipe.shading * x)).astype(np.float32)


def expose(clean: Floats, recipe: Recipe, random: np.random.Generator) -> tuple[NDArray[Any], Floats]:
    """Add noise and quantise; returns the image and the noise-free one in its units."""
    noise = random.standard_normal(clean.shape, np.float32)
    if recipe.noise_kind == "poisson":
        electrons = TISSUE_GREY / recipe.noise**2
        noisy = random.poisson(np.maximum(clean, 0) * electrons).astype(np.float32) / electrons
    else:
        if recipe.noise_kind == "correlated":
            noise = ndimage.gaussian_filter1d(noise, 1.2, axis=2, mode="wrap")
            noise /= noise.std()
        noisy = clean + recipe.noise * noise
    if recipe.wide is None:
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), clean
    scale, offset = recipe.wide
    wide = np.clip(np.rint(scale * noisy + offset), 0, 65535).astype(np.uint16)
    return wide, (scale * clean + offset).astype(np.float32)
