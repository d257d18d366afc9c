"""Training sections kept on disk, one file per phantom."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from spherovem_core.synthetic.compact_training.sections import Section


def write_sections(
    folder: Path, seeds: Sequence[int], workers: int, make: Callable[[int], list[Section]]
) -> None:
    """Make the sections of each seed that `folder` does not hold yet, in parallel processes."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.npz").exists()]
    with ProcessPoolExecutor(workers) as executor:
        for seed, sections in zip(missing, executor.map(make, missing), strict=True):
            arrays: dict[str, Any] = {f"image{n}": s.image for n, s in enumerate(sections)}
            arrays |= {f"targets{n}": s.targets for n, s in enumerate(sections)}
            np.savez_compressed(folder / f"{seed}.npz", **arrays)


def read_sections(folder: Path, seeds: Sequence[int]) -> list[Section]:
    """Read the sections of these seeds."""
    sections = []
    for seed in seeds:
        with np.load(folder / f"{seed}.npz") as arrays:
            count = len(arrays.files) // 2
            sections += [Section(arrays[f"image{n}"], arrays[f"targets{n}"]) for n in range(count)]
    return sections
