"""Registration of pairs: errors and failures, time against an Adam schedule on the same slices, profile.

    python benchmarks/registration.py [--pairs N] [--cases WORD] [--timed-pairs N] [--baseline-pairs N]
                                      [--scaling-turns N]

Slices are the EM-like textures of `spherovem_core.synthetic.slice_pairs` with noise; contrast, brightness and shading of the
second slice are changed. The error is the target registration error: the root mean square over all pixels of the slice.
Errors are measured on pairs registered in parallel on all cores. Times are the least of several runs, one after another on one
thread, in turns with the baseline, also on one thread: other work on the machine makes single times longer.
"""

import argparse
import cProfile
import os
import pstats
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
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


REPEATS = 5


def show_seconds(case: Case, ours: int, adams: int) -> None:
    """Print the times of both methods on one thread each, run in turns on the same slices.

    The time of spherovem is the mean over pairs of the least of several runs, since pairs differ in their steps. The steps of
    the baseline are always the same, so its time is the least of all pairs.
    """
    torch.set_num_threads(1)
    drawn = [(motion, *draw()) for motion, draw in pairs_of(case, max(ours, adams))]
    register_pair(*drawn[0][1:])
    quick, slow = [], []
    for k, (motion, fixed, moving) in enumerate(drawn):
        if k < ours:
            runs = [timed(lambda f, m: register_pair(f, m).matrix, fixed, moving) for _ in range(REPEATS)]
            error = float(rms_displacement(runs[0][2] - motion, case.shape))
            quick.append((min(run[0] for run in runs), min(run[1] for run in runs), error))
        if k < adams:
            wall, cpu, matrix = timed(register_with_adam, fixed, moving)
            slow.append((wall, cpu, float(rms_displacement(matrix - motion, case.shape))))
    seconds = {"spherovem": np.mean(quick, 0), "Adam": np.min(slow, 0)}
    for name, figures in (("spherovem", quick), ("Adam", slow)):
        print(
            f"{case.name:28s} {name}, {len(figures)} pairs, one thread: {seconds[name][0]:.3f} s wall, "
            f"{seconds[name][1]:.3f} s CPU per pair, error median {np.median([f[2] for f in figures]):.3f} px",
            flush=True,
        )
    wall, cpu = (seconds["Adam"] / seconds["spherovem"])[:2]
    print(f"{case.name:28s} Adam takes {wall:.0f} times as long (wall), {cpu:.0f} times (CPU)", flush=True)


def timed(method: Method, fixed: Slice, moving: Slice) -> tuple[float, float, NDArray[np.float64]]:
    """Return the seconds and the CPU seconds that a method took, and its result."""
    started, started_cpu = time.perf_counter(), time.process_time()
    matrix = method(fixed, moving)
    return time.perf_counter() - started, time.process_time() - started_cpu, matrix


def show_scaling(case: Case, repeats: int, pairs: int = 20) -> None:
    """Print how many more pairs per second two processes register than one; the best of several turns of each.

    On a machine with other work, the ratio by CPU time is that of a machine where each process has a core: it is below 2 as
    far as the processes slow each other down through the memory.
    """
    fixed, moving = pairs_of(case, 1)[0][1]()
    best = {1: (0.0, 0.0), 2: (0.0, 0.0)}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(register_repeatedly, *zip(*[(fixed, moving, time.time() + 1.0, 2)] * 2, strict=True)))
        for _ in range(repeats):
            for workers in best:
                jobs = [(fixed, moving, time.time() + 0.2, pairs)] * workers
                seconds = list(pool.map(register_repeatedly, *zip(*jobs, strict=True)))
                rates = (workers * pairs / max(s[k] for s in seconds) for k in range(2))
                best[workers] = tuple(np.maximum(best[workers], list(rates)))
    wall, cpu = (best[2][k] / best[1][k] for k in range(2))
    print(
        f"{case.name:28s} pairs per second: {best[1][0]:.1f} in one process, {best[2][0]:.1f} in two: "
        f"{wall:.2f} times by wall time, {cpu:.2f} times by CPU time "
        f"(load of the machine {os.getloadavg()[0]:.1f} on {CORES} cores)",
        flush=True,
    )


def register_repeatedly(fixed: Slice, moving: Slice, start: float, pairs: int) -> tuple[float, float]:
    """Register a pair several times, from a given time on; return the seconds and the CPU seconds it took."""
    time.sleep(max(0.0, start - time.time()))
    started, started_cpu = time.perf_counter(), time.process_time()
    for _ in range(pairs):
        register_pair(fixed, moving)
    return time.perf_counter() - started, time.process_time() - started_cpu


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
    pixels = [int(np.prod(call.args[0].shape)) for call in spy.call_args_list]
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
    parser.add_argument("--baseline-pairs", type=int, default=2, help="pairs per case for Adam")
    parser.add_argument("--scaling-turns", type=int, default=5, help="turns of one and of two processes")
    options = parser.parse_args()
    for case in CASES:
        if options.cases in case.name and options.pairs:
            show_errors(case, options.pairs)
    for case in TIMED:
        if options.cases in case.name:
            show_profile(case)
            if options.baseline_pairs:
                show_seconds(case, options.timed_pairs, options.baseline_pairs)
    if options.scaling_turns:
        show_scaling(TIMED[0], options.scaling_turns)
    print(f"peak memory {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
