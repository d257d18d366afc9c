"""Part limits: what small jumps leave in jittered stacks, against the same treatment where the slices of the jumps are known.

Jumps of position of 2 to 10 px (two of 6 to 30 px, two to four slices apart, near an end of short stacks) with a jitter of 1
or 2 px. Shown: how much more the worst slice is misplaced than in the same stack without jumps. *Known* estimates sizes and
slow change in the same way, but is told the slices of the jumps: what it leaves is jitter's part in the sizes. What else is left
comes of jumps that are not found. No figure has a limit.
"""

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
from _registration_truth_jumps import LIMIT_PX, Case, Step, errors
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import jumps
from spherovem_core.registration.change_points import ChangePoints, find_change_points, fit_steps

KINDS = ("one jump in 20 to 60 slices", "two near an end of 20 to 60 slices", "one jump in 100 to 200 slices")


def cases(count: int, seed: int) -> Iterator[tuple[str, Case]]:
    """Yield stacks of the three kinds in turn."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        kind = KINDS[k % 3]
        slices = int(rng.uniform(100, 200)) if k % 3 == 2 else int(np.exp(rng.uniform(*np.log((20, 60)))))
        size = np.exp(rng.uniform(*np.log((2.0, 10.0)))) * (3.0 if k % 3 == 1 else 1.0)
        places = [int(rng.integers(2, slices - 1))]
        if k % 3 == 1:
            first = int(rng.integers(2, 5))
            places = [first, first + int(rng.integers(2, 5))]
            places = places if rng.random() < 0.5 else [slices - z for z in reversed(places)]
        angles = rng.uniform(0.0, 2.0 * np.pi, len(places))
        steps = [Step(z, (size * np.sin(a), size * np.cos(a))) for z, a in zip(places, angles, strict=True)]
        jitter = float(rng.choice([1.0, 2.0]))
        lean = tuple(rng.choice([0.0, 1.0]) * rng.uniform(-2.0, 2.0, 2))
        yield kind, Case(kind, slices, tuple(steps), jitter, lean, int(rng.integers(1 << 30)))


def _worst(case: Case, with_steps: bool, known: bool) -> float:
    """Return the misplacement of the worst slice, in pixels; with `known`, the slices of the jumps are."""
    places = [step.first for step in case.steps] if with_steps else []

    def told(
        values: NDArray[np.float64], at: NDArray[np.int_], smallest: float, floor: float
    ) -> ChangePoints:
        if values.shape[1] != 2 or not places:
            return find_change_points(values, at, np.inf, floor)
        nothing = np.zeros((len(places), 2))
        steps = ChangePoints(np.array(places), nothing, nothing + 1.0, np.zeros(len(values), dtype=bool))
        return fit_steps(values, at, steps, floor)

    truth = case.truth(with_steps)
    with patch.object(jumps, "find_change_points", told if known else find_change_points):
        treated = case.treated(truth, RegistrationParameters())
    return float(errors(treated, truth, case.shape).max())


def run(quick: bool, seeds: list[int]) -> int:
    """Print what jumps leave as they are found and where their slices are known."""
    more: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for seed in seeds:
        for kind, case in cases(60 if quick else 300, seed):
            found = [_worst(case, True, known) - _worst(case, False, known) for known in (False, True)]
            more[kind].append((found[0], found[1]))
    for kind, rows in more.items():
        for name, excess in zip(("found", "known"), np.array(rows).T, strict=True):
            print(
                f"  {kind}, slices of the jumps {name}: at most {LIMIT_PX} px more in "
                f"{np.mean(excess <= LIMIT_PX):.0%} of {len(excess)}, median {np.median(excess):.2f}, "
                f"95 % {np.quantile(excess, 0.95):.2f}, worst {excess.max():.2f} px"
            )
    return 0
