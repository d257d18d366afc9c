"""Training of a boundary network on the labelled slices of a volume, and its crops."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.errors import LabelsError
from spherovem_core.parameters import FineTuningParameters
from spherovem_core.segmentation.fine_tuning.augmentation import blur, change_contrast, draw_places
from spherovem_core.segmentation.fine_tuning.training import learning_rate_fraction, move_average
from spherovem_core.segmentation.fine_tuning.training_regions import PlacedSlice, TrainingRegion

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 150
"""On FIB-SEM of neuropil the loss of crops hardly fell any more after 125 steps."""
KEPT_STEPS = 25
"""Steps after which the state is kept."""
DEPTH, SIDE = 32, 96
"""Voxels of a crop across its slice and along it."""
RATE, WEIGHT_DECAY, AVERAGE_DECAY = 4e-3, 0.01, 0.99
FAR_WEIGHT = 0.5
"""Weight of a voxel's comparison 4 away, beside 1 of that next to it."""
GAP = 2
"""Pixels up to which background beside an object counts as boundary: a membrane that was left out of the labels."""


@dataclass(frozen=True)
class BoundarySlices:
    """Labelled slices of one part of the volume along one axis.

    Attributes
    ----------
    axis
        The axis across the slices.
    image : (Z, Y, X) ndarray of float32
        Intensities, 0 and 1 at black and white, with that axis first.
    labels
        Labels (rows, columns) by the plane of each slice, -1 beyond the slice.
    """

    axis: int
    image: NDArray[np.float32]
    labels: dict[int, NDArray[np.int32]]


