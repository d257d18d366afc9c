"""Registration of pairs: error and seconds beside an Adam schedule on the same slices, and where the time goes.

    python benchmarks/registration.py [--pairs N] [--threads N]

Slices are the EM-like textures of `spherovem_core.registration.synthetic`, with noise, contrast, brightness and
shading of the second slice changed. The error is the root mean square over all pixels of the slice.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from _adam_baseline import register_with_adam
from numpy.typing import NDArray

from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import register_pair
from spherovem_core.registration.affine import (
    compose,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.pairs import prepare_slices, register_prepared
from spherovem_core.registration.synthetic import Appearance, TextureScene, texture_pair

APPEARANCE = Appearance(change=0.0, noise=20.0, gain=0.8, offset=12.0, shading=20.0)
FAILURE_PX = 1.0


@dataclass(frozen=True)
class Case:
    """Slices of one shape with motions of one size; `reach` counts from the slice's side where below 1."""

    name: str
    shape: tuple[int, int]
    reach: float

    @property
    def shift_px(self) -> float:
        """Largest shift along each axis."""
        return self.reach if self.reach >= 1 else self.reach * self.shape[1]


CASES = [
    Case("512 x 512, 20 px", (512, 512), 20),
    Case("1024 x 1024, 20 px", (1024, 1024), 20),
    Case("1024 x 1024, 60 px", (1024, 1024), 60),
    Case("1024 x 1024, half the width", (1024, 1024), 0.5),
    Case("900 x 1500, 60 px", (900, 1500), 60),
    Case("2048 x 2048, 20 px", (2048, 2048), 20),
    Case("2048 x 2048, 60 px", (2048, 2048), 60),
]


def random_motion(rng: np.random.Generator, case: Case) -> NDArray[np.float64]:
    """Rotation up to 1 degree, scale up to 1 %, shift up to the case's; half the width along x alone."""
    centre = slice_centre(case.shape)
    linear = np.diag(1.0 + rng.uniform(-0.01, 0.01, 2))
    scale = np.concatenate([linear, (centre - linear @ centre)[:, None]], axis=1)
    shift = rng.uniform(-case.shift_px, case.shift_px, 2)
    if case.reach < 1:
        shift = np.array([0.0, rng.choice([-1.0, 1.0]) * case.shift_px])
    turn = rotation_matrix(rng.uniform(-1.0, 1.0), case.shape)
    return compose(shift_matrix(*shift), compose(turn, scale))


def measure(
    case: Case, pairs: int, method: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]
) -> tuple[float, float, int, float, float]:
    """Median and largest error (px), failures, median wall and CPU seconds a pair."""
    rng = np.random.default_rng(1)
    margin = 128
    scene = TextureScene((case.shape[0] + margin, case.shape[1] + margin), seed=2)
    errors, wall, cpu = [], [], []
    for k in range(pairs):
        motion = random_motion(rng, case)
        fixed, moving = texture_pair(scene, motion, case.shape, APPEARANCE, seed=k)
        started, started_cpu = time.perf_counter(), time.process_time()
        matrix = method(fixed, moving)
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
        errors.append(float(rms_displacement(matrix - motion, case.shape)))
    failures = int((np.array(errors) > FAILURE_PX).sum())
    return float(np.median(errors)), max(errors), failures, float(np.median(wall)), float(np.median(cpu))


def show(case: Case, method: str, pairs: int, found: tuple[float, float, int, float, float]) -> None:
    median, largest, failures, wall, cpu = found
    print(
        f"{case.name:28s} {method:8s} {pairs:3d} pairs  error median {median:7.3f} largest {largest:7.3f} px  "
        f"failed {failures}  {wall:7.3f} s wall {cpu:7.3f} s cpu a pair",
        flush=True,
    )


def profile(side: int) -> None:
    """Split a pair's time, and set it beside the time to read both slices and the finest level's tensors once."""
    case = Case("profile", (side, side), 20)
    motion = random_motion(np.random.default_rng(3), case)
    fixed, moving = texture_pair(TextureScene((side + 128,) * 2, seed=2), motion, case.shape, APPEARANCE, 0)
    parameters = RegistrationParameters()
    torch.set_num_threads(1)
    best = {"prepare": np.inf, "estimate": np.inf}
    iterations = 0
    for _ in range(5):
        started = time.process_time()
        levels = [prepare_slices(image[None], parameters, "cpu") for image in (fixed, moving)]
        prepared = time.process_time()
        iterations = register_prepared(levels[0], levels[1], parameters)[0].iterations
        best["prepare"] = min(best["prepare"], prepared - started)
        best["estimate"] = min(best["estimate"], time.process_time() - prepared)
    floor = (2 * side * side + 2 * levels[0][0].image.numel() * 4) / read_bandwidth()
    total = sum(best.values())
    print(
        f"{side} x {side}: prepare both slices {best['prepare'] * 1e3:.1f} ms, start and refinement "
        f"{best['estimate'] * 1e3:.1f} ms ({iterations} evaluations over all levels); reading both slices and "
        f"their finest level once takes {floor * 1e3:.2f} ms, 1/{total / floor:.0f} of the pair"
    )


def read_bandwidth() -> float:
    """Bytes a second that one thread sums from memory."""
    values = torch.ones(1 << 26)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        values.sum()
        seconds.append(time.process_time() - started)
    return values.numel() * 4 / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs a case")
    parser.add_argument("--baseline-pairs", type=int, default=1, help="pairs a case for Adam")
    parser.add_argument(
        "--threads", type=int, default=2, help="torch threads of the baseline; ours takes one"
    )
    options = parser.parse_args()
    for case in CASES:
        ours = measure(case, options.pairs, lambda f, m: register_pair(f, m).matrix)
        show(case, "ours", options.pairs, ours)
        if case.reach == 20 and case.shape[0] > 512 and options.baseline_pairs:
            torch.set_num_threads(options.threads)
            adam = measure(case, options.baseline_pairs, register_with_adam)
            show(case, "Adam", options.baseline_pairs, adam)
            print(f"{case.name:28s} Adam takes {adam[3] / ours[3]:.0f} times as long")
    for side in (1024, 2048):
        profile(side)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
