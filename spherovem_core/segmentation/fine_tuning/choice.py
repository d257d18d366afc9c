"""Choice of learning rate, epoch and settings of objects by slices that are kept for it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.fine_tuning.prediction import (
    MIN_PIXELS,
    SectionSettings,
    evaluate_maps,
    predict_section,
)
from spherovem_core.segmentation.fine_tuning.targets import training_targets
from spherovem_core.segmentation.fine_tuning.training import masked_loss

THRESHOLDS = (0.0, -1.0, 1.0, -2.0, 2.0)
SMOOTHINGS = (1.0, 2.0, 0.0, 3.0)
SIZE_PERCENTILES = (5.0, 1.0)
"""Of the areas of labelled objects: smaller ones than these are hardly ever labelled."""
TIE = 0.005
"""F1 by which a candidate must be better to be preferred to an earlier one."""


@dataclass(frozen=True)
class Score:
    """Fit of a network to the slices for choosing: F1 at IoU 0.5 with the first candidates, and mean loss."""

    f1: float
    loss: float

    def beats(self, other: "Score | None") -> bool:
        """Return whether F1 is higher, or equal with a lower loss."""
        return other is None or (self.f1, -self.loss) > (other.f1, -other.loss)


def candidates(
    slices: Sequence[LabelledSlice], parameters: FineTuningParameters
) -> dict[str, tuple[float, ...]]:
    """Return what `SectionSettings` may hold, the usual value first; a value that the parameters give stands alone.

    Parameters
    ----------
    slices
        Slices for training, whose labels tell the size of objects.
    """
    areas = np.concatenate([_areas(one.labels) for one in slices])
    sizes = [max(MIN_PIXELS, int(np.percentile(areas, q))) for q in SIZE_PERCENTILES]
    found: dict[str, tuple[float, ...]] = {
        "min_pixels": tuple(dict.fromkeys([*sizes, MIN_PIXELS])),
        "flow_smoothing": SMOOTHINGS,
        "probability_threshold": THRESHOLDS,
    }
    for name in found:
        given = getattr(parameters, name)
        if given != "auto":
            found[name] = (given,)
    return found


def score_network(
    network: Any, slices: Sequence[LabelledSlice], parameters: FineTuningParameters, settings: SectionSettings
) -> Score:
    """Measure F1 and loss on slices for choosing."""
    import torch

    maps = [predict_section(one.image, network) for one in slices]
    losses = []
    for each, one in zip(maps, slices, strict=True):
        targets = torch.from_numpy(training_targets(one.labels, one.known, parameters.contact_gap))
        losses.append(float(masked_loss(torch.from_numpy(each)[None], targets[None])))
    return Score(_f1(maps, slices, parameters, settings), float(np.mean(losses)))


def first_settings(found: dict[str, tuple[float, ...]]) -> SectionSettings:
    """Return the first candidates."""
    return _changed(SectionSettings(), {name: values[0] for name, values in found.items()})


def choose_settings(
    network: Any,
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    found: dict[str, tuple[float, ...]],
) -> tuple[SectionSettings, float]:
    """Choose the settings with the highest F1, one after another, and return them with it."""
    maps = [predict_section(one.image, network) for one in slices]
    settings = first_settings(found)
    best = _f1(maps, slices, parameters, settings)
    for name, values in found.items():
        for value in values[1:]:
            other = _changed(settings, {name: value})
            f1 = _f1(maps, slices, parameters, other)
            if f1 > best + TIE:
                settings, best = other, f1
    return settings, best


def _f1(
    maps: Sequence[NDArray[np.float32]],
    slices: Sequence[LabelledSlice],
    parameters: FineTuningParameters,
    settings: SectionSettings,
) -> float:
    return float(evaluate_maps(maps, slices, parameters, settings)[0].figures["f1"])


def _changed(settings: SectionSettings, values: dict[str, float]) -> SectionSettings:
    merged = asdict(settings) | values
    return SectionSettings(
        merged["probability_threshold"], merged["flow_smoothing"], int(merged["min_pixels"])
    )


def _areas(labels: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the pixels of each connected piece of each object."""
    return np.bincount(cc3d.connected_components(labels, connectivity=4).ravel())[1:]
