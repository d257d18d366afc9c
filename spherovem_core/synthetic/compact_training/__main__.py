"""Command line of the training of the compact networks."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from spherovem_core.segmentation.networks import WEIGHTS
from spherovem_core.synthetic.compact_training.recipes import RECIPES
from spherovem_core.synthetic.compact_training.section_files import read_sections, write_sections
from spherovem_core.synthetic.compact_training.sections import FIRST_TRAINING_SEED
from spherovem_core.synthetic.compact_training.training import train_compact, write_weights


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train and write the weights."""
    parser = argparse.ArgumentParser(
        prog="python -m spherovem_core.synthetic.compact_training",
        description="Train the compact networks for cells and nuclei on phantoms.",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="phantom",
        help="phantom: plain phantoms (phantom-compact); em: phantoms with scenes (em-compact)",
    )
    parser.add_argument("--phantoms", type=int, default=24, help="phantoms to train on")
    parser.add_argument("--steps", type=int, default=2200, help="optimiser steps of 16 crops")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=1, help="processes that make phantoms, torch threads")
    parser.add_argument(
        "--work",
        type=Path,
        help="folder of sections and checkpoint; by default spherovem-training-RECIPE in the folder for temporary files",
    )
    parser.add_argument("--start", type=Path, help="checkpoint to continue from")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder of the weights")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.workers)
    recipe = RECIPES[options.recipe]
    work = options.work or Path(tempfile.gettempdir()) / f"spherovem-training-{options.recipe}"
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + options.phantoms)
    write_sections(work, seeds, options.workers, recipe.sections)
    held_out = max(1, options.phantoms // 12)
    network = train_compact(
        read_sections(work, seeds[held_out:]),
        read_sections(work, seeds[:held_out]),
        options.steps,
        work / "checkpoint.pt",
        start=options.start,
        learning_rate=options.learning_rate,
        recipe=recipe,
    )
    for path in write_weights(network, options.output, options.recipe):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
