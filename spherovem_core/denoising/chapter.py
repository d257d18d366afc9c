"""Denoise: before, after and residual of one window, the residual's distribution and correlation, the loss curve."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.denoising.quality import autocorrelation
from spherovem_core.report.charts import HEIGHT, WIDTH, lines
from spherovem_core.report.figures import PALETTE, add_legend, finish, new_panel
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Panel, Picture, Section
from spherovem_core.report.views import (
    View,
    contrast_limits,
    cut,
    fitting_level,
    window_around,
)
from spherovem_core.store.columns import FILLED_FLAGS
from spherovem_core.store.layout import DENOISED, RAW

WINDOW_PX = 256
LONGEST_LAG = 12

# Noise that neighbouring pixels share reaches a pixel or two along a scan line; beyond, only the specimen is alike.
STRUCTURE_LAG = 3
MOST_STRUCTURE = 0.1
MOST_CLIPPED = 0.01


def denoising_section(inputs: ReportInputs) -> Section:
    """Show what denoising took away: a residual with structure means that signal was removed."""
    found = _found(inputs)
    survey: dict[str, Any] = found.get("survey", {})
    facts = [("Method", _method(inputs, found)), *_noise(survey), *_autocorrelation(survey)]
    clipped = found.get("clipped_share")
    if clipped is not None:
        facts.append(("Voxels outside the 8-bit range", f"{100 * clipped:.3g} %"))
    pictures = [*_compare(inputs, survey), _over_all(inputs, found)]
    return Section("denoise", "Denoising", facts, pictures, (), denoising_warnings(inputs))


def denoising_warnings(inputs: ReportInputs) -> list[str]:
    """Say where signal may have gone with the noise, or grey values were cut off."""
    found = _found(inputs)
    survey: dict[str, Any] = found.get("survey", {})
    clipped = found.get("clipped_share")
    warnings = []
    if clipped is not None and clipped > MOST_CLIPPED:
        warnings.append(
            f"{100 * clipped:.2g} % of the voxels lie outside the 8-bit range; widen range_percentiles"
        )
    structure = max(
        (lags[STRUCTURE_LAG - 1] for lags in survey.get("autocorrelation", {}).values()), default=0.0
    )
    if structure > MOST_STRUCTURE:
        warnings.append(
            f"what was removed is alike over {STRUCTURE_LAG} pixels (correlation {structure:.2f}): signal may have gone "
            "with the noise; look at the residual, train for more epochs or try another algorithm"
        )
    return warnings


def _found(inputs: ReportInputs) -> dict[str, Any]:
    return dict(inputs.open_level(DENOISED).details.get("denoising", {}))


def _method(inputs: ReportInputs, found: dict[str, Any]) -> str:
    """The algorithm of the model that was used, which need not be that of the parameters."""
    weighed = " and the measured pixel" if found.get("survey", {}).get("noise") else ""
    return f"{found.get('algorithm', inputs.parameters.denoising.algorithm)} (CAREamics){weighed}"


def _noise(survey: dict[str, Any]) -> list[tuple[str, str]]:
    """Noise that was found in the middle of the intensities."""
    if not survey.get("noise"):
        return []
    noise, middle = survey["noise"], (survey["low"] + survey["high"]) / 2
    variance = max(noise["constant"] + noise["gain"] * middle, noise["floor"])
    return [(f"Noise at grey value {middle:.0f}", f"{variance**0.5:.2f} (standard deviation)")]


def _autocorrelation(survey: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"Residual's autocorrelation along {axis}, 1 to 3 pixels", ", ".join(f"{v:.2f}" for v in lags))
        for axis, lags in survey.get("autocorrelation", {}).items()
    ]


def _compare(inputs: ReportInputs, survey: dict[str, Any]) -> list[Picture]:
    """One window in full resolution, of a slice that was acquired, where the specimen has most contrast."""
    raw, denoised = inputs.open_level(RAW), inputs.open_level(DENOISED)
    z_um = _acquired_slice(inputs) * raw.spacing_nm[0] / 1000
    window = window_around(raw, _richest_place(inputs, z_um, raw.spacing_nm[1]), WINDOW_PX)
    before, after = (cut(stored, 0, z_um, window) for stored in (raw, denoised))
    # The 8-bit range is linear in the raw intensity.
    low, high = survey.get("low", 0.0), survey.get("high", 255.0)
    residual = before.values - (low + (high - low) / 255 * after.values)
    spread = float(3 * residual.std()) or 1.0
    difference = View(residual, before.extent_um, before.plane, before.position_um)
    images = [
        plane(before, contrast_limits([before.values]), title="before"),
        plane(after, contrast_limits([after.values]), title="after"),
        plane(difference, (-spread, spread), title="residual: before less after"),
    ]
    side = " × ".join(str(n) for n in before.values.shape)
    return [
        Picture(
            images,
            f"A window of {side} pixels at z = {before.position_um:.2f} µm before and after denoising, and their "
            "difference: it should look like noise, with no outlines of the specimen.",
        ),
        Picture(
            [_distribution(residual), _correlation(residual)],
            "The window's residual: its distribution, with the normal one of the same width, and its correlation with "
            "itself moved along y and x. Noise of single pixels falls to zero at once; what falls slowly is specimen.",
        ),
    ]


def _acquired_slice(inputs: ReportInputs) -> int:
    """The slice nearest to the middle that was not filled from others."""
    slices = inputs.tables["slices"]
    filled = slices[[flag for flag in FILLED_FLAGS if flag in slices]].any(axis=1)
    numbers = slices.loc[~filled, "z"].to_numpy() if not filled.all() else slices["z"].to_numpy()
    return int(numbers[np.abs(numbers - len(slices) // 2).argmin()])


def _richest_place(inputs: ReportInputs, z_um: float, pixel_nm: float) -> dict[int, float]:
    """Centre (y, x) in µm of the window with the highest contrast, found at a coarse level."""
    coarse = cut(fitting_level(inputs.open_level, DENOISED, inputs.image_px, across=0), 0, z_um)
    left, right, bottom, top = coarse.extent_um
    rows, columns = coarse.values.shape
    step = (right - left) / columns
    side = max(1, round(WINDOW_PX * pixel_nm / 1000 / step))
    best, place = -1.0, (rows / 2, columns / 2)
    for y in _starts(rows, side):
        for x in _starts(columns, side):
            contrast = float(coarse.values[y : y + side, x : x + side].std())
            if contrast > best:
                best, place = contrast, (y + side / 2, x + side / 2)
    return {1: top + place[0] * (bottom - top) / rows, 2: left + place[1] * step}


def _starts(extent: int, side: int) -> list[int]:
    last = max(0, extent - side)
    return sorted({*range(0, last, max(1, side // 2)), last})


def _distribution(residual: NDArray[Any]) -> Panel:
    axes = new_panel(WIDTH, HEIGHT, "Residual's histogram", legend=True)
    axes.set(xlabel="grey values", ylabel="density")
    sd, mean = float(residual.std()) or 1.0, float(residual.mean())
    edges = np.linspace(mean - 4 * sd, mean + 4 * sd, 61)
    density = np.histogram(residual, edges, density=True)[0]
    axes.stairs(density, edges, fill=True, color=PALETTE[0], alpha=0.6)
    normal = np.exp(-(((edges - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
    axes.plot(edges, normal, color=PALETTE[1], linewidth=1.3, label=f"normal, sd {sd:.3g}")
    add_legend(axes)
    return finish(axes)


def _correlation(residual: NDArray[Any]) -> Panel:
    lags = [n for n in range(LONGEST_LAG + 1) if n < min(residual.shape)]
    found: Mapping[str, list[float]] = autocorrelation(residual, lags[1:])
    curves = {f"along {axis}": [1.0, *values] for axis, values in found.items()}
    return lines(
        np.array(lags), curves, "distance (pixels)", "correlation", "Residual's autocorrelation", level=0.0
    )


def _over_all(inputs: ReportInputs, found: dict[str, Any]) -> Picture:
    table = inputs.tables["slices"]
    panels = []
    curves = {name: values for name, values in found.get("loss", {}).items() if values}
    said = []
    if curves:
        epochs = np.arange(1, max(map(len, curves.values())) + 1)
        panels.append(lines(epochs, curves, "epoch", "loss", "Training"))
        said.append("Training and validation loss of the network: both should fall and level off.")
    if {"residual_mean", "residual_std"} <= set(table.columns):
        removed = {"standard deviation": table["residual_std"], "mean": table["residual_mean"]}
        panels.append(
            lines(table["z"].to_numpy(), removed, "slice", "grey values", "Removed from each slice")
        )
        said.append("What was removed from each slice; its mean should stay at zero.")
    return Picture(panels, " ".join(said) or "The training of this model is not at hand.")