@dataclass
class BoundaryTraining:
    """A network in training; the same slices, parameters and seed give the same bits on one CPU thread, also after a kill.

    Attributes
    ----------
    sections
        From `boundary_slices`.
    parameters
        Augmentation and seed.
    alike
        Whether all axes of the image look alike: then what a slice shows of two axes is learned for all three.
    fold
        Number of the training, beside the seed the source of all randomness.
    steps
        Steps in which the learning rate rises and falls.
    step
        Finished steps.
    average
        Moving average of the weights, the result.
    """

    sections: Sequence[BoundarySlices]
    parameters: FineTuningParameters
    alike: bool
    fold: int
    steps: int
    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        import torch

        from spherovem_core.segmentation.boundary_network import BoundaryNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.parameters.seed + self.fold)
            self.network = BoundaryNetwork().to(memory_format=torch.channels_last_3d)
        self.average = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)

    def run_step(self) -> None:
        """Train on one crop."""
        import torch
        from torch.nn import functional

        self.network.train()
        generator = np.random.default_rng([self.parameters.seed, self.fold, self.step])
        image, different, known = draw_boundary_crop(self.sections, self.parameters, self.alike, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * learning_rate_fraction(self.step / self.steps)
        maps = self.network(image[None, None].contiguous(memory_format=torch.channels_last_3d))[0]
        weight = known.float()
        weight[3:] *= FAR_WEIGHT
        losses = functional.binary_cross_entropy_with_logits(maps, different, reduction="none")
        loss = (losses * weight).sum() / weight.sum().clamp(min=1)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        move_average(self.average, self.network, min(AVERAGE_DECAY, 1 - 1 / (1 + (self.step + 1) / 10)))
        self.step += 1

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


def boundary_slices(
    regions: Sequence[TrainingRegion], intensities: tuple[float, float], names: set[str]
) -> list[BoundarySlices]:
    """Collect the slices of these names from all regions, those of each axis together."""
    low, high = intensities
    found = []
    for region in regions:
        image = (region.image - np.float32(low)) / np.float32(max(high - low, 1e-6))
        for axis in range(3):
            slices = [s for s in region.slices if s.axis == axis and s.name in names]
            if slices:
                found.append(_one_axis(np.moveaxis(image, axis, 0), slices))
    edges = [
        (plane[1:] != plane[:-1]).any() or (plane[:, 1:] != plane[:, :-1]).any()
        for one in found
        for plane in (np.maximum(labels, 0) for labels in one.labels.values())
    ]
    if not any(edges):
        raise LabelsError(
            "the labelled slices show no boundary between objects; label whole regions with touching objects"
        )
    return found


def known_axes(sections: Sequence[BoundarySlices], alike: bool) -> tuple[int, ...]:
    """Return the axes along which boundaries can be learned: those within slices, or all where axes look alike."""
    return tuple(axis for axis in range(3) if alike or any(one.axis != axis for one in sections))


def draw_boundary_crop(
    sections: Sequence[BoundarySlices],
    parameters: FineTuningParameters,
    alike: bool,
    generator: np.random.Generator,
) -> "tuple[Tensor, Tensor, Tensor]":
    """Draw a crop around a slice: turned, mirrored, scaled and deformed along the slice, with other contrast and noise.

    Where axes look alike, the axis across the slice becomes any of the three.

    Returns
    -------
    image : (z, y, x) Tensor
    different, known : (6, z, y, x) Tensor of float and bool
        What `BoundaryNetwork` is to predict, and where slices tell it.
    """
    import torch
    from torch.nn import functional

    choice = [(one, index) for one in sections for index in one.labels]
    one, index = choice[int(generator.integers(len(choice)))]
    start = int(np.clip(index - generator.integers(0, DEPTH), 0, len(one.image) - DEPTH))
    rows, columns = one.image.shape[1:]
    y, x = draw_places(rows, columns, SIDE, parameters, generator)
    grid = torch.stack([2 * x / max(columns - 1, 1) - 1, 2 * y / max(rows - 1, 1) - 1], dim=-1)[None]
    image = functional.grid_sample(
        torch.from_numpy(one.image[start : start + DEPTH])[None],
        grid,
        mode="bilinear",
        padding_mode="reflection",
        align_corners=True,
    )[0]
    image = _change_intensities(image, parameters, generator)
    labels = torch.full(image.shape, -1.0)
    near = torch.zeros(image.shape, dtype=torch.bool)
    for plane, values in one.labels.items():
        if start <= plane < start + DEPTH:
            # Numbers are exact up to 2^24; outside the slice nothing is known, which is -1.
            drawn = torch.from_numpy(np.stack([values, _near(values)]).astype(np.float32))[None] + 1
            sampled = functional.grid_sample(
                drawn, grid, mode="nearest", padding_mode="zeros", align_corners=True
            )[0]
            labels[plane - start], near[plane - start] = sampled[0] - 1, sampled[1] > 1
    different, known = _compare(labels, near)
    return _turn(image, different, known, one.axis, alike, generator)


def _one_axis(image: NDArray[np.float32], slices: Sequence[PlacedSlice]) -> BoundarySlices:
    """Put slices along one axis into planes of the image, which gets at least `DEPTH` of them."""
    missing = max(0, DEPTH - len(image))
    before = missing // 2
    labels: dict[int, NDArray[np.int32]] = {}
    for one in slices:
        plane = labels.setdefault(one.index + before, np.full(image.shape[1:], -1, np.int32))
        plane[tuple(s for n, s in enumerate(one.region) if n != one.axis)] = one.labels
    padded = np.pad(image, [(before, missing - before), (0, 0), (0, 0)], mode="edge")
    return BoundarySlices(slices[0].axis, np.ascontiguousarray(padded), labels)


def _near(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(labels > 0, iterations=GAP))


def _compare(labels: "Tensor", near: "Tensor") -> "tuple[Tensor, Tensor]":
    """Compare the voxels on both sides of each voxel along the rows and columns of slices (D, Y, X).

    Returns
    -------
    different, known : (6, D, Y, X) Tensor of float and bool
        For each reach z, y and x; nothing is known along z. Of background, only that near an object is known, and only to the
        voxels beside it.
    """
    import torch

    from spherovem_core.segmentation.boundary_network import REACHES

    different = torch.zeros((3 * len(REACHES), *labels.shape))
    known = torch.zeros(different.shape, dtype=torch.bool)
    for number, reach in enumerate(REACHES):
        for axis in (1, 2):
            a, b = torch.roll(labels, reach, axis), torch.roll(labels, -reach, axis)
            if number == 0:
                both = torch.roll(near, reach, axis) & torch.roll(near, -reach, axis)
                seen = (labels >= 0) & (a >= 0) & (b >= 0) & ((a > 0) | (b > 0)) & both
            else:
                seen = (labels >= 0) & (a > 0) & (b > 0)
            inner = [slice(None)] * 3
            inner[axis] = slice(reach, -reach)
            different[3 * number + axis] = (a != b).float()
            known[(3 * number + axis, *inner)] = seen[tuple(inner)]
    return different, known


def _turn(
    image: "Tensor",
    different: "Tensor",
    known: "Tensor",
    axis: int,
    alike: bool,
    generator: np.random.Generator,
) -> "tuple[Tensor, Tensor, Tensor]":
    """Put the first axis of a crop back to where it lies in the volume, or to any place, and mirror the crop along it."""
    if generator.random() < 0.5:
        image, different, known = image.flip(0), different.flip(1), known.flip(1)
    drawn = int(generator.integers(3))
    across = drawn if alike else axis
    order = [1, 2]
    order.insert(across, 0)
    maps = [n + 3 * reach for reach in range(len(different) // 3) for n in order]
    voxels = [0, *(n + 1 for n in order)]
    return image.permute(order), different[maps].permute(voxels), known[maps].permute(voxels)


def _change_intensities(
    image: "Tensor", parameters: FineTuningParameters, generator: np.random.Generator
) -> "Tensor":
    import torch

    image = change_contrast(image, parameters, generator)
    if parameters.blur_px and generator.random() < 0.3:
        image = blur(image, generator.uniform(0.25, 1) * parameters.blur_px)
    noise = torch.from_numpy(generator.standard_normal(tuple(image.shape), np.float32))
    image = image + noise * float(generator.uniform(0, parameters.noise))
    if generator.random() < parameters.missing_fraction:
        # A section that was lost.
        image[int(generator.integers(len(image)))] = float(image.mean())
    return image
