"""Settings of a training that suit a network, where the parameters say ``auto``."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from spherovem_core.errors import ParameterError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice

SAM_TILE = 256
MIN_STEPS = {"compact": 50, "sam": 1}
"""Fewest steps of an epoch: with few slices, an epoch is several passes over them."""
AUTO_EPOCHS = {"compact": 40, "sam": 100}
MAX_CROP_PX = 256
"""Side of the crops of a compact network, where slices are as large. The flow of a pixel leads to the centre of its object: on
real tissue with objects of 30 to 100 pixels, the loss on slices for choosing stayed above 2.7 with crops of 128 pixels, and fell
to 2.1 with 256 (there a narrow network, with 128 a wide one)."""
AUTO_BATCH_PIXELS = 3 * MAX_CROP_PX**2
AUTO_RATES = {"compact": (1e-3, 2e-3, 4e-3), "sam": (5e-6, 1e-5, 2e-5)}
DEFAULT_RATE = {"compact": 2e-3, "sam": 1e-5}
"""Learning rates if there are no slices to choose them by."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of a training.

    Attributes
    ----------
    rates
        Learning rates to choose from; one that is given stands alone.
    epochs, steps
        Epochs, and optimiser steps in each.
    batch_size, crop_px
        Crops in a step, and their side.
    averaged
        Whether a moving average of the weights is the result; Cellpose-SAM's would take another 1.2 GB.
    """

    rates: tuple[float, ...]
    epochs: int
    steps: int
    batch_size: int
    crop_px: int
    averaged: bool


def recipe_for(
    network: Any, training: Sequence[LabelledSlice], parameters: FineTuningParameters, *, can_choose: bool
) -> Recipe:
    """Fill in what the parameters leave to ``auto``.

    Parameters
    ----------
    can_choose
        Whether there are slices by which to choose a learning rate.

    Raises
    ------
    ParameterError
        If the crops do not suit the network.
    """
    kind = "sam" if hasattr(network, "encoder") else "compact"
    crop = _auto_crop(kind, training) if parameters.crop_px == "auto" else parameters.crop_px
    if kind == "sam" and crop != SAM_TILE:
        raise ParameterError(
            f"crop_px is {crop}; Cellpose-SAM is trained only on crops of {SAM_TILE}: set crop_px to {SAM_TILE} or auto"
        )
    if parameters.batch_size != "auto":
        batch = parameters.batch_size
    else:
        batch = 1 if kind == "sam" else max(1, AUTO_BATCH_PIXELS // crop**2)
    if parameters.learning_rate != "auto":
        rates: tuple[float, ...] = (parameters.learning_rate,)
    else:
        rates = AUTO_RATES[kind] if can_choose else (DEFAULT_RATE[kind],)
    crops = sum(max(1, round(one.labels.size / crop**2)) for one in training)
    return Recipe(
        rates,
        AUTO_EPOCHS[kind] if parameters.epochs == "auto" else parameters.epochs,
        max(ceil(crops / batch), MIN_STEPS[kind]),
        batch,
        crop,
        averaged=kind == "compact",
    )


def _auto_crop(kind: str, training: Sequence[LabelledSlice]) -> int:
    """Return 256, or less for a compact network whose slices are all smaller."""
    longest = max(max(one.labels.shape) for one in training)
    return SAM_TILE if kind == "sam" else min(max(64, 16 * ceil(longest / 16)), MAX_CROP_PX)
