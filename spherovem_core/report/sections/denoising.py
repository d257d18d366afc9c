"""Denoise: before, after and residual of one slice, the residual's distribution, the loss curve."""

from typing import Any

import numpy as np

from spherovem_core.report.figures import PALETTE, new_figure, picture, show_view
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import View, contrast_limits, cut
from spherovem_core.store import open_array
from spherovem_core.store.layout import DENOISED, RAW

WINDOW_PX = 256

# Noise that neighbouring pixels share reaches a pixel or two along a scan line; beyond, only the specimen is alike.
STRUCTURE_LAG = 3
MOST_STRUCTURE = 0.1


def denoising_section(inputs: ReportInputs) -> Section:
    """Show what denoising took away: a residual with structure means that signal was removed."""
    denoised = open_array(inputs.layout, DENOISED)
    found: dict[str, Any] = dict(denoised.details.get("denoising", {}))
    survey: dict[str, Any] = found.get("survey", {})
    facts = [("Method", _method(inputs, found)), *_noise(survey), *_autocorrelation(survey)]
    clipped = found.get("clipped_share")
    if clipped is not None:
        facts.append(("Voxels outside the 8-bit range", f"{100 * clipped:.3g} %"))
    pictures = [_compare(inputs, survey), *_residuals(inputs), *_loss(found)]
    return Section("denoise", "Denoising", facts, pictures, (), denoising_warnings(inputs))


def denoising_warnings(inputs: ReportInputs) -> list[str]:
    """Say where signal may have gone with the noise, or grey values were cut off."""
    found = open_array(inputs.layout, DENOISED).details.get("denoising", {})
    survey: dict[str, Any] = found.get("survey", {})
    clipped = found.get("clipped_share")
    warnings = []
    if clipped is not None and clipped > 0.01:
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


def _window(view: View) -> View:
    rows, columns = (min(WINDOW_PX, n) for n in view.values.shape)
    top, left = ((n - w) // 2 for n, w in zip(view.values.shape, (rows, columns), strict=True))
    step = (view.extent_um[1] - view.extent_um[0]) / view.values.shape[1]
    x0, y0 = view.extent_um[0] + left * step, view.extent_um[3] + top * step
    values = view.values[top : top + rows, left : left + columns]
    return View(values, (x0, x0 + columns * step, y0 + rows * step, y0), view.plane, view.position_um)


def _compare(inputs: ReportInputs, survey: dict[str, Any]) -> Picture:
    before = _window(cut(open_array(inputs.layout, RAW), 0))
    after = _window(cut(open_array(inputs.layout, DENOISED), 0))
    # The 8-bit range is linear in the raw intensity.
    low, high = survey.get("low", 0.0), survey.get("high", 255.0)
    residual = before.values - (low + (high - low) / 255 * after.values)
    figure, axes = new_figure(1, 4, 11, 3.1)
    show_view(axes[0, 0], before, contrast_limits([before.values]))
    show_view(axes[0, 1], after, contrast_limits([after.values]))
    spread = float(3 * residual.std()) or 1.0
    show_view(
        axes[0, 2], View(residual, before.extent_um, before.plane, before.position_um), (-spread, spread)
    )
    axes[0, 3].hist(residual.ravel(), bins=80, color=PALETTE[0])
    for ax, title in zip(axes[0], ("before", "after", "residual", "residual's histogram"), strict=True):
        ax.set_title(title, fontsize=9)
    return picture(
        figure,
        "The middle of the middle slice before and after denoising, and their difference: it should look like noise.",
    )


def _residuals(inputs: ReportInputs) -> list[Picture]:
    table = inputs.tables["slices"]
    if not {"residual_mean", "residual_std"} <= set(table.columns):
        return []
    figure, axes = new_figure(1, 1, 6, 2.6)
    for (column, label), colour in zip(
        (("residual_std", "standard deviation"), ("residual_mean", "mean")), PALETTE, strict=False
    ):
        axes[0, 0].plot(table["z"], table[column], label=label, color=colour)
    axes[0, 0].set_xlabel("slice")
    axes[0, 0].set_ylabel("grey values")
    axes[0, 0].legend(fontsize=8)
    return [picture(figure, "What was removed from each slice; its mean should stay at zero.")]


def _loss(found: dict[str, Any]) -> list[Picture]:
    curves = {name: values for name, values in found.get("loss", {}).items() if values}
    if not curves:
        return []
    figure, axes = new_figure(1, 1, 6, 2.6)
    for (name, values), colour in zip(curves.items(), PALETTE, strict=False):
        axes[0, 0].plot(np.arange(1, len(values) + 1), values, label=name, color=colour)
    axes[0, 0].set_xlabel("epoch")
    axes[0, 0].set_ylabel("loss")
    axes[0, 0].legend(fontsize=8)
    return [picture(figure, "Training and validation loss of the Noise2Void network.")]
