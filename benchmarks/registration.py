"""Registration of pairs: errors and failures, time against an Adam schedule on the same slices, profile.

    python benchmarks/registration.py [--pairs N] [--cases WORD] [--timed-pairs N] [--baseline-pairs N]

Slices are the EM-like textures of `spherovem_core.synthetic.slice_pairs` with noise; contrast, brightness and shading of the
second slice are changed. The error is the target registration error: the root mean square over all pixels of the slice.
Errors are measured on pairs registered in parallel on all cores, times on pairs registered one after another: the
registration on one thread, the baseline on all cores.
"""

import argparse
import cProfile
import os
import pstats
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from _adam_baseline import register_with_adam
from _peak_memory import peak_mib
from numpy.typing import NDArray

from spherovem_core.registration import register_pair
from spherovem_core.registration.affine import (
    compose,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.normal_equations import PairEquations
from spherovem_core.synthetic.slice_pairs import Appearance, TextureScene, texture_pair

APPEARANCE = Appearance(change=0.0, noise=20.0, gain=0.8, offset=12.0, shading=20.0)
FAILURE_PX = 1.0
CORES = len(os.sched_getaffinity(0))

Slice = NDArray[np.uint8]
Method = Callable[[Slice, Slice], NDArray[np.float64]]


@dataclass(frozen=True)
class Case:
    """Slices of one shape with motions of one size; a `reach` below 1 is a fraction of the width of the slice."""

    name: str
    shape: tuple[int, int]
    reach: float

    @property
    def shift_px(self) -> float:
        """Largest shift along each axis."""
        return self.reach if self.reach >= 1 else self.reach * self.shape[1]

    def motion(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw a rotation up to 1 degree, a scale up to 1 % and a shift up to `shift_px`, along x only for a `reach` below 1."""
        centre = slice_centre(self.shape)
        linear = np.diag(1.0 + rng.uniform(-0.01, 0.01, 2))
        scale = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
        shift = rng.uniform(-self.shift_px, self.shift_px, 2)
        if self.reach < 1:
            shift = np.array([0.0, rng.choice([-1.0, 1.0]) * self.shift_px])
        turn = rotation_matrix(rng.uniform(-1.0, 1.0), self.shape)
        return compose(shift_matrix(*shift), compose(turn, scale))


CASES = [
    Case("1024 x 1024, 20 px", (1024, 1024), 20),
    Case("1024 x 1024, 60 px", (1024, 1024), 60),
    Case("1024 x 1024, half the width", (1024, 1024), 0.5),
    Case("900 x 1500, 20 px", (900, 1500), 20),
    Case("900 x 1500, 60 px", (900, 1500), 60),
    Case("900 x 1500, half the width", (900, 1500), 0.5),
    Case("2048 x 2048, 20 px", (2048, 2048), 20),
    Case("2048 x 2048, 60 px", (2048, 2048), 60),
]
TIMED = [case for case in CASES if case.shape[0] == case.shape[1] and case.reach == 20]


def pairs_of(
    case: Case, count: int
) -> Sequence[tuple[NDArray[np.float64], Callable[[], tuple[Slice, Slice]]]]:
    """Return the motions of a case, each with a function that makes its slices."""
    rng = np.random.default_rng(1)
    scene = TextureScene((case.shape[0] + 128, case.shape[1] + 128), seed=2)
    motions = [case.motion(rng) for _ in range(count)]
    scene.sample(np.eye(2, 3), (8, 8), APPEARANCE, 0, APPEARANCE.change)
    return [
        (motion, lambda m=motion, k=k: texture_pair(scene, m, case.shape, APPEARANCE, seed=k))
        for k, motion in enumerate(motions)
    ]


def show_errors(case: Case, count: int) -> None:
    def error(pair: tuple[NDArray[np.float64], Callable[[], tuple[Slice, Slice]]]) -> tuple[float, bool]:
        result = register_pair(*pair[1]())
        return float(rms_displacement(result.matrix - pair[0], case.shape)), result.trusted

    with ThreadPoolExecutor(CORES) as pool:
        found = list(pool.map(error, pairs_of(case, count)))
    errors = np.array([e for e, _ in found])
    print(
        f"{case.name:28s} {count} pairs  error median {np.median(errors):.3f} largest {errors.max():.3f} px  "
        f"failed (> {FAILURE_PX:g} px) {(errors > FAILURE_PX).sum()}  not trusted {sum(not t for _, t in found)}",
        flush=True,
    )


def show_seconds(case: Case, ours: int, adams: int) -> None:
    """Print the median seconds per pair of both methods, run one after the other on the same slices."""
    drawn = [(motion, *draw()) for motion, draw in pairs_of(case, max(ours, adams))]
    medians = []
    methods: list[tuple[str, Method, int]] = [
        ("spherovem", lambda f, m: register_pair(f, m).matrix, ours),
        ("Adam", register_with_adam, adams),
    ]
    for name, method, count in methods:
        torch.set_num_threads(1 if name == "spherovem" else CORES)
        errors, wall, cpu = [], [], []
        for motion, fixed, moving in drawn[:count]:
            started, started_cpu = time.perf_counter(), time.process_time()
            matrix = method(fixed, moving)
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - started_cpu)
            errors.append(float(rms_displacement(matrix - motion, case.shape)))
        medians.append(np.median(wall))
        print(
            f"{case.name:28s} {name}, {count} pairs: {np.median(wall):.3f} s wall, {np.median(cpu):.3f} s CPU per pair, "
            f"error median {np.median(errors):.3f} px",
            flush=True,
        )
    print(f"{case.name:28s} Adam takes {medians[1] / medians[0]:.0f} times as long (wall)", flush=True)


PHASES = {
    "build_pyramid": "bin, shading, pyramids",
    "_initial_motions": "initial motion",
    "evaluate": "evaluations of the refinement",
    "_judge": "verdict",
}


def show_profile(case: Case, runs: int = 5) -> None:
    """Split the time of a pair, and compare the evaluations with the time to stream the data they need.

    In a single pass, an evaluation reads every pixel of both prepared slices at its resolution: 8 bytes per pixel.
    """
    fixed, moving = pairs_of(case, 1)[0][1]()
    register_pair(fixed, moving)
    with mock.patch.object(
        PairEquations, "evaluate", autospec=True, side_effect=PairEquations.evaluate
    ) as spy:
        register_pair(fixed, moving)
    pixels = [call.args[0].fixed.numel() for call in spy.call_args_list]
    profiles, totals = [], []
    for _ in range(runs):
        profile = cProfile.Profile(time.process_time)
        profile.runcall(register_pair, fixed, moving)
        stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        profiles.append({key[2]: value[3] for key, value in stats.items() if key[2] in PHASES})
        totals.append(max(value[3] for value in stats.values()))
    best = profiles[int(np.argmin(totals))]
    print(f"{case.name:28s} one pair, one thread, under the profiler: {min(totals) * 1e3:.0f} ms")
    for name, phase in PHASES.items():
        print(f"    {phase:30s} {best[name] * 1e3:6.1f} ms, {best[name] / min(totals):4.0%}")
    floor = sum(pixels) * 8 / read_bandwidth()
    by_size = ", ".join(f"{pixels.count(size)} of {size} pixels" for size in sorted(set(pixels)))
    print(
        f"    {len(pixels)} evaluations ({by_size}); streaming the two slices of each once takes {floor * 1e3:.1f} ms at "
        f"{read_bandwidth() / 1e9:.1f} GB/s: the evaluations take {best['evaluate'] / floor:.0f} times that"
    )


def read_bandwidth() -> float:
    """Measure the bytes per second that one thread sums from memory."""
    torch.set_num_threads(1)
    values = torch.ones(1 << 26)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        values.sum()
        seconds.append(time.process_time() - started)
    return values.numel() * 4 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=50, help="pairs per case for the errors")
    parser.add_argument("--cases", default="", help="only cases whose name contains this")
    parser.add_argument("--timed-pairs", type=int, default=5, help="pairs per case for the times")
    parser.add_argument("--baseline-pairs", type=int, default=1, help="pairs per case for Adam")
    options = parser.parse_args()
    for case in CASES:
        if options.cases in case.name and options.pairs:
            show_errors(case, options.pairs)
    for case in TIMED:
        if options.cases in case.name:
            show_profile(case)
            show_seconds(case, options.timed_pairs, options.baseline_pairs)
    print(f"peak memory {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
