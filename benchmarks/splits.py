"""Splits at seeds: how well merged neighbours are parted again.

    python benchmarks/splits.py [--cases bulk ...] [--seeds 51 ...] [--results RESULTS/NAME] [--most 40]

All pairs of neighbours of a phantom with a real contact are merged, one pair at a time, and split at two seeds; then chains of
three. Seeds lie in the middle of each cell, at a random place in its inner part, or at a random place not on its surface.
The score is the intersection over union of the worse part with its cell. With ``--results``, the cells of a finished
acquisition stand for the truth.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import edt
import numpy as np
from _planted_errors import contacts_of
from _review_bases import CASES, LEAST_UM3, make_base
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.corrections.object_box import ObjectBox
from spherovem_core.corrections.splitting import find_seed_cut
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import labels_group

Seeds = dict[str, list[tuple[int, int, int]]]
Case = tuple[NDArray[np.uint32], tuple[int, ...], Seeds]
SMALLEST_CONTACT = 0.04
"""Contact area over the surface of the smaller cell."""


def neighbours(labels: NDArray[np.uint32], spacing: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs of cells with a real contact."""
    volumes = np.bincount(labels.ravel()) * np.prod(spacing)
    return [
        pair
        for pair, area in sorted(contacts_of(labels, spacing).items())
        if area / min(volumes[list(pair)]) ** (2 / 3) / 5 > SMALLEST_CONTACT
        and min(volumes[list(pair)]) > LEAST_UM3
    ]


def chains(pairs: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return the cells between two of their neighbours, with these."""
    beside: dict[int, list[int]] = {}
    for one, other in pairs:
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    return [
        (first, middle, last)
        for middle in sorted(beside)
        for first in sorted(beside[middle])
        for last in sorted(beside[middle])
        if first < last
    ]


def cases(
    labels: NDArray[np.uint32], spacing: NDArray[np.float64], groups: list[tuple[int, ...]], most: int
) -> Iterator[Case]:
    """Yield some groups of cells in their box, with their seeds."""
    rng = np.random.default_rng(1)
    boxes = ndimage.find_objects(labels.astype(np.int32))
    for chosen in rng.permutation(len(groups))[:most].tolist():
        group = groups[chosen]
        box = tuple(
            slice(
                max(0, min(boxes[label - 1][axis].start for label in group) - 1),
                min(labels.shape[axis], max(boxes[label - 1][axis].stop for label in group) + 1),
            )
            for axis in range(3)
        )
        crop = labels[box]
        seeds: Seeds = {"middle": [], "inner": [], "anywhere": []}
        for label in group:
            depth = edt.edt(
                np.ascontiguousarray(crop == label), anisotropy=tuple(spacing), black_border=False
            )
            inner = np.argwhere(depth > 0.3 * depth.max())
            anywhere = np.argwhere(depth > min(1.5 * max(spacing), 0.5 * depth.max()))
            seeds["middle"].append(tuple(map(int, np.unravel_index(depth.argmax(), depth.shape))))
            seeds["inner"].append(tuple(inner[rng.integers(len(inner))].tolist()))
            seeds["anywhere"].append(tuple(anywhere[rng.integers(len(anywhere))].tolist()))
        yield crop, group, seeds


def worst_part(parts: NDArray[np.uint16], labels: NDArray[np.uint32], group: tuple[int, ...]) -> float:
    """Return the intersection over union of the worse part with its cell."""
    return min(
        float(((parts == number) & (labels == label)).sum() / ((parts == number) | (labels == label)).sum())
        for number, label in enumerate(group, 1)
    )


def measure(name: str, labels: NDArray[np.uint32], spacing: NDArray[np.float64], most: int) -> None:
    """Print the scores of pairs and of chains of three."""
    pairs = neighbours(labels, spacing)
    for kind, groups in (("pairs", list(pairs)), ("chains of three", chains(pairs))):
        chosen = list(cases(labels, spacing, groups, most))
        for place in ("middle", "inner", "anywhere"):
            started, scores = time.process_time(), []
            for crop, group, seeds in chosen:
                box, parts = ObjectBox.of(np.isin(crop, group)), np.zeros(crop.shape, np.uint16)
                cut = find_seed_cut(box, tuple(spacing.tolist()), seeds[place])
                for region in box.blocks():
                    parts[region] = cut.parts(box, region)
                scores.append(worst_part(parts, crop, group))
            found, seconds = np.array(scores), (time.process_time() - started) / len(scores)
            print(
                f"{name:24} {kind:16}{len(found):4d} {place:9} median {np.median(found):.3f}  "
                f"over 0.8: {np.mean(found > 0.8):4.0%}  over 0.5: {np.mean(found > 0.5):4.0%}  {seconds:.2f} s each",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="*", choices=CASES, default=["bulk", "thick slices"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[51])
    parser.add_argument("--results", type=Path, help="results folder of a finished acquisition")
    parser.add_argument("--most", type=int, default=40)
    options = parser.parse_args()
    for case in options.cases:
        for seed in options.seeds:
            base = make_base(case, seed, predicted=False)
            measure(f"{case}, seed {seed}", base.labels, np.array(base.spacing_nm) / 1000, options.most)
    if options.results:
        stored = open_array(Layout(options.results), labels_group("cells"))
        measure(options.results.name, stored[:], np.array(stored.spacing_nm) / 1000, options.most)


if __name__ == "__main__":
    main()
