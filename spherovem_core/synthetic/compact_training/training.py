"""Training of one compact network for both kinds, and its split into a file per kind."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spherovem_core.segmentation.compact_network import CompactNetwork
from spherovem_core.segmentation.fine_tuning.training import masked_loss, move_average
from spherovem_core.segmentation.networks import WEIGHTS
from spherovem_core.synthetic.compact_training.crops import draw_batches
from spherovem_core.synthetic.compact_training.recipes import RECIPES, SectionRecipe
from spherovem_core.synthetic.compact_training.sections import Section

KINDS = ("cells", "nuclei")


def cellpose_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Compute Cellpose's loss of both kinds together, over the pixels outside the padding.

    Parameters
    ----------
    maps : (N, 6, Y, X) Tensor
        Output of the network: dy, dx and logit of cells, then of nuclei.
    targets : (N, 7, Y, X) Tensor
        From `crops.draw_batches`.
    """
    valid = targets[:, 6:]
    total = torch.zeros(())
    for kind in range(len(KINDS)):
        own = slice(3 * kind, 3 * kind + 3)
        total = total + masked_loss(maps[:, own], torch.cat([targets[:, own], valid], dim=1))
    return total


def train_compact(
    sections: Sequence[Section],
    held_out: Sequence[Section],
    steps: int,
    checkpoint: Path,
    seed: int = 0,
    start: Path | None = None,
    size: int = 128,
    batch: int = 16,
    learning_rate: float = 3e-3,
    recipe: SectionRecipe = RECIPES["phantom"],
) -> CompactNetwork:
    """Train on crops with a one-cycle learning rate, and keep a moving average of the weights.

    Parameters
    ----------
    sections, held_out
        Sections to train on, and sections for the score that is printed every 100 steps.
    steps
        Optimiser steps.
    checkpoint
        File to which the average is written every 100 steps.
    start
        Checkpoint to continue from.
    size, batch
        Side of a crop in pixels, and crops per step.
    recipe
        How far the crops are changed.

    Returns
    -------
    CompactNetwork
        The moving average, with six output maps.
    """
    torch.manual_seed(seed)
    network = CompactNetwork(outputs=3 * len(KINDS)).to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    average: CompactNetwork = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    source = draw_batches(sections, size, batch, np.random.default_rng(seed), recipe)
    test_source = draw_batches(held_out, size, batch, np.random.default_rng(seed + 1), recipe)
    test = list(zip(range(8), test_source, strict=False))
    began = time.monotonic()
    for step in range(1, steps + 1):
        images, targets = next(source)
        network.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps, _ = network(images.to(memory_format=torch.channels_last))
        loss = cellpose_loss(maps.float(), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        move_average(average, network, min(0.995, 1 - 1 / (1 + step / 10)))
        if step % 100 == 0 or step == steps:
            score = np.mean([_score(average, *pair) for _, pair in test])
            seconds = time.monotonic() - began
            print(
                f"step {step} loss {loss.item():.3f} held out {score:.3f} after {seconds:.0f} s", flush=True
            )
            torch.save(average.state_dict(), checkpoint)
    return average


def _score(network: CompactNetwork, images: Tensor, targets: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return float(cellpose_loss(network(images)[0], targets))


def write_weights(network: CompactNetwork, folder: Path = WEIGHTS, recipe: str = "phantom") -> list[Path]:
    """Write one half-precision safetensors file per kind, named by the recipe, and return their paths."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, name in enumerate(KINDS):
        state = dict(network.state_dict())
        for key in ("head.weight", "head.bias"):
            state[key] = state[key][3 * kind : 3 * kind + 3]
        half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
        path = folder / f"{recipe}-compact-{name}.safetensors"
        save_file(half, path, metadata={"architecture": "compact", "kind": name})
        written.append(path)
    return written
