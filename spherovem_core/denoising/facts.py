"""Facts of the report's chapter on denoising: the method, the measured noise, the residual, the map to 8 bits."""

from typing import Any

import numpy as np

from spherovem_core.denoising.grey_map import GreyMap, linear_map
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.store.layout import RAW

METHODS = {
    "r2r": "network trained by R2R (CAREamics)",
    "gaussian": "Gaussian filter of {width:g} pixels",
    "unchanged": "none: no filter lowers the error",
}


def denoising_facts(inputs: ReportInputs, found: dict[str, Any]) -> list[tuple[str, str]]:
    """List what was measured, chosen and removed, from the record of a denoised stack."""
    sample = sample_of(found)
    return [
        ("Method", _method(inputs, found)),
        *_compared(sample),
        *_noise(sample),
        *_measured(sample),
        *_autocorrelation(sample),
        *_grey_map(sample),
    ]


def facts_as_given(inputs: ReportInputs, found: dict[str, Any]) -> list[tuple[str, str]]:
    """State that nothing was denoised, and how grey values became 8 bits."""
    grey_map = stored_map(sample_of(found))
    same = inputs.open_level(RAW).dtype == np.uint8
    text = "unchanged" if same else f"linear; {grey_map.low:.4g} becomes 0, {grey_map.high:.4g} becomes 255"
    clipped = f"{100 * found['clipped_fraction']:.3g} %"
    return [
        ("Method", "none: the slices were given as denoised already"),
        ("Map of grey values to 8 bits", text),
        ("Voxels outside the 8-bit range", clipped),
    ]


def sample_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return the statistics of the sample of slices, which version 0.1 stored as ``survey``."""
    return dict(found.get("sample") or found.get("survey") or {})


def _method(inputs: ReportInputs, found: dict[str, Any]) -> str:
    """Name the method that `auto` chose, or the algorithm of the model, which can differ from that of the parameters."""
    choice = sample_of(found).get("choice")
    if choice:
        return METHODS[choice["method"]].format(width=choice["width"])
    weighed = " and the measured pixel" if sample_of(found).get("noise") else ""
    return f"{found.get('algorithm', inputs.parameters.denoising.algorithm)} (CAREamics){weighed}"


def _compared(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """List the errors that decided between the methods, the least first."""
    if not sample.get("choice"):
        return []
    errors = sorted(sample["choice"]["errors"].items(), key=lambda item: item[1])
    text = ", ".join(f"{name} {max(error, 0.0) ** 0.5:.2f}" for name, error in errors)
    return [("Expected error of each method (grey values)", text)]


def _measured(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """State the measured variance law and the correlation of the noise."""
    if not sample.get("measured"):
        return []
    measured = sample["measured"]
    law = measured["variance"]
    facts = [("Variance of the noise", f"{law['constant']:.3g} + {law['gain']:.3g} × grey value")]
    for axis, lags in measured["correlation"].items():
        text = ", ".join(f"{v:.2f}" for v in lags) if any(lags) else "none"
        facts.append((f"Correlation of the noise along {axis}, 1 to 4 pixels", text))
    return facts


def _grey_map(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """State how grey values became 8 bits, where that is not linear."""
    grey_map = stored_map(sample)
    if grey_map.linear:
        return []
    text = (
        f"linear from {grey_map.linear_low:.4g} (level {grey_map.level_low:.0f}) to {grey_map.linear_high:.4g} "
        f"(level {grey_map.level_high:.0f}), logarithmic beyond"
    )
    return [("Map of grey values to 8 bits", text)]


def stored_map(sample: dict[str, Any]) -> GreyMap:
    """Return the map to 8 bits; earlier versions stored its two ends only."""
    if sample.get("grey_map"):
        return GreyMap.model_validate(sample["grey_map"])
    return linear_map(sample.get("low", 0.0), sample.get("high", 255.0))


def _noise(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """State the noise in the middle of the intensity range."""
    if not sample.get("noise"):
        return []
    noise, middle = sample["noise"], (sample["low"] + sample["high"]) / 2
    variance = max(noise["constant"] + noise["gain"] * middle, noise["floor"])
    return [(f"Noise at grey value {middle:.0f}", f"{variance**0.5:.2f} (standard deviation)")]


def _autocorrelation(sample: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"Autocorrelation of the residual along {axis}, 1 to 3 pixels", ", ".join(f"{v:.2f}" for v in lags))
        for axis, lags in sample.get("autocorrelation", {}).items()
    ]
