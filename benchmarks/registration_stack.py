"""Registration of stacks: known jitter on real FIB-SEM slices, and memory at two depths.

    python benchmarks/registration_stack.py [--slices N]

The real stack is as its makers aligned it; its own motion counts as error. Where ../shared/data is absent that
part is left out.
"""

import argparse
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import Block
from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import estimate_alignment, measure_misplacement, warp_stack
from spherovem_core.registration.affine import (
    IDENTITY,
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    shift_matrix,
    slice_centre,
)
from spherovem_core.registration.synthetic import Appearance, TextureScene

FIBSEM = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"
MARGIN = 20
TREATMENTS = {
    "plain chain": RegistrationParameters(drift="chain", deformation_trend_slices=0),
    "links": RegistrationParameters(drift="links", deformation_trend_slices=0),
    "links, deformation kept": RegistrationParameters(drift="links"),
    "detrend (daily)": RegistrationParameters(),
}


def jittered(
    volume: NDArray[np.uint8], rng: np.random.Generator, wild: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Move each slice by a random affine map, the wild ones by a quarter of a side more; quintic splines."""
    shape = volume.shape[1] - 2 * MARGIN, volume.shape[2] - 2 * MARGIN
    centre = slice_centre(shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    slices, truth = [], []
    for z, image in enumerate(volume):
        linear = np.eye(2) + rng.normal(0.0, 0.003, (2, 2))
        shift = rng.normal(0.0, 3.0, 2) + (np.array([40.0, -50.0]) if z in wild else 0.0)
        about = np.concatenate([linear, (centre - linear @ centre + shift)[:, None]], axis=1)
        truth.append(compose(rotation_matrix(rng.normal(0.0, 0.3), shape), about))
        where = [row[0] * y + row[1] * x + row[2] + MARGIN for row in invert(truth[-1])]
        moved = ndimage.map_coordinates(image.astype(np.float64), where, order=5, mode="constant")
        slices.append(np.clip(np.rint(moved), 0, 255).astype(np.uint8))
    return np.stack(slices), np.stack(truth)


def real_stack() -> None:
    volume = np.stack([tifffile.imread(path) for path in sorted(FIBSEM.glob("*.tif"))])
    rng = np.random.default_rng(0)
    wild = sorted(int(z) for z in rng.choice(len(volume), 3, replace=False))
    blank = sorted(int(z) for z in rng.choice(len(volume), 5, replace=False) if z not in wild)
    for name, lost, far in (("jitter", [], []), (f"jitter, blank {blank}, wild {wild}", blank, wild)):
        slices, truth = jittered(volume, np.random.default_rng(1), far)
        slices[lost] = 0
        good = [z for z in range(len(volume)) if z not in lost]
        print(f"FIB-SEM, 250 slices of 210 x 210, {name}")
        ledger: dict[str, Any] = {}
        for treatment, parameters in TREATMENTS.items():
            alignment = estimate_alignment(slices, parameters, Execution(), ledger=ledger)
            found = measure_misplacement(alignment.transforms[good], truth[good], slices.shape[1:], 50)
            print(
                f"  {treatment:24s} step {found.step_px:6.3f} jitter {found.jitter_px:6.3f} drift {found.drift_px:7.3f} "
                f"total {found.total_px:7.3f} px  crop {alignment.crop.shape}  "
                f"not trusted {list(alignment.table['z'][~alignment.table['trusted']])}"
            )
        show_pair_error(volume, slices, truth, ledger, set(lost))


def show_pair_error(
    volume: NDArray[np.uint8],
    slices: NDArray[np.uint8],
    truth: NDArray[np.float64],
    ledger: dict[str, Any],
    lost: set[int],
) -> None:
    """Error of neighbouring pairs against the motion put on, alone and on top of the stack's own."""
    own: dict[str, Any] = {}
    core = volume[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    estimate_alignment(core, TREATMENTS["plain chain"], Execution(), ledger=own)
    alone, on_top = [], []
    for z in range(len(volume) - 1):
        if {z, z + 1} & lost:
            continue
        found = np.array(ledger[f"{z} {z + 1}"]["matrix"])
        put_on = compose(truth[z + 1], invert(truth[z]))
        whole = compose(truth[z + 1], compose(np.array(own[f"{z} {z + 1}"]["matrix"]), invert(truth[z])))
        alone.append(float(rms_displacement(found - put_on, slices.shape[1:])))
        on_top.append(float(rms_displacement(found - whole, slices.shape[1:])))
    motion = [
        float(rms_displacement(np.array(r["matrix"]) - IDENTITY, slices.shape[1:])) for r in own.values()
    ]
    print(
        f"  pairs: median error {np.median(on_top):.3f} px against the motion put on on top of the stack's own, "
        f"{np.median(alone):.3f} px against the motion put on alone (the stack's own is {np.median(motion):.3f} px a pair)"
    )


@dataclass(frozen=True)
class MovingTexture:
    """A stack of any depth that takes no memory: slices are drawn when they are read."""

    scene: TextureScene
    shape: tuple[int, int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its elements."""
        return np.dtype(np.uint8)

    def __getitem__(self, z: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(z)
        matrix = compose(
            shift_matrix(*rng.normal(0.0, 3.0, 2)), rotation_matrix(rng.normal(0.0, 0.2), self.shape)
        )
        return self.scene.sample(matrix, self.shape[1:], Appearance(change=0.0, noise=10.0), seed=z)


class Discard:
    """A block sink that keeps nothing."""

    def pending(self, blocks: list[Block]) -> list[Block]:
        """All of them."""
        return blocks

    def write(self, block: Block, values: NDArray[Any]) -> None:
        """Forget the block."""


def memory(depths: tuple[int, int], side: int = 1024) -> None:
    """Seconds and peak memory of a whole stack at two depths."""
    scene = TextureScene((side + 64, side + 64), seed=0)
    scene.sample(IDENTITY, (8, 8), Appearance(change=0.0), seed=0)
    for depth in depths:
        source = MovingTexture(scene, (depth, side, side))
        started = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            execution = Execution(device="cpu", executor=pool, workers=2)
            alignment = estimate_alignment(source, RegistrationParameters(), execution)
            warp_stack(source, alignment, Discard(), RegistrationParameters(), execution)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{depth} slices of {side} x {side}, two threads: {time.perf_counter() - started:.1f} s with drawing the slices, "
            f"peak memory so far {peak:.0f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--slices", type=int, default=12, help="smaller of the two depths for the memory figure"
    )
    options = parser.parse_args()
    memory((options.slices, 4 * options.slices))
    if FIBSEM.is_dir():
        real_stack()
    else:
        print(f"no real stack at {FIBSEM}: left out")


if __name__ == "__main__":
    main()
