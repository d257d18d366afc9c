"""Stacks of evolving tissue with planted motion, and patterns that stay in the frame of the slices.

Nothing here is shared with the phantom: tissue is a real FIB-SEM stack or a random texture that changes with depth, and each
pattern is drawn on its own.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.registration.affine import Matrix, compose, invert, rotation_matrix, slice_centre

DATA = Path(__file__).parents[2] / "shared" / "data"
FIBSEM = DATA / "fibsem_drosophila" / "slices"
SECTIONS = DATA / "sstem_vnc"

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """Random motion of each slice: standard deviations of shift in px, of turn in degrees, of strain, and a walk of the stage."""

    shift_px: float = 3.0
    turn_deg: float = 0.2
    strain: float = 0.002
    walk_px: float = 0.0

    def draw(self, count: int, shape: tuple[int, int], seed: int) -> Matrix:
        """Draw maps of ideal to slice coordinates, (count, 2, 3)."""
        rng = np.random.default_rng((seed, 1))
        centre = slice_centre(shape)
        walk = np.cumsum(rng.normal(0.0, 1.0, (count, 2)), 0) * self.walk_px
        walk -= walk.mean(0)
        maps = []
        for z in range(count):
            linear = np.eye(2) + rng.normal(0.0, 1.0, (2, 2)) * self.strain
            shift = rng.normal(0.0, 1.0, 2) * self.shift_px + walk[z]
            about = np.concatenate([linear, (centre - linear @ centre + shift)[:, None]], axis=1)
            maps.append(compose(rotation_matrix(float(rng.normal(0.0, 1.0)) * self.turn_deg, shape), about))
        return np.stack(maps)


@dataclass(frozen=True)
class Pattern:
    """Choice of the artefacts that are fixed to the frame.

    Attributes
    ----------
    curtains
        Standard deviation of curtains in grey values.
    tilt_deg
        Angle between curtains and the y axis.
    lasts
        Slices over which curtains and detector pattern lose most of their likeness.
    databar
        Fraction of the rows at the bottom.
    dust
        Number of specks per slice of any size.
    detector
        Standard deviation of a fine fixed pattern in grey values.
    resin
        Fraction of the field that is resin; it moves with the tissue.
    """

    curtains: float = 0.0
    tilt_deg: float = 0.0
    lasts: float = 30.0
    databar: float = 0.0
    dust: int = 0
    detector: float = 0.0
    resin: float = 0.0


def real_tissue(count: int, start: int = 0) -> Image:
    """Read FIB-SEM slices of 250 x 250 pixels."""
    paths = sorted(FIBSEM.glob("*.tif"))[start : start + count]
    return np.stack([tifffile.imread(path) for path in paths]).astype(np.float64)


def sections(count: int) -> Image:
    """Read serial sections of 1024 x 1024 pixels."""
    return np.stack([tifffile.imread(path) for path in sorted(SECTIONS.glob("*.tif"))[:count]]).astype(float)


def texture(count: int, side: int, seed: int, lasts: float = 6.0) -> Image:
    """Draw cells, their membranes and granules that change over `lasts` slices."""
    rng = np.random.default_rng((seed, 2))

    def noise(px: float, depth: float) -> Image:
        field = rng.standard_normal((count, side, side), dtype=np.float32)
        field = ndimage.gaussian_filter(field, (depth, px, px), mode="wrap")
        return field / field.std()

    cells, bodies, grains = noise(14.0, 2.0 * lasts), noise(5.0, lasts), noise(1.5, lasts / 2.0)
    grey = (
        150.0
        + 9.0 * grains
        - 70.0 * np.exp(-((cells / 0.13) ** 2))
        - 35.0 * (np.tanh(4.0 * (bodies - 1.0)) + 1.0)
    )
    return ndimage.gaussian_filter(grey, (0.0, 0.8, 0.8))


def acquire(
    tissue: Image, motion: Matrix, pattern: Pattern, seed: int, noise: float = 8.0
) -> NDArray[np.uint8]:
    """Move each slice by its map, cut the margin off, and add what is fixed to the frame, and noise."""
    count = len(tissue)
    shape, margin = _field(tissue)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    rng = np.random.default_rng((seed, 3))
    if pattern.resin:
        tissue = _with_resin(tissue, pattern.resin, seed)
    curtains, detector = _curtains(count, shape, pattern, seed), _detector(count, shape, pattern, seed)
    specks = _dust(shape, pattern.dust, seed)
    slices = np.empty((count, *shape), np.uint8)
    for z in range(count):
        back = invert(motion[z])
        where = [row[0] * y + row[1] * x + row[2] + margin for row in back]
        image = ndimage.map_coordinates(tissue[z], where, order=3, mode="reflect")
        image = image + curtains[z] + detector[z]
        image = specks[0] * image + specks[1]
        image += rng.standard_normal(shape) * noise
        if pattern.databar:
            image = _with_databar(image, pattern.databar, seed, z)
        slices[z] = np.clip(np.rint(image), 0, 255)
    return slices


def field_of(tissue: Image) -> tuple[int, int]:
    """Return the shape of an acquired slice."""
    return _field(tissue)[0]


def _field(tissue: Image) -> tuple[tuple[int, int], int]:
    margin = max(20, tissue.shape[1] // 12)
    return (tissue.shape[1] - 2 * margin, tissue.shape[2] - 2 * margin), margin


def _changing(rng: np.random.Generator, count: int, size: tuple[int, ...], lasts: float) -> Image:
    """Draw a series of unit variance whose likeness falls as exp(-distance / lasts)."""
    keep = np.exp(-1.0 / lasts)
    series = np.empty((count, *size))
    series[0] = rng.standard_normal(size)
    for z in range(1, count):
        series[z] = keep * series[z - 1] + np.sqrt(1.0 - keep**2) * rng.standard_normal(size)
    return series


def _curtains(count: int, shape: tuple[int, int], pattern: Pattern, seed: int) -> Image:
    """Draw ridges of several widths; their strength changes along them, and some begin inside the field."""
    if not pattern.curtains:
        return np.zeros((count, 1, 1))
    rng = np.random.default_rng((seed, 4))
    lean = np.tan(np.deg2rad(pattern.tilt_deg))
    wide = shape[1] + int(abs(lean) * shape[0]) + 4
    profile = np.zeros((count, wide))
    for width in (0.8, 2.5, 8.0):
        rough = ndimage.gaussian_filter1d(_changing(rng, count, (wide,), pattern.lasts), width, axis=1)
        profile += rough / rough.std()
    profile *= pattern.curtains / profile.std()
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    place = x + lean * y + (abs(lean) * shape[0] if lean < 0 else 0.0)
    along = ndimage.gaussian_filter(rng.standard_normal(shape), (shape[0] / 4.0, 3.0))
    strength = np.clip(1.0 + 0.3 * along / along.std(), 0.0, 2.0)
    return np.stack([strength * np.interp(place, np.arange(wide), p) for p in profile])


def _detector(count: int, shape: tuple[int, int], pattern: Pattern, seed: int) -> Image:
    if not pattern.detector:
        return np.zeros((count, 1, 1))
    rng = np.random.default_rng((seed, 5))
    lasting = rng.standard_normal(shape)
    rough = sum(
        ndimage.gaussian_filter(rng.standard_normal(shape), s) * np.sqrt(1 + 4 * np.pi * s * s)
        for s in (1.0, 3.0)
    )
    field = 0.5 * lasting + rough
    return np.repeat((field * pattern.detector / field.std())[None], count, 0)


def _dust(shape: tuple[int, int], count: int, seed: int) -> tuple[Image, Image]:
    """Draw specks that hide the tissue: (fraction of the tissue seen, grey values in its place)."""
    rng = np.random.default_rng((seed, 6))
    seen, grey = np.ones(shape), np.zeros(shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for _ in range(count):
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = rng.uniform(2.0, 0.04 * shape[0])
        inside = 1.0 / (
            1.0
            + np.exp(np.clip(2.0 * (np.hypot(y - cy, (x - cx) * rng.uniform(0.6, 1.0)) - radius), -30, 30))
        )
        level = rng.choice([20.0, 60.0, 230.0])
        seen, grey = seen * (1 - inside), grey * (1 - inside) + inside * level
    return seen, grey


def _with_resin(tissue: Image, fraction: float, seed: int) -> Image:
    """Cover a side of the field with resin behind a rough border that changes with depth."""
    count, rows, columns = tissue.shape
    rng = np.random.default_rng((seed, 7))
    rough = ndimage.gaussian_filter(rng.standard_normal((count, rows, columns)), (6.0, 15.0, 15.0))
    y, x = np.mgrid[:rows, :columns] / rows
    angle = rng.uniform(0, 2 * np.pi)
    height = np.cos(angle) * y + np.sin(angle) * x + 0.05 * rough / rough.std()
    level = np.quantile(height, fraction, axis=(1, 2), keepdims=True)
    texture_ = ndimage.gaussian_filter(rng.standard_normal((count, rows, columns)), (3.0, 4.0, 4.0))
    resin = 185.0 + 2.0 * texture_ / texture_.std()
    mask = 1.0 / (1.0 + np.exp(np.clip((height - level) * rows, -30, 30)))
    return tissue * (1 - mask) + resin * mask


def _with_databar(image: Image, fraction: float, seed: int, z: int) -> Image:
    """Draw a black bar with a rule, marks that are the same in all slices, and a number that counts."""
    rng = np.random.default_rng((seed, 8))
    rows, columns = image.shape
    height = round(fraction * rows)
    bar = np.zeros((height, columns))
    bar[:1] = 255.0
    glyph = max(3, height // 4)
    for top in range(glyph // 2, height - glyph, 2 * glyph):
        for left in range(3, columns - glyph, glyph + 2):
            if rng.random() < 0.7:
                bar[top : top + glyph, left : left + glyph] = 255.0 * (rng.random((glyph, glyph)) < 0.5)
    count = np.random.default_rng((seed, 9, z))
    bar[2 : 2 + glyph, 3 : 3 + 3 * glyph] = 255.0 * (count.random((glyph, 3 * glyph)[:2]) < 0.5)[: height - 2]
    covered = image.copy()
    covered[rows - height :] = bar
    return covered
