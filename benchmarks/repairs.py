"""Stripes planted in real slices: what the repair leaves of them, and what it does to the tissue.

Curtains of several kinds are added to slices of real FIB-SEM and ssTEM (`../shared/data`), which `repair_stripes` then
repairs. For each kind:

- *up to 8 px*, *8 to 32 px*, *wider*: rms of the mean over the rows, planted and left, in grey values, by wavelength;
- *PSNR*: change in dB against the slice without stripes, mean and worst slice;
- *power*: power at the direction of the stripes over that beside it (directions of 3 to 20 degrees), before and after, and of the
  slice without stripes, for wavelengths of 3 to 64 pixels;
- *ringing*: rms of the correction where nothing was planted, in slices whose stripes begin at half of the width, in grey values.

``python benchmarks/repairs.py [--picture FILE.png]``
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spherovem_core.repairs import find_stripes, remove_stripes
from spherovem_core.utils.accelerator import select_accelerator

DATA = Path(__file__).parents[2] / "shared" / "data"
KINDS = ("none", "fine", "wide", "mixed", "growing", "fading", "weak", "strong", "half of the width")
SLICES = 8
Image = NDArray[np.float32]


def real_slices() -> dict[str, list[Image]]:
    """Read some slices of both data sets."""
    cube = sorted((DATA / "fibsem_drosophila" / "slices").glob("*.tif*"))
    if not cube:
        raise SystemExit(f"{DATA}: no real data there; this benchmark needs ../shared/data")
    found: dict[str, list[Image]] = {"FIB-SEM": [], "ssTEM": []}
    for z in np.linspace(0, len(cube) - 1, SLICES, dtype=int):
        found["FIB-SEM"].append(tifffile.imread(cube[z]).astype(np.float32))
    for path in sorted((DATA / "sstem_vnc").rglob("*.tif*"))[:SLICES]:
        found["ssTEM"].append(tifffile.imread(path).astype(np.float32))
    return found


def stripes(kind: str, image: Image, seed: int) -> Image:
    """Make the stripes of one kind for a slice, along its columns."""
    generator = np.random.default_rng(seed)
    rows, columns = image.shape

    def profile(width: float) -> NDArray[Any]:
        values = gaussian_filter1d(generator.standard_normal(columns), width, mode="wrap")
        return np.asarray(values / values.std())

    down = np.linspace(0, 1, rows)[:, None]
    flat = np.ones((rows, 1))
    mixed = (profile(1.0) + profile(3.0)) / np.sqrt(2)
    fields = {
        "none": 0 * flat * mixed,
        "fine": 8 * flat * profile(0.7),
        "wide": 8 * flat * profile(min(4.0, columns / 250)),
        "mixed": 8 * flat * mixed,
        "growing": 0.07 * image * mixed,
        "fading": 8 * np.clip(2 * down, 0, 1) * mixed,
        "weak": 2 * flat * mixed,
        "strong": 20 * flat * mixed,
        "half of the width": 8 * flat * mixed * (np.arange(columns) >= columns // 2),
    }
    return np.asarray(fields[kind], np.float32)


BANDS = {"up to 8 px": (1 / 8, 0.51), "8 to 32 px": (1 / 32, 1 / 8), "wider": (1e-9, 1 / 32)}


def by_wavelength(error: Image) -> dict[str, float]:
    """Return the rms of the mean over the rows, by wavelength."""
    mean = error.mean(0)
    power = 2 * np.square(np.abs(np.fft.rfft(mean)) / len(mean))
    frequency = np.fft.rfftfreq(len(mean))
    return {
        name: float(np.sqrt(power[(frequency >= low) & (frequency < high)].sum()))
        for name, (low, high) in BANDS.items()
    }


def psnr(error: Image) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    return float(20 * np.log10(255 / np.sqrt(np.square(error).mean())))


def directional_power(image: Image) -> float:
    """Return the power at the direction of stripes along the columns over that beside it."""
    rows, columns = image.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)
    power = np.square(np.abs(np.fft.fft2((image - image.mean()) * window)))
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]
    radius = np.hypot(fy, fx)
    angle = np.degrees(np.arctan2(np.abs(fy), np.abs(fx)))
    used = (radius > 1 / 64) & (radius < 1 / 3)
    # Weighted by the squared frequency, so that the largest structures do not decide.
    power = power * radius**2
    at = used & (np.abs(fy) < 1.5 / rows)
    beside = used & (angle > 3) & (angle < 20) & ~at
    return float(power[at].mean() / power[beside].mean())


def repair(image: Image) -> Image:
    """Repair one slice as the denoising stage does."""
    cpu = select_accelerator("cpu")
    return np.asarray(remove_stripes(image, find_stripes(image, cpu), cpu))


def measure(images: list[Image], kind: str) -> dict[str, float]:
    """Plant one kind of stripes in all slices, repair them, and return means and worst cases."""
    rows = []
    for seed, image in enumerate(images):
        field = stripes(kind, image, seed)
        planted = np.rint(np.clip(image + field, 0, 255)).astype(np.float32)
        result = repair(planted)
        row = {
            "before": directional_power(planted),
            "after": directional_power(result),
            "without": directional_power(image),
            "changed": float(np.abs(result - planted).max()),
        }
        if kind != "none":
            row["psnr"] = psnr(result - image) - psnr(planted - image)
            row |= {f"{name}, planted": value for name, value in by_wavelength(planted - image).items()}
            row |= {f"{name}, left": value for name, value in by_wavelength(result - image).items()}
        if kind == "half of the width":
            # Wavelets reach 64 pixels beyond the first stripe.
            free = image.shape[1] // 2 - (64 if image.shape[1] > 512 else 32)
            row["ringing"] = float(np.sqrt(np.square(result - planted)[:, :free].mean()))
        rows.append(row)
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return found | {f"worst {name}": min(row[name] for row in rows) for name in ("psnr",) if name in found}


def draw(images: list[Image], path: Path) -> None:
    """Draw a slice with planted stripes, repaired, and four times the difference."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.2), layout="constrained")
    axes = figure.subplots(2, 3)
    for row, kind in zip(axes, ("mixed", "half of the width"), strict=True):
        image = images[0]
        planted = np.clip(image + stripes(kind, image, 0), 0, 255)
        result = repair(planted)
        shown = (planted, result, 128 + 4 * (planted - result))
        for axis, values, title in zip(
            row, shown, (f"planted: {kind}", "repaired", "removed, × 4"), strict=True
        ):
            axis.imshow(values[:400, :400], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_title(title, fontsize=9)
            axis.set_axis_off()
    figure.savefig(path, dpi=110)


def table_row(kind: str, found: dict[str, float]) -> str:
    """Write the figures of one kind of stripes as a row."""
    power = f"{found['before']:.1f} | {found['after']:.1f} | {found['without']:.1f}"
    if kind == "none":
        return f"| {kind} | | | | changed by {found['changed']:.0f} | {power} | |"
    bands = " | ".join(f"{found[f'{name}, planted']:.1f} → {found[f'{name}, left']:.1f}" for name in BANDS)
    ringing = f"{found['ringing']:.2f}" if "ringing" in found else ""
    return f"| {kind} | {bands} | {found['psnr']:+.1f} ({found['worst psnr']:+.1f}) | {power} | {ringing} |"


def main() -> None:
    """Print one table for each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--picture-of", choices=("FIB-SEM", "ssTEM"), default="FIB-SEM")
    arguments = parser.parse_args()
    data = real_slices()
    for name, images in data.items():
        print(f"\n{name}, {len(images)} slices of {images[0].shape[0]} × {images[0].shape[1]}")
        print(
            f"| stripes | {' | '.join(BANDS)} | PSNR (worst) | power before | after | without stripes | ringing |"
        )
        print("| --- " * (len(BANDS) + 6) + "|")
        for kind in KINDS:
            print(table_row(kind, measure(images, kind)), flush=True)
    if arguments.picture is not None:
        draw(data[arguments.picture_of], arguments.picture)


if __name__ == "__main__":
    main()
