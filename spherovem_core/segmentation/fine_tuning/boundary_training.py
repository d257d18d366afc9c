"""Training of a boundary network on the labelled slices of a volume, and its crops."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from spherovem_core.errors import LabelsError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.boundary_networks import AXES_IN_PLANE, REACHES
from spherovem_core.segmentation.fine_tuning.augmentation import change_intensities, draw_places
from spherovem_core.segmentation.fine_tuning.training import learning_rate_fraction, move_average
from spherovem_core.segmentation.fine_tuning.training_regions import TrainingRegion
from spherovem_core.segmentation.networks import load_network

if TYPE_CHECKING:
    from torch import Tensor

START = "em-compact"
"""Network whose weights the training starts from; only its last layer is a new one."""
STEPS = 300
KEPT_STEPS = 25
"""Steps after which the state is kept."""
BATCH, SIDE = 4, 128
"""Crops in a step, and their side in pixels."""
RATE, WEIGHT_DECAY, AVERAGE_DECAY = 2e-3, 0.01, 0.98
GAP = 2
"""Pixels up to which background beside an object counts as boundary: a membrane that was left out of the labels."""


@dataclass
class BoundaryTraining:
    """A network in training; the same slices, parameters and seed give the same bits on one CPU thread, also after a kill.

    Attributes
    ----------
    sections
        From `boundary_sections`.
    parameters
        Augmentation and seed.
    fold
        Number of the training, beside the seed the source of all randomness.
    steps
        Steps in which the learning rate rises and falls.
    step
        Finished steps.
    average
        Moving average of the weights, the result.
    """

    sections: Sequence[Any]
    parameters: FineTuningParameters
    fold: int
    steps: int
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.parameters.seed + self.fold)
            self.network = load_network(START, "cells", "cpu")
            self.network.head = torch.nn.Conv2d(16, len(REACHES) * AXES_IN_PLANE, 3, padding=1)
        self.network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)

    def run_step(self) -> float:
        """Train on some crops, and return the loss."""
        import torch
        from torch.nn import functional

        self.network.train()
        generator = np.random.default_rng([self.parameters.seed, self.fold, self.step])
        drawn = [draw_boundary_crop(self.sections, self.parameters, generator) for _ in range(BATCH)]
        image, different, known = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * learning_rate_fraction(self.step / self.steps)
        maps, _ = self.network(image[:, None].contiguous(memory_format=torch.channels_last))
        losses = functional.binary_cross_entropy_with_logits(maps, different, reduction="none")
        loss = (losses * known).sum() / known.sum().clamp(min=1)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        move_average(self.average, self.network, min(AVERAGE_DECAY, 1 - 1 / (1 + (self.step + 1) / 10)))
        self.step += 1
        return float(loss.item())

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])


def boundary_sections(
    regions: Sequence[TrainingRegion], intensities: tuple[float, float], names: set[str]
) -> "list[Tensor]":
    """Return (3, Y, X) tensors of the slices of these names: image, labels, and 1 where labels are known.

    Raises
    ------
    LabelsError
        If they show no boundary.
    """
    import torch

    low, high = intensities
    found, edges = [], False
    for region in regions:
        for one in region.slices:
            if one.name not in names:
                continue
            image = (region.image[one.region].squeeze(one.axis) - low) / max(high - low, 1e-6)
            # Of background only that near an object is known: the membrane.
            known = ndimage.binary_dilation(one.labels > 0, iterations=GAP)
            found.append(torch.from_numpy(np.stack([image, one.labels, known]).astype(np.float32)))
            edges |= any(np.diff(one.labels.astype(np.int64), axis=axis).any() for axis in (0, 1))
    if not edges:
        raise LabelsError(
            "the labelled slices show no boundary between objects; label whole regions with touching objects"
        )
    return found


def draw_boundary_crop(
    sections: "Sequence[Tensor]", parameters: FineTuningParameters, generator: np.random.Generator
) -> "tuple[Tensor, Tensor, Tensor]":
    """Draw a crop: turned, mirrored, scaled, deformed, and changed in contrast, sharpness and noise.

    Returns
    -------
    image : (SIDE, SIDE) Tensor
    different, known : (4, SIDE, SIDE) Tensor of float
        Whether the pixels 1 before and after this one along rows and columns have different labels, then those 4 away; and
        where both are known.
    """
    import torch
    from torch.nn import functional

    section = sections[int(generator.integers(len(sections)))]
    rows, columns = section.shape[1:]
    y, x = draw_places(rows, columns, SIDE, parameters, generator)
    grid = torch.stack([2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1], dim=-1)[None]
    image = functional.grid_sample(
        section[None, :1], grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )[0, 0]
    # Numbers of objects are exact up to 2^24.
    labels, known = functional.grid_sample(
        section[None, 1:], grid, mode="nearest", padding_mode="zeros", align_corners=True
    )[0]
    return change_intensities(image, parameters, generator), *compare(labels, known > 0)


def compare(labels: "Tensor", known: "Tensor") -> "tuple[Tensor, Tensor]":
    """Compare the labels (Y, X) on both sides of each pixel, see `draw_boundary_crop`."""
    import torch

    different = torch.zeros((len(REACHES) * AXES_IN_PLANE, *labels.shape))
    seen = torch.zeros_like(different)
    for number, reach in enumerate(REACHES):
        for axis in range(AXES_IN_PLANE):
            inner = [slice(None)] * 2
            inner[axis] = slice(reach, -reach)
            a, b = torch.roll(labels, reach, axis), torch.roll(labels, -reach, axis)
            both = torch.roll(known, reach, axis) & torch.roll(known, -reach, axis) & ((a > 0) | (b > 0))
            place = (AXES_IN_PLANE * number + axis, *inner)
            different[place] = (a != b).float()[tuple(inner)]
            seen[place] = both.float()[tuple(inner)]
    return different, seen
