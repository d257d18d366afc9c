"""Databars in the pixels: how many of each kind are cut off or asked about, and how often other rows raise a false alarm.

    python benchmarks/databars.py [--data ../shared/data] [--count 20]

The slices are those of the two real volumes of the shared data. Databars are drawn on them; false alarms are counted at both
ends of the slices as they are, and with padding, frames, resin, curtains and dust in place of their lowest rows. The number of
rows is right within 3.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from spherovem_core.ingest.lettering import Lettering, count_databar_rows, find_lettering

Volume = NDArray[Any]
SHAPE, BAR, LOW = (12, 400, 420), 28, 80


def real_slices(data: Path) -> list[Volume]:
    folders = ("fibsem_drosophila/slices", "sstem_vnc")
    return [
        np.stack([tifffile.imread(path) for path in sorted((data / name).glob("*.tif"))]) for name in folders
    ]


def cut_out(volumes: list[Volume], rng: np.random.Generator, n: int) -> Volume:
    volume = volumes[n % 2]
    if n % 2 == 0:
        z = rng.integers(0, len(volume) - 3 * SHAPE[0])
        turned = np.rot90(volume[z : z + 3 * SHAPE[0] : 3], rng.integers(4), (1, 2))
        return np.tile(turned, (1, 2, 2))[:, : SHAPE[1], : SHAPE[2]].copy()
    y, x = rng.integers(0, 600, 2)
    return volume[: SHAPE[0], y : y + SHAPE[1], x : x + SHAPE[2]].copy()


def letters(z: int, ground: int = 0, ink: int = 255, rows: int = BAR) -> Volume:
    image = Image.new("L", (SHAPE[2], rows), ground)
    pen = ImageDraw.Draw(image)
    pen.text((4, 2), "HV 5.00 kV  WD 4.1 mm  HFW 12.8 um  mag 10 000 x  det TLD  dwell 3 us", fill=ink)
    if rows >= 24:
        pen.text((4, rows - 12), f"Helios 650  12:{z:02d}:{z * 37 % 60:02d}  frame {z:05d}", fill=ink)
    pen.rectangle((SHAPE[2] - 90, rows // 2 - 1, SHAPE[2] - 20, rows // 2 + 1), fill=ink)
    return np.asarray(image)


def covered(volume: Volume, bar: Callable[[int], Volume]) -> Volume:
    out = volume.copy()
    for z, image in enumerate(out):
        drawn = bar(z)
        image[-len(drawn) :, : drawn.shape[1]] = drawn
    return out


def compressed(volume: Volume, quality: int) -> Volume:
    out = []
    for image in covered(volume, letters):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "JPEG", quality=quality)
        out.append(np.asarray(Image.open(content)))
    return np.stack(out)


def box_above_the_edge(volume: Volume) -> Volume:
    out = volume.copy()
    for z, image in enumerate(out):
        image[-BAR - 10 : -10, :200] = letters(z)[:, :200]
    return out


def noisy(z: int) -> Volume:
    values = letters(z, 40, 230) + np.random.default_rng(z).normal(0, 2, (BAR, SHAPE[2]))
    return np.clip(values, 0, 255).astype(np.uint8)


def padded(z: int) -> Volume:
    return np.vstack([letters(z, 20), np.zeros((8, SHAPE[2]), np.uint8)])


def half_changing(z: int) -> Volume:
    return np.vstack([letters(0, rows=14), np.roll(letters(0, rows=14), 17 * z, axis=1)])


DATABARS: dict[str, tuple[Callable[[Volume], Volume], int]] = {
    "black ground": (lambda v: covered(v, letters), BAR),
    "white ground": (lambda v: covered(v, lambda z: letters(z, 255, 0)), BAR),
    "grey ground": (lambda v: covered(v, lambda z: letters(z, 90)), BAR),
    "one line": (lambda v: covered(v, lambda z: letters(z, rows=14)), 14),
    "faint": (lambda v: covered(v, lambda z: letters(z, 30, 130)), BAR),
    "shaded ground": (
        lambda v: covered(v, lambda z: np.maximum(letters(z), np.linspace(0, 80, SHAPE[2]).astype(np.uint8))), BAR,
    ),
    "noisy ground": (lambda v: covered(v, noisy), BAR),
    "half of it changing": (lambda v: covered(v, half_changing), BAR),
    "above padding": (lambda v: covered(v, padded), BAR + 8),
    "JPEG 90": (lambda v: compressed(v, 90), BAR),
    "JPEG 75": (lambda v: compressed(v, 75), BAR),
    "box": (lambda v: covered(v, lambda z: letters(z)[:, :160]), BAR),
    "box above the edge": (box_above_the_edge, BAR + 10),
    "12 bits": (lambda v: covered(v, letters).astype(np.uint16) * 16, BAR),
    "int16": (lambda v: covered(v, letters).astype(np.int16) * 10 - 900, BAR),
    "float32": (lambda v: (covered(v, letters) / 255).astype(np.float32), BAR),
    "inverted": (lambda v: 255 - covered(v, letters), BAR),
}  # fmt: skip


def replaced(volume: Volume, low: Callable[[int], Volume]) -> Volume:
    out = volume.copy()
    for z, image in enumerate(out):
        image[-LOW:] = np.clip(low(z), 0, 255)
    return out


def flat(noise: float, hot: float = 0.0) -> Callable[[Volume, np.random.Generator], Volume]:
    def make(volume: Volume, rng: np.random.Generator) -> Volume:
        bright = rng.random((LOW, SHAPE[2])) < hot
        return replaced(volume, lambda z: np.where(bright, 255, 100 + rng.normal(0, noise, bright.shape)))

    return make


def curtains(volume: Volume, rng: np.random.Generator) -> Volume:
    walk = np.cumsum(rng.normal(0, 0.15, (LOW, SHAPE[2])), axis=0) + 3 * rng.standard_normal(SHAPE[2])
    lines = ndimage.gaussian_filter1d(walk, 1.0, axis=1) > 1.5
    return replaced(volume, lambda z: 100 + 70 * lines + rng.normal(0, 2, lines.shape))


def straight_curtains(volume: Volume, rng: np.random.Generator) -> Volume:
    lines = rng.standard_normal(SHAPE[2]) > 0.8
    return replaced(volume, lambda z: 100 + 60 * lines + rng.normal(0, 1, (LOW, SHAPE[2])))


def corners(volume: Volume, rng: np.random.Generator) -> Volume:
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    slope, height = rng.uniform(-0.15, 0.15), rng.uniform(250, 390)
    out = volume.copy()
    for image in out:
        image[y > height + slope * x + rng.normal(0, 0.7)] = 0
    return out


def frame(volume: Volume, rng: np.random.Generator) -> Volume:
    return np.pad(volume[:, 3:-3, 3:-3], ((0, 0), (3, 3), (3, 3)), constant_values=255)


def blobs(level: float, value: int, size: float) -> Callable[[Volume, np.random.Generator], Volume]:
    def make(volume: Volume, rng: np.random.Generator) -> Volume:
        field = ndimage.gaussian_filter(rng.standard_normal(SHAPE[1:]), size)
        out = volume.copy()
        out[:, field > level * field.std()] = value
        return out

    return make


def deposit(size: float, drift_px: int) -> Callable[[Volume, np.random.Generator], Volume]:
    def make(volume: Volume, rng: np.random.Generator) -> Volume:
        field = ndimage.gaussian_filter(rng.standard_normal((60, SHAPE[2] + 12 * drift_px)), size)
        out = volume.copy()
        for z, image in enumerate(out):
            part = field[:, drift_px * z : drift_px * z + SHAPE[2]]
            values = np.where(part > 0.3 * field.std(), 300, -50) + rng.normal(0, 20, part.shape)
            image[-60:] = np.clip(values, 0, 255)
        return out

    return make


OTHERS: dict[str, Callable[[Volume, np.random.Generator], Volume]] = {
    "as acquired": lambda v, rng: v,
    "smoothed": lambda v, rng: ndimage.gaussian_filter(v.astype(np.float32), (0, 2, 2)),
    "clipped": lambda v, rng: np.clip((v.astype(np.float32) - 128) * 4 + 128, 0, 255).astype(np.uint8),
    "each slice twice": lambda v, rng: np.repeat(v[:2], 2, axis=0),
    "padding": lambda v, rng: replaced(v, lambda z: np.zeros((LOW, SHAPE[2]))),
    "corners of an aligned stack": corners,
    "frame": frame,
    "flat resin, noise 1": flat(1),
    "flat resin, noise 3": flat(3),
    "flat resin with hot pixels": flat(1, 0.02),
    "saturated resin": blobs(0.3, 255, 12),
    "dust": blobs(1.5, 0, 3),
    "curtains": straight_curtains,
    "curtains that bend": curtains,
    "drifting deposit of two greys": deposit(4, 3),
    "fixed texture of two greys": deposit(2, 0),
}


def ends(volume: Volume) -> list[list[Volume]]:
    height = volume.shape[1] // 4
    chosen = volume[np.linspace(0, len(volume) - 1, 4).astype(int)]
    return [list(chosen[:, -height:]), list(chosen[:, height - 1 :: -1])]


def verdict(strips: list[Volume]) -> tuple[int, Lettering | None]:
    """Return the rows that are cut off, and the lettering that is asked about, as ingest decides."""
    certain, likely = count_databar_rows(strips), find_lettering(strips)
    if certain and (likely is None or likely.rows <= certain):
        return certain, None
    return 0, likely


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--count", type=int, default=20)
    chosen = parser.parse_args()
    if not (chosen.data / "sstem_vnc").is_dir():
        print(f"{chosen.data} does not hold the shared data; nothing was measured")
        return
    volumes = real_slices(chosen.data)
    print(f"{'databar':32s} of {chosen.count}: cut off, asked about, with the right rows")
    for name, (draw, rows) in DATABARS.items():
        found = []
        for n in range(chosen.count):
            strips = ends(draw(cut_out(volumes, np.random.default_rng(n), n)))[0]
            found.append(verdict(strips))
        cut = [rows_cut for rows_cut, _ in found if rows_cut]
        asked = [likely.rows for _, likely in found if likely is not None]
        right = sum(abs(number - rows) <= 3 for number in [*cut, *asked])
        print(f"{name:32s} {len(cut):3d} {len(asked):3d} {right:3d}")
    print(f"{'no databar':32s} of {2 * chosen.count} ends: cut off, asked about")
    for name, change in OTHERS.items():
        cut_off = questions = 0
        for n in range(chosen.count):
            rng = np.random.default_rng(1000 + n)
            for strips in ends(change(cut_out(volumes, rng, n), rng)):
                rows_cut, likely = verdict(strips)
                cut_off += rows_cut > 0
                questions += likely is not None
        print(f"{name:32s} {cut_off:3d} {questions:3d}")


if __name__ == "__main__":
    main()
