"""Review: how many planted errors of labels are among the first 60 suspects.

    python benchmarks/review.py [--cases bulk ...] [--seeds 41 ...] [--predicted] [--fit]

In each phantom 20 pairs of neighbours are joined, with small and large contacts, and 20 cells are cut, by planes, by curved
surfaces and along a rough landscape. Each part has a tenth of the cell or more. Cells at the border of the volume are among them.
The base is the truth, or with ``--predicted`` the labels of the compact network, with their own errors. The sources are
all (image, nuclei and, with ``--predicted``, flows), the image alone, or the labels alone. A merge counts as found if a split of
it is suggested, with seeds in both cells; a cut if a merge of its two parts is. The worst case comes last.

Seeds up to 29 may be used with ``--fit``, which prints the weights of `spherovem_core.review.weights`; the others are held out.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from _planted_errors import Plant, plant_errors
from _review_bases import CASES, Base, make_base
from _review_fit import fit_weights
from numpy.typing import NDArray

from spherovem_core.review import ReviewLevel, find_suspects

FIRST = 60
SOURCES = ("all", "image", "labels")


@dataclass(frozen=True)
class Outcome:
    """Found and planted errors by kind of plant, for one volume and some sources."""

    name: str
    found: dict[str, int]
    planted: dict[str, int]
    objects: int
    seconds: float

    @property
    def rate(self) -> float:
        """Fraction of the planted errors that were found."""
        return sum(self.found.values()) / sum(self.planted.values())

    def line(self) -> str:
        """Return a row of the table."""
        kinds = "  ".join(f"{self.found[k]:3d}/{self.planted[k]:<3d}" for k in sorted(self.planted))
        return f"{self.name:44} {self.objects:5d}  {kinds}  {100 * self.rate:5.1f} %  {self.seconds:7.1f}"


def review(base: Base, labels: NDArray[np.uint32], sources: str) -> tuple[Any, float]:
    """Rank the suspects with some of the sources; return them and the seconds."""
    level = ReviewLevel(
        labels,
        base.spacing_nm,
        image=None if sources == "labels" else base.image,
        nuclei=base.nuclei if sources == "all" else None,
    )
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as executor:
        suspects = find_suspects([level], flows=base.flows if sources == "all" else None, executor=executor)
    return suspects, time.perf_counter() - start


def is_found(plant: Plant, suspects: Any, before: NDArray[np.uint32], spacing_nm: Any) -> bool:
    """Tell whether an error is among the suspects, with the right remedy."""
    return any(plant.is_undone_by(row, before, spacing_nm) for row in suspects.to_dict("records"))


def measure(base: Base, seed: int, gap: bool) -> Iterator[Outcome]:
    """Plant errors and look for them with all, some and the fewest sources."""
    rng = np.random.default_rng(seed)
    spacing = np.array(base.spacing_nm) / 1000
    labels, plants = plant_errors(base.labels, spacing, base.usable(), rng, gap=gap)
    for sources in SOURCES:
        suspects, seconds = review(base, labels, sources)
        found = dict.fromkeys(sorted({plant.kind for plant in plants}), 0)
        planted = dict(found)
        for plant in plants:
            planted[plant.kind] += 1
            found[plant.kind] += is_found(plant, suspects.head(FIRST), base.labels, base.spacing_nm)
        objects = len(np.unique(labels)) - 1
        yield Outcome(f"{base.name}, {sources}{', gap' if gap else ''}", found, planted, objects, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["bulk", "thick slices"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[41])
    parser.add_argument("--predicted", action="store_true", help="labels and flows of the compact network")
    parser.add_argument("--fit", action="store_true", help="fit the weights to these volumes")
    options = parser.parse_args()
    bases = [make_base(case, seed, options.predicted) for case in options.cases for seed in options.seeds]
    if options.fit:
        fit_weights(bases)
        return
    print(f"{'volume, sources':44} cells  curved   merge    plane    watershed  rate   seconds")
    outcomes = []
    for n, base in enumerate(bases):
        for outcome in measure(base, 100 + n, gap=n % 2 == 1):
            print(outcome.line(), flush=True)
            outcomes.append(outcome)
    for sources in SOURCES:
        worst = min((each for each in outcomes if f", {sources}" in each.name), key=lambda each: each.rate)
        print(f"worst with {sources}: {worst.name}, {100 * worst.rate:.1f} %")


if __name__ == "__main__":
    main()
