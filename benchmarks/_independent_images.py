"""Images of tissue with particles by a generator that shares no code with the product's phantom.

Everything is drawn in memory from numpy and scipy alone: smoothed noise for the texture, level sets of smoothed noise for
membranes, balls whose cover is integrated over each voxel. Voxel `i` spans `(i - 0.5) * spacing` to `(i + 0.5) * spacing`, so that
positions in nm compare with a centroid in voxels times spacing. Signal comes from the whole thickness of a slice (partial volume).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

Spacing = tuple[float, float, float]
Floats = NDArray[np.float32]
Place = Literal["tissue", "resin", "resin border", "volume border", "anywhere"]
TISSUE_GREY = 128.0
# 16-bit images keep the shape of the histogram: a grey value of the 8-bit image is this many units.
WIDE_SCALE, WIDE_OFFSET = 200.0, 2000.0


@dataclass(frozen=True)
class Population:
    """Particles of one kind; `clumps` lists the sizes of clumps of touching particles, else each particle stands alone."""

    count: int = 60
    diameter_nm: float = 320.0
    grey: float = 215.0
    place: Place = "tissue"
    clumps: tuple[int, ...] = ()
    spread: float = 0.05


@dataclass(frozen=True)
class Resin:
    """Embedding medium beyond a straight border or outside a curved one."""

    grey: float = 170.0
    fraction: float = 0.16
    curved: bool = False
    textured: bool = True


@dataclass(frozen=True)
class Blobs:
    """Round bodies that are no particles; `mottle` is the standard deviation of their texture, `softness_nm` of their edge."""

    count: int = 12
    diameter_nm: tuple[float, float] = (700.0, 1200.0)
    grey: float = 205.0
    mottle: float = 0.0
    softness_nm: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What an image shows, and how the microscope sees it. Grey values are those of bright particles; dark ones are mirrored."""

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
    dark: bool = False
    wide: bool = False


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
    table.drop(columns="grey", inplace=True)
    clean = ndimage.gaussian_filter(grey, (0, recipe.blur_px, recipe.blur_px), mode="nearest")
    add_streaks(clean, recipe.streaks, random)
    if recipe.dark:
        clean = 256 - clean
    image, clean = expose(clean, recipe, random)
    parameters = {"polarity": "dark"} if recipe.dark else {}
    return Drawing(image, clean, table, labels, cover, others > 0.5, resin > 0.5, spacing, parameters)


