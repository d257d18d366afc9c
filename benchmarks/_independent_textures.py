"""Grey values of tissue and resin, from smoothed noise."""

from dataclasses import dataclass

import numpy as np
from _independent_balls import Floats, Spacing, ball_cover

TISSUE_GREY = 128.0


@dataclass(frozen=True)
class Resin:
    """Embedding medium beyond a straight border or outside a curved one."""

    grey: float = 170.0
    fraction: float = 0.16
    curved: bool = False
    textured: bool = True


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
