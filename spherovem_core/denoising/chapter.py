"""Report chapter on denoising: one window before and after, its residual, and the loss curve."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spherovem_core.denoising.autocorrelation import autocorrelation
from spherovem_core.denoising.facts import denoising_facts, facts_as_given, sample_of, stored_map
from spherovem_core.denoising.repair_pictures import (
    denoised_source,
    recorded_repairs,
    repair_facts,
    repair_pictures,
)
from spherovem_core.report.charts import HEIGHT, WIDTH, lines
from spherovem_core.report.figures import PALETTE, add_legend, finish, new_panel
from spherovem_core.report.images import plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.kept import if_kept
from spherovem_core.report.page import Panel, Picture, Section
from spherovem_core.report.views import (
    View,
    contrast_limits,
    cut,
    fitting_level,
    window_around,
)
from spherovem_core.spacing import NM_PER_UM
from spherovem_core.store.columns import is_flagged
from spherovem_core.store.layout import DENOISED

WINDOW_PX = 256
LONGEST_LAG = 12

# Neighbouring pixels share noise over one or two pixels along a scan line; correlation beyond comes from the specimen.
STRUCTURE_LAG = 3
MOST_STRUCTURE = 0.1
MOST_CLIPPED = 0.01
MOST_CORRELATED = 0.2


def denoising_section(inputs: ReportInputs) -> Section:
    """Show what denoising removed: structure in the residual means that signal was removed."""
    found = _found(inputs)
    sample = sample_of(found)
    repairs = recorded_repairs(found)
    source = denoised_source(inputs, repairs)
    z_um = _acquired_slice(inputs) * source.spacing_nm[0] / NM_PER_UM
    repaired = repair_pictures(inputs, source, repairs, z_um)
    if found.get("algorithm") == "none":
        warnings = denoising_warnings(inputs)
        facts = [*facts_as_given(inputs, found), *repair_facts(repairs)]
        return Section("denoising", "Denoising", facts, repaired, warnings=warnings)
    facts = [*denoising_facts(inputs, found), *repair_facts(repairs)]
    clipped = found.get("clipped_fraction")
    if clipped is not None:
        facts.append(("Voxels outside the 8-bit range", f"{100 * clipped:.3g} %"))
    compared = if_kept(
        lambda: _compare(inputs, source, z_um, sample), "The window before and after denoising"
    )
    pictures = [*repaired, *compared, _over_all(inputs, found)]
    return Section("denoising", "Denoising", facts, pictures, (), denoising_warnings(inputs))


def look_at_denoised(inputs: ReportInputs) -> None:
    """Read what the section shows of the denoised image."""
    found = _found(inputs)
    if found.get("algorithm") != "none":
        source = denoised_source(inputs, recorded_repairs(found))
        _compare(inputs, source, _acquired_slice(inputs) * source.spacing_nm[0] / NM_PER_UM, sample_of(found))


def denoising_warnings(inputs: ReportInputs) -> list[str]:
    """Warn if signal may have been removed with the noise, or grey values were clipped."""
    found = _found(inputs)
    clipped = found.get("clipped_fraction")
    warnings = []
    if clipped is not None and clipped > MOST_CLIPPED:
        warnings.append(
            f"{100 * clipped:.2g} % of the voxels lie outside the 8-bit range; widen range_percentiles"
        )
    sample = sample_of(found)
    # What the noise shares over so many pixels belongs in the residual.
    expected = sample.get("measured", {}).get("correlation", {})
    structure = max(
        (
            lags[STRUCTURE_LAG - 1] - abs(expected[axis][STRUCTURE_LAG - 1] if expected else 0.0)
            for axis, lags in sample.get("autocorrelation", {}).items()
        ),
        default=0.0,
    )
    if structure > MOST_STRUCTURE:
        warnings.append(
            f"the residual is correlated over {STRUCTURE_LAG} pixels (correlation {structure:.2f}): signal may have been removed "
            "with the noise; look at the residual, train for more epochs or try another algorithm"
        )
    return warnings + _noise_warnings(sample)


def _noise_warnings(sample: dict[str, Any]) -> list[str]:
    """Warn if the detector clipped the signal, or correlated noise was left to an algorithm that cannot remove it."""
    measured = sample.get("measured")
    if measured is None:
        return []
    warnings = []
    for side, name in (("low", "darkest"), ("high", "brightest")):
        fraction = measured[f"clipped_{side}"]
        if fraction > MOST_CLIPPED:
            warnings.append(
                f"{100 * fraction:.2g} % of the raw voxels have the {name} grey value of the detector: their true value is lost; "
                "lower the detector's contrast in the next acquisition"
            )
    strongest = max(max(lags) for lags in measured["correlation"].values())
    if sample.get("choice") is None and strongest > MOST_CORRELATED:
        warnings.append(
            f"the noise is correlated (by {strongest:.2f} from pixel to pixel), and the algorithm takes it for independent: "
            "it stays in the image; set algorithm to auto"
        )
    return warnings


def _found(inputs: ReportInputs) -> dict[str, Any]:
    return dict(inputs.open_level(DENOISED).details.get("denoising", {}))


def _compare(inputs: ReportInputs, source: Any, z_um: float, sample: dict[str, Any]) -> list[Picture]:
    """Show one window in full resolution of an acquired slice, where the specimen has most contrast."""
    denoised = inputs.open_level(DENOISED)
    window = window_around(source, _richest_place(inputs, z_um, source.spacing_nm[1]), WINDOW_PX)
    before, after = (cut(stored, 0, z_um, window) for stored in (source, denoised))
    residual = before.values - stored_map(sample).values(after.values)
    spread = float(3 * residual.std()) or 1.0
    difference = View(residual, before.extent_um, before.plane, before.position_um)
    images = [
        plane(before, contrast_limits([before.values]), title="before"),
        plane(after, contrast_limits([after.values]), title="after"),
        plane(difference, (-spread, spread), title="residual: before minus after"),
    ]
    side = " × ".join(str(n) for n in before.values.shape)
    return [
        Picture(
            images,
            f"A window of {side} pixels at z = {before.position_um:.2f} µm before and after denoising, and their "
            "difference, which should look like noise, without outlines of the specimen.",
        ),
        Picture(
            [_distribution(residual), _correlation(residual)],
            "Residual of the window: its distribution, with a normal distribution of the same width, and its autocorrelation "
            "along y and x. Noise of single pixels falls to zero at once; a slow fall shows structure of the specimen.",
        ),
    ]


def _acquired_slice(inputs: ReportInputs) -> int:
    """Return the slice nearest to the middle that was not filled from others."""
    slices = inputs.tables["slices"]
    filled = is_flagged(slices)
    numbers = slices.loc[~filled, "z"].to_numpy() if not filled.all() else slices["z"].to_numpy()
    return int(numbers[np.abs(numbers - len(slices) // 2).argmin()])


def _richest_place(inputs: ReportInputs, z_um: float, pixel_nm: float) -> dict[int, float]:
    """Find the centre (y, x), in µm, of the window with the highest contrast at a coarse level."""
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
    axes = new_panel(WIDTH, HEIGHT, "Histogram of the residual", legend=True)
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
        np.array(lags),
        curves,
        "distance (pixels)",
        "correlation",
        "Autocorrelation of the residual",
        level=0.0,
    )


def _over_all(inputs: ReportInputs, found: dict[str, Any]) -> Picture:
    table = inputs.tables["slices"]
    panels = []
    curves = {name: values for name, values in found.get("loss", {}).items() if values}
    captions = []
    if curves:
        epochs = np.arange(1, max(map(len, curves.values())) + 1)
        panels.append(lines(epochs, curves, "epoch", "loss", "Training"))
        captions.append("Training and validation loss of the network; both should fall and level off.")
    if {"residual_mean", "residual_std"} <= set(table.columns):
        removed = {"standard deviation": table["residual_std"], "mean": table["residual_mean"]}
        panels.append(lines(table["z"].to_numpy(), removed, "slice", "grey values", "Residual of each slice"))
        captions.append("Residual of each slice; its mean should stay at zero.")
    return Picture(panels, " ".join(captions) or "The training of this model is not recorded here.")