def smooth_noise(
    shape: tuple[int, int, int], spacing: Spacing, scale_nm: float, random: np.random.Generator
) -> Floats:
    """Smooth white noise by a Gaussian of `scale_nm`, periodic at the borders; mean 0 and standard deviation 1."""
    spectrum = np.fft.rfftn(random.standard_normal(shape, np.float32))
    for axis, (length, step) in enumerate(zip(shape, spacing, strict=True)):
        frequency = np.fft.rfftfreq(length) if axis == 2 else np.fft.fftfreq(length)
        damping = np.exp(-2 * (np.pi * frequency * scale_nm / step) ** 2)
        spectrum *= damping.reshape([-1 if n == axis else 1 for n in range(3)])
    field = np.fft.irfftn(spectrum, shape, axes=(0, 1, 2))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def tissue(
    shape: tuple[int, int, int], spacing: Spacing, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw texture of several scales, dark membranes and nuclei; returns the grey values and the cover by nuclei."""
    grey = np.full(shape, TISSUE_GREY, np.float32)
    for scale, spread in ((50, 8), (160, 8), (700, 6)):
        grey += spread * random.uniform(0.7, 1.2) * smooth_noise(shape, spacing, scale, random)
    for scale, depth in ((350, 18), (1100, 35)):
        grey -= depth * np.exp(
            -((level_distance(smooth_noise(shape, spacing, scale, random), spacing) / 25) ** 2)
        )
    nuclei = np.zeros(shape, np.float32)
    extent = np.array(shape) * np.array(spacing)
    for _ in range(3):
        radius = random.uniform(0.15, 0.25) * extent[2]
        centre = random.uniform(0.1, 0.9, 3) * extent
        nuclei = np.maximum(nuclei, ball_cover(shape, spacing, centre, 2 * radius))
    inside = random.choice([-12, 10]) + 7 * np.tanh(3 * smooth_noise(shape, spacing, 260, random))
    grey += nuclei * (TISSUE_GREY + 0.5 * (grey - TISSUE_GREY) + inside - grey)
    grey -= 40 * (4 * nuclei * (1 - nuclei)).astype(np.float32)
    return grey, nuclei


def level_distance(field: Floats, spacing: Spacing) -> Floats:
    """Estimate the distance in nm from the zero level of a field, from its value and its slope."""
    slope = np.sqrt(sum(g**2 for g in np.gradient(field, *spacing)))
    return np.abs(field) / np.maximum(slope, 1e-6)


def resin_cover(
    resin: Resin, shape: tuple[int, int, int], spacing: Spacing, random: np.random.Generator
) -> Floats:
    """Cover the given fraction of the volume with resin, beyond a tilted plane or outside a ball, with a sharp border."""
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    z, y, x = (axis * step for axis, step in zip((z, y, x), spacing, strict=True))
    if resin.curved:
        centre = (
            np.array(shape) * np.array(spacing) * [0.5, random.uniform(0.3, 0.5), random.uniform(0.2, 0.4)]
        )
        depth = np.sqrt((y - centre[1]) ** 2 + (x - centre[2]) ** 2 + (z - centre[0]) ** 2)
    else:
        angle = random.uniform(0, 2 * np.pi)
        depth = y * np.sin(angle) + x * np.cos(angle) + 0.2 * z
    depth = (depth + 60 * smooth_noise(shape, spacing, 400, random)).astype(np.float32)
    edge = np.quantile(depth, 1 - resin.fraction)
    return np.clip(0.5 + (depth - edge) / spacing[2], 0, 1)


def resin_texture(
    resin: Resin, shape: tuple[int, int, int], spacing: Spacing, random: np.random.Generator
) -> Floats:
    """Draw the grey values of resin: flat, or faintly clouded."""
    texture = np.full(shape, resin.grey, np.float32)
    if resin.textured:
        texture += 3 * smooth_noise(shape, spacing, 120, random) + 3 * smooth_noise(
            shape, spacing, 900, random
        )
    return texture


def chromatin_cover(nuclei: Floats, spacing: Spacing, random: np.random.Generator) -> Floats:
    """Cover a tenth of the nuclei with irregular patches some 0.3 to 1 µm wide, with soft edges."""
    field = smooth_noise(nuclei.shape, spacing, 220, random)
    if not (nuclei > 0.5).any():
        return np.zeros_like(nuclei)
    level = np.quantile(field[nuclei > 0.5], 0.9)
    return nuclei * np.clip(0.5 + (field - level) / 0.5, 0, 1)


def blob_cover(
    blobs: Blobs, taken: NDArray[np.bool_], spacing: Spacing, random: np.random.Generator
) -> Floats:
    """Cover blobs at random places that are not taken."""
    diameters = random.uniform(*blobs.diameter_nm, blobs.count)
    cover = np.zeros(taken.shape, np.float32)
    chosen: list[tuple[NDArray[np.float64], float]] = []
    free = distance_to(taken, spacing)
    for diameter in sorted(diameters, reverse=True):
        centre = find_place(free, chosen, diameter / 2, diameter / 2, spacing, random, inside=False)
        chosen.append((centre, diameter / 2))
        cover = np.maximum(cover, ball_cover(taken.shape, spacing, centre, diameter))
    if blobs.softness_nm:
        cover = ndimage.gaussian_filter(cover, [blobs.softness_nm / step for step in spacing])
    return cover


def distance_to(taken: NDArray[np.bool_], spacing: Spacing) -> Floats:
    """Measure how far each voxel lies from taken ones, in nm; infinite without any."""
    if not taken.any():
        return np.full(taken.shape, np.inf, np.float32)
    return ndimage.distance_transform_edt(~taken, sampling=spacing).astype(np.float32)


def find_place(
    free: Floats,
    chosen: Sequence[tuple[NDArray[np.float64], float]],
    radius: float,
    gap: float,
    spacing: Spacing,
    random: np.random.Generator,
    *,
    inside: bool = True,
) -> NDArray[np.float64]:
    """Draw a centre whose ball keeps `gap` from the chosen balls and lies in free space, and by default in the volume.

    Raises
    ------
    RuntimeError
        If no such place is found in 20 000 draws.
    """
    steps = np.array(spacing)
    low, high = -0.5 * steps, (np.array(free.shape) - 0.5) * steps
    if inside:
        low, high = low + radius, high - radius
    for _ in range(20_000):
        centre = random.uniform(low, high)
        voxel = tuple(np.clip(np.rint(centre / steps).astype(int), 0, np.array(free.shape) - 1))
        if free[voxel] > radius + steps[2] and all(
            np.linalg.norm(centre - other) > radius + size + gap for other, size in chosen
        ):
            return centre
    raise RuntimeError(
        f"no place for a ball of {radius:.0f} nm among {len(chosen)}; ask for fewer or smaller ones"
    )


def place_particles(
    populations: Sequence[Population],
    resin: NDArray[np.bool_],
    others: NDArray[np.bool_],
    spacing: Spacing,
    random: np.random.Generator,
) -> pd.DataFrame:
    """Draw positions and diameters of particles that overlap neither each other nor other bodies."""
    rows: list[dict[str, Any]] = []
    chosen: list[tuple[NDArray[np.float64], float]] = []
    clump = 0
    for number, population in enumerate(populations, 1):
        free = distance_to(_taken(population.place, resin, others), spacing)
        edges = (
            np.argwhere(ndimage.binary_dilation(resin) & ~resin)
            if population.place == "resin border"
            else None
        )
        for size in population.clumps or (1,) * population.count:
            clump += 1
            diameters = population.diameter_nm * (1 + population.spread * random.uniform(-1, 1, size))
            offsets = touching_balls(diameters, random)
            reach = float((np.linalg.norm(offsets, axis=1) + diameters / 2).max())
            centre = _centre(population.place, edges, free, chosen, reach, spacing, random)
            chosen.append((centre, reach))
            rows += [
                {
                    "label": 0,
                    **dict(zip(("z_nm", "y_nm", "x_nm"), centre + offset, strict=True)),
                    "diameter_nm": diameter,
                    "population": number,
                    "clump": clump,
                    "place": population.place,
                    "grey": random.normal(population.grey, 3),
                }
                for offset, diameter in zip(offsets, diameters, strict=True)
            ]
    columns = ("label", "z_nm", "y_nm", "x_nm", "diameter_nm", "population", "clump", "place", "grey")
    table = pd.DataFrame(rows, columns=list(columns))
    table["label"] = np.arange(1, len(table) + 1)
    return table


def _taken(place: Place, resin: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if place == "resin":
        return others | ~resin
    return others | resin if place in ("tissue", "volume border") else others


def _centre(
    place: Place,
    edges: NDArray[np.intp] | None,
    free: Floats,
    chosen: Sequence[tuple[NDArray[np.float64], float]],
    radius: float,
    spacing: Spacing,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw the centre of a clump: anywhere in its place, in tissue and touching the resin, or on the border of the volume."""
    steps, gap = np.array(spacing), max(spacing)
    for _ in range(2_000):
        centre = find_place(free, chosen, radius, gap, spacing, random)
        if place == "volume border":
            axis = random.integers(3)
            edge = (0, free.shape[axis] - 1)[random.integers(2)]
            centre[axis] = edge * steps[axis] + random.uniform(-0.5, 0.5) * radius * (1 if edge == 0 else -1)
        elif edges is not None:
            centre = edges[random.integers(len(edges))] * steps
            inside = np.all((centre > radius) & (centre < (np.array(free.shape) - 1) * steps - radius))
            if not inside:
                continue
        if all(np.linalg.norm(centre - other) > radius + size + gap for other, size in chosen):
            return centre
    raise RuntimeError(f"no place at the {place} for a ball of {radius:.0f} nm among {len(chosen)}")


def touching_balls(diameters: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Add balls one after the other so that each touches one and overlaps none; returns centres (n, 3) about their mean."""
    centres = np.zeros((1, 3))
    while len(centres) < len(diameters):
        n = len(centres)
        to = random.integers(n)
        direction = random.standard_normal(3)
        reach = (diameters[to] + diameters[n]) / 2
        new = centres[to] + reach * direction / np.linalg.norm(direction)
        away = np.linalg.norm(centres - new, axis=1) - (diameters[:n] + diameters[n]) / 2
        if away.min() > -1e-6 * reach:
            centres = np.vstack([centres, new])
    return centres - centres.mean(axis=0)


def ball_cover(
    shape: tuple[int, ...], spacing: Spacing, centre: NDArray[np.float64], diameter_nm: float
) -> Floats:
    """Compute the fraction of each voxel that a ball fills."""
    cover = np.zeros(shape, np.float32)
    region, part = ball_patch(shape, spacing, centre, diameter_nm)
    cover[region] = part
    return cover


def ball_patch(
    shape: tuple[int, ...], spacing: Spacing, centre: NDArray[np.float64], diameter_nm: float
) -> tuple[tuple[slice, ...], Floats]:
    """Compute the fraction of each voxel that a ball fills, within its box.

    Chords along x are exact. They are summed over midpoints of a grid along z and y with at least 24 lines per radius.

    Returns
    -------
    region, cover
        Slices of the box clipped to the volume, and the fractions inside it.
    """
    radius = diameter_nm / 2
    low = [max(0, int(np.floor((c - radius) / s + 0.5))) for c, s in zip(centre, spacing, strict=True)]
    high = [
        max(a, min(n, int(np.ceil((c + radius) / s + 0.5))))
        for a, c, s, n in zip(low, centre, spacing, shape, strict=True)
    ]
    region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    fine = [max(1, int(np.ceil(24 * step / radius))) for step in spacing[:2]]
    lines = [
        (np.arange(a * n, b * n) + 0.5) / n * step - 0.5 * step - c
        for a, b, n, step, c in zip(low, high, fine, spacing, centre, strict=False)
    ]
    half = np.sqrt(np.maximum(radius**2 - lines[0][:, None] ** 2 - lines[1] ** 2, 0))[..., None]
    left = (np.arange(low[2], high[2]) - 0.5) * spacing[2] - centre[2]
    chord = np.clip(np.minimum(left + spacing[2], half) - np.maximum(left, -half), 0, None)
    depth, height = (b - a for a, b in zip(low[:2], high[:2], strict=True))
    cells = chord.reshape(depth, fine[0], height, fine[1], -1)
    return region, (cells.mean(axis=(1, 3)) / spacing[2]).astype(np.float32)


def paint_particles(grey: Floats, table: pd.DataFrame, spacing: Spacing) -> tuple[Floats, NDArray[np.uint32]]:
    """Paint particles into the grey values; returns the cover and the labels (see `Drawing`)."""
    cover, labels = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, np.uint32)
    fullest = np.zeros(grey.shape, np.float32)
    matrix = grey.copy()
    for row in table.itertuples():
        centre = np.array([row.z_nm, row.y_nm, row.x_nm])
        region, part = ball_patch(grey.shape, spacing, centre, row.diameter_nm)
        cover[region] += part
        grey[region] += part * (row.grey - matrix[region])
        level = min(0.5, float(part.max())) if part.size else 0.5
        mine = (part >= level) & (part > fullest[region])
        labels[region][mine] = row.label
        fullest[region] = np.maximum(fullest[region], part)
    return np.minimum(cover, 1), labels


def is_cut(table: pd.DataFrame, shape: tuple[int, int, int], spacing: Spacing) -> NDArray[np.bool_]:
    """Tell which balls the border of the volume cuts."""
    centres = table[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
    radius = table["diameter_nm"].to_numpy(float)[:, None] / 2
    low, high = -0.5 * np.array(spacing), (np.array(shape) - 0.5) * np.array(spacing)
    return ((centres - radius < low) | (centres + radius > high)).any(axis=1)


def add_streaks(clean: Floats, count: int, random: np.random.Generator) -> None:
    """Add charging: bright lines along x in single slices, 1 to 2 px high and 20 to 200 px long, fading at the end."""
    depth, height, width = clean.shape
    for _ in range(count):
        z, y, x = random.integers(depth), random.integers(height - 2), random.integers(width - 20)
        length, rows = int(random.integers(20, 201)), int(random.integers(1, 3))
        line = random.uniform(60, 120) * np.minimum(1, np.linspace(4, 0.4, length))
        part = clean[z, y : y + rows, x : x + length]
        part += line[: part.shape[1]].astype(np.float32)


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
    if not recipe.wide:
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), clean
    scaled = np.clip(np.rint(WIDE_SCALE * noisy + WIDE_OFFSET), 0, 65535).astype(np.uint16)
    return scaled, WIDE_SCALE * clean + np.float32(WIDE_OFFSET)
