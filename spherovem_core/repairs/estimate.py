"""Estimation of the repairs of a stack, for those that are switched on."""

import logging
from collections.abc import Collection, MutableMapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from spherovem_core.blocks import ArrayLike
from spherovem_core.parameters import DenoisingParameters
from spherovem_core.repairs.contrast import SliceContrast, match_contrast, measure_cells
from spherovem_core.repairs.shading import Shading, estimate_shading
from spherovem_core.repairs.stripes import find_stripes
from spherovem_core.utils.accelerator import select_accelerator
from spherovem_core.utils.slice_choice import good_slices, spread_evenly

Direction = Literal["none", "vertical", "horizontal"]
_LEDGER = "repairs"
_SLICES = 8

logger = logging.getLogger(__name__)


class Repairs(BaseModel):
    """Repairs of a stack, as its history keeps them.

    Attributes
    ----------
    shading
        Coefficients of the shading; empty if there is none or it was not asked for. See `Shading`.
    shading_note, stripes_note, contrast_note
        What was found, in words; empty if the repair was not asked for.
    stripes
        Direction of the stripes that are removed.
    contrast
        Gain and offset of each slice that is changed, by its position.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    shading: tuple[float, ...] = ()
    shading_note: str = ""
    stripes: Direction = "none"
    stripes_note: str = ""
    contrast: dict[int, tuple[float, float]] = {}
    contrast_note: str = ""

    @property
    def changes(self) -> bool:
        """True if any slice may be changed."""
        return bool(self.shading or self.contrast) or self.stripes != "none"

    @property
    def notes(self) -> dict[str, str]:
        """Findings as text, by the name of each repair that was asked for."""
        notes = {"shading": self.shading_note, "contrast": self.contrast_note, "stripes": self.stripes_note}
        return {name: note for name, note in notes.items() if note}


def estimate_repairs(
    source: ArrayLike,
    parameters: DenoisingParameters,
    bad_slices: Collection[int] = (),
    ledger: MutableMapping[str, Any] | None = None,
) -> Repairs:
    """Find what is to be repaired in a stack, from the slices as acquired.

    Shading reads up to 128 slices, stripes 8, contrast all slices; none keeps more than a slice and its cell means in memory.

    Parameters
    ----------
    source : (Z, Y, X) array-like
    bad_slices
        Slices that were filled; they are left out here.
    ledger
        Keeps the result for a resumed run.
    """
    if ledger is not None and _LEDGER in ledger:
        return Repairs.model_validate(ledger[_LEDGER])
    found: dict[str, Any] = {}
    if parameters.repair_shading:
        shading = estimate_shading(source, bad_slices)
        found |= {"shading": shading.coefficients, "shading_note": _shading_note(shading)}
    if parameters.repair_contrast:
        contrast = match_contrast(measure_cells(source, bad_slices), source.shape[0])
        changed = np.flatnonzero(contrast.changed).tolist()
        pairs = {z: (float(contrast.gains[z]), float(contrast.offsets[z])) for z in changed}
        found |= {"contrast": pairs, "contrast_note": _contrast_note(contrast)}
    if parameters.repair_stripes != "none":
        direction, note = _find_direction(source, parameters.repair_stripes, bad_slices)
        found |= {"stripes": direction, "stripes_note": note}
    repairs = Repairs(**found)
    for name, note in repairs.notes.items():
        logger.info("repair of the %s: %s", name, note)
    if ledger is not None:
        ledger[_LEDGER] = repairs.model_dump(mode="json")
    return repairs


def _shading_note(shading: Shading) -> str:
    if not shading.coefficients:
        return f"none is corrected: {shading.reason}"
    field = shading.field((64, 64))
    return f"brightness from {field.min():.3f} to {field.max():.3f} of the mean, {shading.certainty:.0f} standard errors"


def _contrast_note(contrast: SliceContrast) -> str:
    changed = contrast.changed
    if not changed.any():
        note = "no slice is changed"
    else:
        largest = float(np.abs(np.log(contrast.gains[changed])).max())
        note = f"{int(changed.sum())} slices are changed, gains by up to {np.expm1(largest):.1%}"
    if contrast.unlike:
        shown = ", ".join(map(str, contrast.unlike[:8])) + (" …" if len(contrast.unlike) > 8 else "")
        note += f"; {len(contrast.unlike)} slices are too unlike their neighbours to be compared: {shown}"
    return note


def _find_direction(source: ArrayLike, asked: str, bad_slices: Collection[int]) -> tuple[Direction, str]:
    """Look for stripes in 8 slices; of two directions, choose that of the stronger stripes."""
    chosen = spread_evenly(good_slices(source.shape[0], bad_slices), _SLICES)
    directions: list[Direction] = ["vertical", "horizontal"] if asked == "auto" else [asked]  # type: ignore[list-item]
    heights: dict[Direction, list[float]] = {direction: [] for direction in directions}
    for z in chosen:
        values = np.asarray(source[z])
        for direction in directions:
            heights[direction].append(stripe_height(values, direction))
    strongest = max(directions, key=lambda direction: sum(heights[direction]))
    with_stripes = sum(height > 0 for height in heights[strongest])
    if not with_stripes:
        # Stripes may be in other slices; where there are none, nothing is changed.
        note = f"none in {len(chosen)} slices looked at"
        return ("none" if asked == "auto" else strongest), note
    mean = float(np.mean(heights[strongest]))
    return strongest, (
        f"{strongest}, in {with_stripes} of {len(chosen)} slices looked at, {mean:.2g} grey values, root mean square"
    )


def stripe_height(values: Any, direction: Direction) -> float:
    """Return the height of the stripes of a slice in grey values, root mean square."""
    accelerator = select_accelerator("cpu")
    image = np.ascontiguousarray(values.T if direction == "horizontal" else values, np.float32)
    stripes = find_stripes(image, accelerator)
    scale = float(image.mean()) if stripes.relative else 1.0
    return scale * float(np.sqrt(np.square(stripes.heights).mean()))
