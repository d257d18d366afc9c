"""What the slices for choosing decide: learning rate, epoch and probability threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.fine_tuning.prediction import evaluate_maps, predict_section
from spherovem_core.segmentation.fine_tuning.targets import training_targets
from spherovem_core.segmentation.fine_tuning.training import masked_loss

THRESHOLDS = (0.0, -1.0, 1.0, -2.0, 2.0)
"""Candidates, those near 0 first."""
TIE = 0.005
"""F1 by which a threshold must be better to be preferred to one nearer to 0."""


@dataclass(frozen=True)
class Score:
    """Fit of a network to the slices for choosing.

    Attributes
    ----------
    f1
        At IoU 0.5, with the best threshold.
    threshold
        That threshold; the given one where the parameters name it.
    loss
        Mean loss over the slices.
    """

    f1: float
    threshold: float
    loss: float

    def beats(self, other: "Score | None") -> bool:
        """Return whether F1 is higher, or equal with a lower loss."""
        return other is None or (self.f1, -self.loss) > (other.f1, -other.loss)


def score_network(network: Any, slices: Sequence[LabelledSlice], parameters: FineTuningParameters) -> Score:
    """Measure F1 and loss on slices for choosing, over the thresholds of which one may be chosen."""
    import torch

    maps = [predict_section(one.image, network) for one in slices]
    losses = []
    for each, one in zip(maps, slices, strict=True):
        targets = torch.from_numpy(training_targets(one.labels, one.known, parameters.contact_gap))
        losses.append(float(masked_loss(torch.from_numpy(each)[None], targets[None])))
    given = parameters.probability_threshold
    best = None
    for threshold in THRESHOLDS if given == "auto" else (given,):
        f1 = evaluate_maps(maps, slices, parameters, threshold)[0].figures["f1"]
        if best is None or f1 > best[0] + TIE:
            best = (f1, threshold)
    return Score(*(best or (0.0, 0.0)), loss=float(np.mean(losses)))
