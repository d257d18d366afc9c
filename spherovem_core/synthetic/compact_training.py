"""Train the compact networks for cells and nuclei on phantoms: ``python -m spherovem_core.synthetic.compact_training``.

One network learns both kinds at once, which halves the time; it is then split into a file for cells and one
for nuclei, each with the shared body and its own head.
"""

import argparse
import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spherovem_core.segmentation.compact_network import CompactNetwork
from spherovem_core.segmentation.networks import WEIGHTS
from spherovem_core.synthetic.training_sections import FIRST_TRAINING_SEED, Section, phantom_sections

KINDS = ("cells", "nuclei")
FLOW_LENGTH = 5.0
"""Length of a target flow, as `cellpose.train` has it; `cellpose.dynamics` divides by it."""


def sections_on_disk(folder: Path, seeds: Sequence[int], workers: int) -> None:
    """Make the sections of each seed once and keep them in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.npz").exists()]
    with ProcessPoolExecutor(workers) as executor:
        for seed, sections in zip(missing, executor.map(phantom_sections, missing), strict=True):
            arrays: dict[str, Any] = {f"image{n}": s.image for n, s in enumerate(sections)}
            arrays |= {f"targets{n}": s.targets for n, s in enumerate(sections)}
            np.savez_compressed(folder / f"{seed}.npz", **arrays)


def load_sections(folder: Path, seeds: Sequence[int]) -> list[Section]:
    """Read the sections of these seeds."""
    sections = []
    for seed in seeds:
        with np.load(folder / f"{seed}.npz") as arrays:
            count = len(arrays.files) // 2
            sections += [Section(arrays[f"image{n}"], arrays[f"targets{n}"]) for n in range(count)]
    return sections


def batches(
    sections: Sequence[Section], size: int, batch: int, generator: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw random crops without end, turned, mirrored, and changed in contrast and brightness.

    Yields
    ------
    (N, 3, size, size), (N, 7, size, size)
        Images; targets with a last map that is 1 where the section has pixels and 0 in its padding.
    """
    weights = np.array([min(s.image.size, size**2) for s in sections], float)
    weights /= weights.sum()
    while True:
        pairs = [
            _crop(sections[n], size, generator) for n in generator.choice(len(sections), batch, p=weights)
        ]
        images = torch.zeros((batch, 3, size, size))
        images[:, 0] = torch.from_numpy(np.stack([image for image, _ in pairs]))
        yield images, torch.from_numpy(np.stack([targets for _, targets in pairs]))


def _crop(
    section: Section, size: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    spare = [n - size for n in section.image.shape]
    start = [int(generator.integers(0, s + 1)) if s > 0 else 0 for s in spare]
    cut = tuple(slice(a, a + size) for a in start)
    image = section.image[cut].astype(np.float32)
    image = (image - 0.5) * generator.uniform(0.75, 1.3) + 0.5 + generator.uniform(-0.15, 0.15)
    image += generator.normal(0, generator.uniform(0, 0.06), image.shape)
    targets = np.concatenate([section.targets[:, cut[0], cut[1]], np.ones((1, *image.shape))])
    stack = np.concatenate([image[None], targets]).astype(np.float32)
    stack = _turn(stack, generator)
    # Zeros beyond the section are what cellpose.core.run_net pads a small section with.
    before = [int(generator.integers(0, size - n + 1)) for n in stack.shape[1:]]
    pads = [(0, 0)] + [(b, size - n - b) for b, n in zip(before, stack.shape[1:], strict=True)]
    stack = np.pad(stack, pads)
    return stack[0], stack[1:]


def _turn(stack: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """Mirror and transpose an (image, targets...) stack; flow vectors turn with it."""
    flows_y, flows_x = [1, 4], [2, 5]
    for axis, flows in ((1, flows_y), (2, flows_x)):
        if generator.random() < 0.5:
            stack = np.flip(stack, axis).copy()
            stack[flows] *= -1
    if generator.random() < 0.5:
        stack = np.swapaxes(stack, 1, 2).copy()
        stack[flows_y + flows_x] = stack[flows_x + flows_y]
    return stack


def cellpose_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Cellpose's loss of both kinds together, over pixels that are no padding."""
    valid = targets[:, 6]
    total = torch.zeros(())
    for kind in range(len(KINDS)):
        predicted, wanted = maps[:, 3 * kind : 3 * kind + 3], targets[:, 3 * kind : 3 * kind + 3]
        flow = ((predicted[:, :2] - FLOW_LENGTH * wanted[:, :2]) ** 2).mean(dim=1) / 2
        inside = functional.binary_cross_entropy_with_logits(predicted[:, 2], wanted[:, 2], reduction="none")
        total = total + ((flow + inside) * valid).sum() / valid.sum()
    return total


def train(
    sections: Sequence[Section],
    held_out: Sequence[Section],
    steps: int,
    checkpoint: Path,
    seed: int = 0,
    start: Path | None = None,
    size: int = 128,
    batch: int = 16,
    learning_rate: float = 3e-3,
) -> CompactNetwork:
    """Train on crops with a one-cycle learning rate; keep a moving average of the weights.

    The average so far is written to `checkpoint` every 100 steps.
    """
    torch.manual_seed(seed)
    network = CompactNetwork(outputs=3 * len(KINDS)).to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True))
    average: CompactNetwork = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    source = batches(sections, size, batch, np.random.default_rng(seed))
    test = list(zip(range(8), batches(held_out, size, batch, np.random.default_rng(seed + 1)), strict=False))
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
        _follow(average, network, min(0.995, 1 - 1 / (1 + step / 10)))
        if step % 100 == 0 or step == steps:
            score = np.mean([_score(average, *pair) for _, pair in test])
            seconds = time.monotonic() - began
            print(
                f"step {step} loss {loss.item():.3f} held out {score:.3f} after {seconds:.0f} s", flush=True
            )
            torch.save(average.state_dict(), checkpoint)
    return average


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1 - decay)
            else:
                kept.copy_(new)


def _score(network: CompactNetwork, images: Tensor, targets: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return float(cellpose_loss(network(images)[0], targets))


def split(network: CompactNetwork, folder: Path = WEIGHTS) -> list[Path]:
    """Write one half-precision safetensors file a kind."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, name in enumerate(KINDS):
        state = dict(network.state_dict())
        for key in ("head.weight", "head.bias"):
            state[key] = state[key][3 * kind : 3 * kind + 3]
        half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
        path = folder / f"phantom-compact-{name}.safetensors"
        save_file(half, path, metadata={"architecture": "compact", "kind": name})
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=24, help="phantoms to train on")
    parser.add_argument("--steps", type=int, default=2200, help="optimiser steps of 16 crops")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=1, help="processes that make phantoms, torch threads")
    parser.add_argument(
        "--work", type=Path, default=Path("/tmp/spherovem-training"), help="sections, checkpoint"
    )
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.workers)
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + options.phantoms)
    sections_on_disk(options.work, seeds, options.workers)
    held_out = max(1, options.phantoms // 12)
    network = train(
        load_sections(options.work, seeds[held_out:]),
        load_sections(options.work, seeds[:held_out]),
        options.steps,
        options.work / "checkpoint.pt",
        start=options.start,
        learning_rate=options.learning_rate,
    )
    for path in split(network, options.output):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
