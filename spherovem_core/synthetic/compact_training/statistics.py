"""Training statistics of the compact networks, by which images unlike their training are noticed.

python -m spherovem_core.synthetic.compact_training.statistics --recipe phantom --phantoms 6 --held-out 2
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from spherovem_core.segmentation.familiarity import SIDE, TrainingStatistics, fit_statistics, tile_features
from spherovem_core.segmentation.networks import WEIGHTS, load_network
from spherovem_core.store.layout import OBJECT_KINDS
from spherovem_core.synthetic.compact_training.crops import draw_crop
from spherovem_core.synthetic.compact_training.recipes import RECIPES
from spherovem_core.synthetic.compact_training.sections import FIRST_TRAINING_SEED

TILES = 24
"""Tiles of each phantom."""
STRIDE = 24
"""Distance between the sections that tiles are drawn from."""
DRAW = 5
"""Part of the seed of the tiles."""


def training_tiles(recipe: str, number: int) -> NDArray[np.float32]:
    """Draw tiles (N, side, side) of a training phantom, changed in contrast and brightness as crops are in the training."""
    own = RECIPES[recipe]
    sections = own.sections(FIRST_TRAINING_SEED + number, STRIDE)  # type: ignore[call-arg]
    generator = np.random.default_rng([number, DRAW])
    crops = [
        draw_crop(sections[generator.integers(len(sections))], SIDE, generator, own)[0] for _ in range(TILES)
    ]
    return np.stack(crops).astype(np.float32)


def write_statistics(found: TrainingStatistics, path: Path) -> None:
    """Write statistics as `training_statistics` reads them."""
    arrays = {
        "mean": found.mean,
        "scale": found.scale,
        "axes": found.axes,
        "spread": found.spread,
        "remainder": np.array([found.remainder]),
        "limit": np.array([found.limit]),
    }
    save_file({name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and write the statistics of both networks of a recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=RECIPES, default="phantom")
    parser.add_argument("--phantoms", type=int, default=6, help="phantoms to fit")
    parser.add_argument(
        "--held-out", type=int, default=2, help="further phantoms, from which the limit comes"
    )
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args(arguments)
    tiles = [training_tiles(options.recipe, n) for n in range(options.phantoms + options.held_out)]
    for kind in OBJECT_KINDS:
        network = load_network(f"{options.recipe}-compact", kind, "cpu")
        features = [tile_features(network, own) for own in tiles]
        found = fit_statistics(features[: options.phantoms], features[options.phantoms :])
        path = options.output / f"{options.recipe}-compact-{kind}-statistics.safetensors"
        write_statistics(found, path)
        print(f"wrote {path} ({path.stat().st_size / 1e3:.0f} kB), limit {found.limit:.2f}")


if __name__ == "__main__":
    main()
