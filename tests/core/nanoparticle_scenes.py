"""Small synthetic stacks with nanoparticles, drawn without the phantom: exact chords along z, supersampled in the plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from spherovem_core.blocks import slab_grid
from spherovem_core.spacing import SpacingNm
from spherovem_core.store import ArraySpec, ArrayWriter, Layout, slice_shards
from spherovem_core.store.layout import REGISTERED

SPACING_NM = (50.0, 10.0, 10.0)
COARSE_NM = (120.0, 40.0, 40.0)
# Samples per pixel along y and x.
_FINE = 4
_TISSUE, _TEXTURE, _STAIN = 120.0, 6.0, -30.0


@dataclass(frozen=True)
class Kind:
    """Balls of one kind; `clump` centres are in units of the diameter, one row for lone balls."""

    count: int = 30
    diameter_nm: float = 220.0
    grey: float = 215.0
    spread: float = 0.03
    clump: Any = ((0.0, 0.0, 0.0),)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its truth.

    Attributes
    ----------
    image : (Z, Y, X) ndarray of uint8 or uint16
    labels : (Z, Y, X) ndarray of uint32
        Voxels that a ball fills by half or more.
    balls
        One row per ball: ``z_nm``, ``y_nm``, ``x_nm`` (the middle of voxel 0 is at 0), ``diameter_nm``, ``kind`` (from 0),
        ``clump`` (from 0), ``cut`` (the border of the volume cuts it).
    spacing_nm
        Voxel size.
    """

    image: NDArray[Any]
    labels: NDArray[np.uint32]
    balls: pd.DataFrame
    spacing_nm: SpacingNm


@dataclass(frozen=True, eq=False)
class Score:
    """Comparison of found particles with the balls of a scene; recall and size are those of balls that no border cuts."""

    matched: NDArray[np.bool_]
    precision: float
    recall: float
    size_ratio: float
    pairs: NDArray[np.int64]


def make_scene(
    shape: tuple[int, int, int] = (16, 160, 160),
    kinds: Sequence[Kind] = (Kind(),),
    spacing_nm: SpacingNm = SPACING_NM,
    *,
    noise: float = 6.0,
    blur_px: float = 0.6,
    resin: tuple[float, float] | None = None,
    droplets: int = 0,
    streaks: int = 0,
    gain_drift: float = 0.0,
    wide: float = 0.0,
    seed: int = 0,
) -> Scene:
    """Draw noisy tissue of two stains with balls.

    `resin` is a fraction of the field along x and its grey; `droplets` are 0.8 to 1.1 µm wide, of grey 205; `streaks`
    are bright lines of one slice; `gain_drift` is the largest relative change of a slice's gain; `wide` makes a 16-bit
    image, with so many units a grey value.
    """
    random = np.random.default_rng(seed)
    stain = smooth_field(random, shape, 150.0, spacing_nm)
    grey = _TISSUE + _TEXTURE * smooth_field(random, shape, 60.0, spacing_nm) + _STAIN * (stain > 0.9)
    left = 0.0
    if resin is not None:
        left = resin[0] * shape[2] * spacing_nm[2]
        inside = np.arange(shape[2]) * spacing_nm[2] < left
        grey[:, :, inside] = resin[1] + 2 * smooth_field(random, shape, 40.0, spacing_nm)[:, :, inside]
    drops = (
        _place([Kind(droplets, 950.0, 205.0, 0.1)], shape, spacing_nm, left, random, []) if droplets else []
    )
    _paint(grey, drops, spacing_nm)
    balls = _place(kinds, shape, spacing_nm, left, random, drops)
    labels = _paint(grey, balls, spacing_nm)
    image = ndimage.gaussian_filter(grey, (0, blur_px, blur_px), mode="nearest")
    for _ in range(streaks):
        z, y, x = (int(random.integers(n)) for n in (shape[0], shape[1] - 2, shape[2] - 20))
        image[z, y : y + 1 + int(random.integers(2)), x : x + int(random.integers(20, 120))] += 90
    image += noise * random.standard_normal(shape)
    gains = 1 + gain_drift * random.uniform(-1, 1, shape[0])
    image = image * gains[:, None, None] + 20 * gain_drift * random.uniform(-1, 1, shape[0])[:, None, None]
    top, dtype = (65535, np.uint16) if wide else (255, np.uint8)
    image = np.clip(np.rint(image * (wide or 1.0)), 0, top).astype(dtype)
    return Scene(image, labels, _table(balls, shape, spacing_nm), spacing_nm)


def smooth_field(
    random: np.random.Generator, shape: tuple[int, ...], sigma_nm: float, spacing_nm: SpacingNm
) -> NDArray[np.float64]:
    """Draw a smooth Gaussian field of standard deviation 1."""
    field = ndimage.gaussian_filter(
        random.standard_normal(shape), [sigma_nm / step for step in spacing_nm], mode="wrap"
    )
    return np.asarray(field / field.std())


