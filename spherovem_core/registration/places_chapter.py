"""Part of the registration chapter on the places of slices along z and on resampling to even steps."""

import numpy as np

from spherovem_core.registered_slices import RegisteredSlices
from spherovem_core.registration.slice_places import EVEN_STEPS
from spherovem_core.report.charts import lines
from spherovem_core.report.inputs import ReportInputs
from spherovem_core.report.page import Picture
from spherovem_core.store.layout import REGISTERED


def is_resampled(inputs: ReportInputs) -> bool:
    """Tell whether the registered image was resampled along z."""
    return _slices(inputs).mixtures is not None


def places_facts(inputs: ReportInputs) -> list[tuple[str, str]]:
    """State how far slices were moved along z, or why they were not."""
    if reason := _reason(inputs).get("reason"):
        return [("Steps along z", f"as acquired: {reason}")]
    slices = _slices(inputs)
    if slices.mixtures is None:
        return [("Steps along z", "as acquired")]
    moved = slices.places - slices.places[0] - np.arange(len(slices.places))
    thickness = np.diff(slices.places)
    return [
        (
            "Steps along z",
            f"resampled to even steps; slices lie {thickness.min():.2f} to {thickness.max():.2f} steps apart and were moved by "
            f"up to {np.abs(moved).max():.1f} steps",
        )
    ]


def places_warnings(inputs: ReportInputs) -> list[str]:
    """Warn where the image was to be resampled along z and could not be."""
    found = _reason(inputs)
    if not found or found["harmless"]:
        return []
    return [f"the image is not resampled along z, although resample_z asks for it: {found['reason']}"]


def places_pictures(inputs: ReportInputs) -> list[Picture]:
    """Draw how far each slice was moved along z."""
    slices = _slices(inputs)
    if slices.mixtures is None:
        return []
    numbers = np.arange(len(slices.places))
    moved = slices.places - slices.places[0] - numbers
    return [
        Picture(
            [lines(numbers, {"moved": moved}, "slice", "steps along z", "Place of each slice", level=0.0)],
            "Place of each slice along z against even steps. The image before registration is shown at the steps as acquired.",
        )
    ]


def _slices(inputs: ReportInputs) -> RegisteredSlices:
    registered = inputs.open_level(REGISTERED)
    return RegisteredSlices.of(registered.details, registered.shape[0])


def _reason(inputs: ReportInputs) -> dict[str, object]:
    return dict(inputs.open_level(REGISTERED).details.get(EVEN_STEPS, {}))
