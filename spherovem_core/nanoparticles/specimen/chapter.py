"""Specimen chapter of the report: the mask over the middle slice, and its fractions."""

import numpy as np

from spherovem_core.errors import IncompleteArtifactError
from spherovem_core.nanoparticles.specimen.codes import CHARGING, LUMEN, OUTSIDE, code_fractions
from spherovem_core.report.images import LARGE, plane
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture, Section
from spherovem_core.report.views import View, contrast_limits, cut, fitting_level
from spherovem_core.store.layout import REGISTERED, SPECIMEN

COLOURS = {OUTSIDE: "#ff6a4d", LUMEN: "#35c2ff", CHARGING: "#ffe14d"}
LEAST_SPECIMEN = 0.2
MOST_CHARGING = 0.05


def specimen_section(inputs: ReportInputs) -> Section:
    """Show which part of the volume is specimen; results of older versions have no mask."""
    fractions = _fractions(inputs)
    if not fractions:
        return Section("specimen", "Specimen", [("Specimen mask", "not computed")], [], [], [])
    facts = [(name.capitalize(), f"{100 * fraction:.3g} %") for name, fraction in fractions.items()]
    stored = inputs.open_level(SPECIMEN)
    image = cut(fitting_level(inputs.open_level, REGISTERED, inputs.image_px, 0), 0)
    codes = cut(stored, 0, image.position_um)
    overlays = [(_only(codes, code), colour) for code, colour in COLOURS.items()]
    panel = plane(image, contrast_limits([image.values]), overlays, title="specimen mask", width=LARGE)
    caption = (
        "The middle slice with the outlines of resin or empty frame (red), lumina (blue) and charging (yellow). "
        "Places without structure at 0.1 to 1 µm are resin; where nothing is that flat, all is specimen."
    )
    return Section("specimen", "Specimen", facts, [Picture([panel], caption)], [], specimen_warnings(inputs))


def specimen_warnings(inputs: ReportInputs) -> list[str]:
    """List masks that leave little specimen, or much charging."""
    fractions = _fractions(inputs)
    warnings: list[str] = []
    if not fractions:
        return warnings
    if fractions["specimen"] < LEAST_SPECIMEN:
        warnings.append(
            f"only {100 * fractions['specimen']:.0f} % of the volume is specimen: check the mask in this chapter, and set "
            "nanoparticles.find_resin to false if tissue was taken for resin"
        )
    if fractions["charging"] > MOST_CHARGING:
        warnings.append(f"charging streaks cover {100 * fractions['charging']:.0f} % of the volume")
    return warnings


def _fractions(inputs: ReportInputs) -> dict[str, float]:
    try:
        stored = inputs.open_level(SPECIMEN)
    except IncompleteArtifactError:
        return {}
    return code_fractions(np.asarray(stored[:]))


def _only(view: View, code: int) -> View:
    """Make a plane of labels that is 1 where the mask has one code."""
    return View((view.values == code).astype(np.uint32), view.extent_um, view.plane, view.position_um)