def ball_cover(
    shape: tuple[int, ...], centre_nm: NDArray[np.float64], diameter_nm: float, spacing_nm: SpacingNm
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Compute the fraction of each voxel that a ball fills; returns the box around it, and the fractions in this box."""
    radius, step = diameter_nm / 2, np.asarray(spacing_nm)
    low = np.maximum(np.floor((centre_nm - radius) / step), 0).astype(int)
    high = np.minimum(np.ceil((centre_nm + radius) / step) + 1, shape).astype(int)
    z, y, x = (np.arange(a, b) for a, b in zip(low, high, strict=True))
    part = (np.arange(_FINE) + 0.5) / _FINE - 0.5
    fine_y, fine_x = ((a[:, None] + part).ravel() * d for a, d in ((y, step[1]), (x, step[2])))
    square = radius**2 - (fine_y[:, None] - centre_nm[1]) ** 2 - (fine_x - centre_nm[2]) ** 2
    half = np.sqrt(np.maximum(square, 0))
    from_centre = z[:, None, None] * step[0] - centre_nm[0]
    chord = np.minimum(half, from_centre + step[0] / 2) - np.maximum(-half, from_centre - step[0] / 2)
    fine = np.maximum(chord, 0) / step[0]
    cover = fine.reshape(len(z), len(y), _FINE, len(x), _FINE).mean(axis=(2, 4))
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), cover


_Ball = tuple[NDArray[np.float64], float, float, int, int]


def _place(
    kinds: Sequence[Kind],
    shape: tuple[int, int, int],
    spacing_nm: SpacingNm,
    left_nm: float,
    random: np.random.Generator,
    taken: list[_Ball],
) -> list[_Ball]:
    """Place clumps at random, none nearer to another one than 120 nm or a slice."""
    size = (np.array(shape) - 1) * np.array(spacing_nm)
    gap = 120.0 + spacing_nm[0]
    balls: list[_Ball] = []
    clump = 0
    for number, kind in enumerate(kinds):
        offsets = np.asarray(kind.clump, np.float64)
        for _ in range(kind.count):
            for _attempt in range(2000):
                turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
                diameter = kind.diameter_nm * (1 + kind.spread * random.standard_normal())
                first = random.uniform((0, 0, left_nm + kind.diameter_nm if left_nm else 0), size)
                centres = first + diameter * offsets @ turn.T
                others = [*taken, *balls]
                if all(
                    np.linalg.norm(c - entry[0]) > diameter / 2 + entry[1] / 2 + gap for c in centres for entry in others
                ):  # fmt: skip
                    break
            else:
                raise AssertionError("no place is left for a ball; draw fewer")
            balls += [(c, diameter, kind.grey, number, clump) for c in centres]
            clump += 1
    return balls


def _paint(grey: NDArray[np.float64], balls: Sequence[_Ball], spacing_nm: SpacingNm) -> NDArray[np.uint32]:
    labels = np.zeros(grey.shape, np.uint32)
    for label, (centre, diameter, value, _, _) in enumerate(balls, start=1):
        if np.any(centre + diameter / 2 < -np.array(spacing_nm) / 2):
            continue
        box, cover = ball_cover(grey.shape, centre, diameter, spacing_nm)
        grey[box] += cover * (value - grey[box])
        labels[box][cover >= 0.5] = label
    return labels


def _table(balls: Sequence[_Ball], shape: tuple[int, int, int], spacing_nm: SpacingNm) -> pd.DataFrame:
    step = np.array(spacing_nm)
    centres = np.array([b[0] for b in balls]).reshape(-1, 3)
    table = pd.DataFrame(centres, columns=["z_nm", "y_nm", "x_nm"])
    table["diameter_nm"] = [b[1] for b in balls]
    table["kind"], table["clump"] = [b[3] for b in balls], [b[4] for b in balls]
    radius = table.diameter_nm.to_numpy()[:, None] / 2
    table["cut"] = ((centres - radius < -step / 2) | (centres + radius > (np.array(shape) - 0.5) * step)).any(
        axis=1
    )
    return table


def score(scene: Scene, table: pd.DataFrame) -> Score:
    """Match found particles with balls, each to one; a match lies within half a diameter and half a slice."""
    balls = scene.balls
    truth = balls[["z_nm", "y_nm", "x_nm"]].to_numpy()
    found = 1e3 * table[["centroid_z_um", "centroid_y_um", "centroid_x_um"]].to_numpy()
    away = np.linalg.norm(truth[:, None] - found[None], axis=2)
    reach = 0.5 * balls.diameter_nm.to_numpy()[:, None] + 0.5 * scene.spacing_nm[0]
    rows, columns = linear_sum_assignment(np.where(away < reach, away, 1e6))
    near = away[rows, columns] < reach[rows, 0]
    rows, columns = rows[near], columns[near]
    matched = np.zeros(len(balls), bool)
    matched[rows] = True
    whole = ~balls.cut.to_numpy()
    ratio = 1e3 * table.equivalent_diameter_um.to_numpy()[columns] / balls.diameter_nm.to_numpy()[rows]
    ratio = ratio[whole[rows]]
    return Score(
        matched,
        len(columns) / max(len(found), 1),
        float(matched[whole].mean()) if whole.any() else 1.0,
        float(np.median(ratio)) if len(ratio) else np.nan,
        np.stack([rows, columns], axis=1),
    )


def store_image(folder: Path, image: NDArray[np.uint8], spacing_nm: SpacingNm = COARSE_NM) -> None:
    """Store an image as the registration stage does."""
    spec = ArraySpec(REGISTERED, "image", image.shape, image.dtype, *slice_shards(image.shape), spacing_nm)
    writer = ArrayWriter(Layout(folder), spec, "source")
    for block in slab_grid(image.shape, 1):
        writer.write(block, image[block.core])
    writer.commit()
