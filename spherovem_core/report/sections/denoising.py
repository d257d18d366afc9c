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


def denoising_section(inputs: ReportInputs) -> Section:
    """Show what denoising took away: a residual with structure means that signal was removed."""
    denoised = open_array(inputs.layout, DENOISED)
    found: dict[str, Any] = dict(denoised.details.get("denoising", {}))
    clipped = found.get("clipped_share")
    facts = [("Method", f"{inputs.parameters.denoising.algorithm} (CAREamics)")]
    if clipped is not None:
        facts.append(("Voxels outside the 8-bit range", f"{100 * clipped:.3g} %"))
    warnings = []
    if clipped is not None and clipped > 0.01:
        warnings.append(
            f"{100 * clipped:.2g} % of the voxels lie outside the 8-bit range; widen range_percentiles"
        )
    return Section("denoise", "Denoising", facts, [_compare(inputs), *_loss(found)], (), warnings)


def _window(view: View) -> View:
    rows, columns = (min(WINDOW_PX, n) for n in view.values.shape)
    top, left = ((n - w) // 2 for n, w in zip(view.values.shape, (rows, columns), strict=True))
    step = (view.extent_um[1] - view.extent_um[0]) / view.values.shape[1]
    x0, y0 = view.extent_um[0] + left * step, view.extent_um[3] + top * step
    values = view.values[top : top + rows, left : left + columns]
    return View(values, (x0, x0 + columns * step, y0 + rows * step, y0), view.plane, view.position_um)


def _compare(inputs: ReportInputs) -> Picture:
    before = _window(cut(open_array(inputs.layout, RAW), 0))
    after = _window(cut(open_array(inputs.layout, DENOISED), 0))
    # The 8-bit range is linear in the raw intensity: a straight line through both undoes it for the residual.
    slope, offset = np.polyfit(after.values.ravel().astype(float), before.values.ravel().astype(float), 1)
    residual = before.values - (slope * after.values + offset)
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
