"""Random crops of training sections, in batches."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spherovem_core.synthetic.compact_training.recipes import SectionRecipe
from spherovem_core.synthetic.compact_training.sections import Section

FLOWS_Y, FLOWS_X = [1, 4], [2, 5]
"""Rows of an (image, targets...) stack that hold the y and the x component of a flow."""


def draw_batches(
    sections: Sequence[Section], size: int, batch: int, generator: np.random.Generator, recipe: SectionRecipe
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw random crops without end, turned, mirrored, and changed in contrast and brightness.

    Parameters
    ----------
    size
        Side of a crop in pixels. A smaller section is padded with zeros.
    batch
        Number of crops per batch.
    recipe
        How far contrast and brightness are changed.

    Yields
    ------
    images : (N, 3, size, size) Tensor
        The crop in the first channel, zeros in the others.
    targets : (N, 7, size, size) Tensor
        Targets of both kinds. The last map is 1 where the section has pixels and 0 in its padding.
    """
    weights = np.array([min(s.image.size, size**2) for s in sections], float)
    weights /= weights.sum()
    while True:
        pairs = [
            draw_crop(sections[n], size, generator, recipe)
            for n in generator.choice(len(sections), batch, p=weights)
        ]
        images = torch.zeros((batch, 3, size, size))
        images[:, 0] = torch.from_numpy(np.stack([image for image, _ in pairs]))
        yield images, torch.from_numpy(np.stack([targets for _, targets in pairs]))


def draw_crop(
    section: Section, size: int, generator: np.random.Generator, recipe: SectionRecipe
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw one crop of a section.

    Returns
    -------
    image : (size, size) ndarray of float32
    targets : (7, size, size) ndarray of float32
        The section's targets, and a map that is 0 in the padding.
    """
    spare = [n - size for n in section.image.shape]
    start = [int(generator.integers(0, s + 1)) if s > 0 else 0 for s in spare]
    cut = tuple(slice(a, a + size) for a in start)
    image = section.image[cut].astype(np.float32)
    if recipe.gamma > 0:
        power = np.exp(generator.uniform(-recipe.gamma, recipe.gamma))
        image = np.sign(image) * np.abs(image) ** power
    if recipe.inverted > 0 and generator.random() < recipe.inverted:
        image = 1 - image
    image = (image - 0.5) * generator.uniform(*recipe.contrast) + 0.5
    image += generator.uniform(-recipe.brightness, recipe.brightness)
    image += generator.normal(0, generator.uniform(0, 0.06), image.shape)
    targets = np.concatenate([section.targets[:, cut[0], cut[1]], np.ones((1, *image.shape))])
    stack = np.concatenate([image[None], targets]).astype(np.float32)
    stack = turn_randomly(stack, generator)
    # cellpose.core.run_net pads a small section with zeros as well.
    before = [int(generator.integers(0, size - n + 1)) for n in stack.shape[1:]]
    pads = [(0, 0)] + [(b, size - n - b) for b, n in zip(before, stack.shape[1:], strict=True)]
    stack = np.pad(stack, pads)
    return stack[0], stack[1:]


def turn_randomly(stack: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Mirror and transpose an (image, targets...) stack at random, flow vectors included."""
    for axis, flows in ((1, FLOWS_Y), (2, FLOWS_X)):
        if generator.random() < 0.5:
            stack = np.flip(stack, axis).copy()
            stack[flows] *= -1
    if generator.random() < 0.5:
        stack = np.swapaxes(stack, 1, 2).copy()
        stack[FLOWS_Y + FLOWS_X] = stack[FLOWS_X + FLOWS_Y]
    return stack
