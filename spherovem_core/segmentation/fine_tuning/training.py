"""Training on labelled slices, epoch by epoch, with a checkpoint after each.

The loop is this project's own: ``cellpose.train.train_seg`` gives access neither to its optimiser, without which a killed
training cannot go on to the same weights, nor to the weights of earlier epochs, and it knows no unknown pixels. The loss is
Cellpose's.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spherovem_core.errors import ParameterError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.dynamics import FLOW_LENGTH
from spherovem_core.segmentation.fine_tuning.augmentation import draw_crop
from spherovem_core.segmentation.fine_tuning.dataset import LabelledSlice
from spherovem_core.segmentation.fine_tuning.recipes import Recipe
from spherovem_core.segmentation.fine_tuning.targets import FLOW_X, FOREGROUND, KNOWN, training_targets
from spherovem_core.segmentation.networks import trains_in_bfloat16

WARM_UP = 0.1
"""Fraction of the steps in which the learning rate rises."""
AVERAGE_DECAY = 0.99
"""Weight of the past in the moving average of the weights after each step."""

State = dict[str, Any]


@dataclass
class Trainer:
    """A network in training.

    Attributes
    ----------
    network
        From `load_network`, Cellpose-SAM or a compact one; it is changed in place, and computes in float32.
    sections
        From `section_tensors`.
    rate
        Highest learning rate: it rises over the first tenth of the steps and falls as a cosine.
    epoch
        Finished epochs.
    """

    network: Any
    sections: Sequence[Any]
    parameters: FineTuningParameters
    recipe: Recipe
    rate: float
    epochs: int
    epoch: int = 0

    def __post_init__(self) -> None:
        import torch

        if self.network.dtype != torch.float32:
            # Small steps would be lost in the bfloat16 in which Cellpose-SAM predicts.
            self.network.dtype = torch.float32
        self.average = copy.deepcopy(self.network) if self.recipe.averaged else self.network
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.rate, weight_decay=self.parameters.weight_decay
        )

    def run_epoch(self) -> float:
        """Train for one epoch and return its mean loss.

        All randomness comes from the seed and the number of the epoch.

        Raises
        ------
        ParameterError
            If the training diverges.
        """
        import torch

        generator = np.random.default_rng([self.parameters.seed, self.epoch])
        # Cellpose-SAM drops layers at random.
        torch.manual_seed(int(generator.integers(2**31)))
        order = _order(self.sections, self.recipe, generator)
        self.network.train()
        total = 0.0
        for step in range(self.recipe.steps):
            crops = order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size]
            total += self._step(self.epoch * self.recipe.steps + step, crops, generator)
        mean = total / self.recipe.steps
        if not np.isfinite(mean):
            raise ParameterError(
                f"training diverged with learning_rate {self.rate:g}; set a lower one, or auto (1e-5 suits Cellpose-SAM)"
            )
        self.epoch += 1
        return mean

    def _step(self, step: int, crops: Sequence[int], generator: np.random.Generator) -> float:
        import torch

        device = self.network.device
        drawn = [draw_crop(self.sections[n], self.recipe.crop_px, self.parameters, generator) for n in crops]
        # Cellpose passes a grey image as the first of three channels.
        images = torch.zeros((len(drawn), 3, self.recipe.crop_px, self.recipe.crop_px))
        images[:, 0] = torch.stack([image for image, _ in drawn])
        targets = torch.stack([each for _, each in drawn]).to(device)
        if self.recipe.averaged:
            images = images.to(memory_format=torch.channels_last)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * _schedule(step / (self.epochs * self.recipe.steps))
        with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bfloat16(self.network)):
            maps, _ = self.network(images.to(device))
        loss = masked_loss(maps.float(), targets)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.recipe.averaged:
            move_average(self.average, self.network, min(AVERAGE_DECAY, 1 - 1 / (1 + (step + 1) / 10)))
        return float(loss.item())

    def state(self) -> State:
        """Return all that the next epoch depends on."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.recipe.averaged else {},
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self.epoch = state["epoch"]
        self.network.load_state_dict(state["network"])
        if self.recipe.averaged:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])


def section_tensors(slices: Sequence[LabelledSlice], parameters: FineTuningParameters) -> list[Any]:
    """Return (5, Y, X) tensors of image and targets."""
    import torch

    return [
        torch.from_numpy(
            np.concatenate([one.image[None], training_targets(one.labels, one.known, parameters.contact_gap)])
        )
        for one in slices
    ]


def masked_loss(maps: Any, targets: Any) -> Any:
    """Compute Cellpose's loss over known pixels: half the squared error of flows, and cross-entropy of the foreground.

    Parameters
    ----------
    maps : (N, 3, Y, X) Tensor
        Flows (dy, dx) of length 5, and logit.
    targets : (N, 4, Y, X) Tensor
        See `training_targets`.
    """
    from torch.nn import functional

    flow = ((maps[:, :2] - FLOW_LENGTH * targets[:, : FLOW_X + 1]) ** 2).mean(dim=1) / 2
    inside = functional.binary_cross_entropy_with_logits(maps[:, 2], targets[:, FOREGROUND], reduction="none")
    known = targets[:, KNOWN]
    return ((flow + inside) * known).sum() / known.sum().clamp(min=1)


def _order(sections: Sequence[Any], recipe: Recipe, generator: np.random.Generator) -> list[int]:
    """Draw the sections of an epoch's crops: each as often as its known pixels ask for."""
    known = np.array([float(one[1 + KNOWN].sum()) for one in sections])
    return [
        int(n)
        for n in generator.choice(len(sections), recipe.steps * recipe.batch_size, p=known / known.sum())
    ]


def _schedule(progress: float) -> float:
    """Return the fraction of the learning rate at a fraction of the steps."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.04)
    return float(0.5 + 0.5 * np.cos(np.pi * (progress - WARM_UP) / (1 - WARM_UP))) + 1e-3


def move_average(average: Any, network: Any, decay: float) -> None:
    """Move the average of a network's weights towards its present ones; `decay` is the weight of the past."""
    import torch

    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)
