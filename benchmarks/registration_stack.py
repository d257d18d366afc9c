"""Registration of a stack: known jitter on real FIB-SEM slices, with and without blank and far-shifted slices.

    python benchmarks/registration_stack.py [--slices N] [--pictures FOLDER]

The real stack was aligned by its publishers; its remaining motion counts as error. Nothing is measured if ../shared/data
is absent.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.execution import Execution
from spherovem_core.parameters import RegistrationParameters
from spherovem_core.registration import Alignment, apply_alignment, register_stack
from spherovem_core.registration.affine import (
    IDENTITY,
    compose,
    invert,
    rms_displacement,
    rotation_matrix,
    slice_centre,
)
from spherovem_core.synthetic.misplacement import measure_misplacement

FIBSEM = Path(__file__).parents[2] / "shared" / "data" / "fibsem_drosophila" / "slices"
MARGIN = 20
TREATMENTS = {
    "plain chain": RegistrationParameters(drift="chain", deformation_trend_slices=0),
    "links": RegistrationParameters(drift="links", deformation_trend_slices=0),
    "links, deformation kept": RegistrationParameters(drift="links"),
    "detrend (daily)": RegistrationParameters(),
}
ASSUMPTIONS = {
    "plain chain": "assumes still content: motion and deformation of tissue from slice to slice add up",
    "links": "the same, with longer links against the random walk of pair errors",
    "links, deformation kept": "attributes a slow change of rotation, scale and shear to tissue",
    "detrend (daily)": "attributes a slow change of position to tissue too: a drift of the microscope stage remains",
}
CORES = len(os.sched_getaffinity(0))


def jittered(
    volume: NDArray[np.uint8], rng: np.random.Generator, wild: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Move each slice by a random affine map, the wild ones by a quarter of a side more, with quintic splines."""
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


def real_stack(count: int, pictures: Path | None) -> None:
    volume = np.stack([tifffile.imread(path) for path in sorted(FIBSEM.glob("*.tif"))[:count]])
    rng = np.random.default_rng(0)
    chosen = [int(z) for z in rng.permutation(np.arange(1, count))]
    wild, blank = sorted(chosen[:3]), sorted(chosen[3:8])
    # Motion of the stack itself, measured by the same method.
    own: dict[str, Any] = {}
    core = volume[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    with ThreadPoolExecutor(CORES) as pool:
        execution = Execution(device="cpu", executor=pool, workers=CORES)
        register_stack(core, TREATMENTS["plain chain"], execution, ledger=own)
        for name, lost, far in (("jitter", [], []), (f"jitter, blank {blank}, wild {wild}", blank, wild)):
            slices, truth = jittered(volume, np.random.default_rng(1), far)
            slices[lost] = 0
            print(f"FIB-SEM, {count} slices of {slices.shape[1]} x {slices.shape[2]}, {name}", flush=True)
            good = [z for z in range(count) if z not in lost]
            ledger: dict[str, Any] = {}
            for treatment, parameters in TREATMENTS.items():
                started = time.perf_counter()
                alignment = register_stack(slices, parameters, execution, ledger=ledger)
                seconds = time.perf_counter() - started
                found = measure_misplacement(alignment.transforms[good], truth[good], slices.shape[1:], 50)
                print(
                    f"  {treatment:24s} {ASSUMPTIONS[treatment]}\n"
                    f"    step {found.step_px:.3f} jitter {found.jitter_px:.3f} drift {found.drift_px:.3f} "
                    f"total {found.total_px:.3f} px  crop {alignment.crop.shape}  {seconds:.0f} s  "
                    f"not trusted {list(alignment.table['z'][~alignment.table['trusted']])}",
                    flush=True,
                )
            show_pair_error(own, ledger, truth, slices.shape[1:], set(lost))
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                path = pictures / f"sections_{'faults' if lost else 'jitter'}.png"
                draw_sections(slices, alignment, parameters, path)


def show_pair_error(
    own: dict[str, Any],
    ledger: dict[str, Any],
    truth: NDArray[np.float64],
    shape: tuple[int, ...],
    lost: set[int],
) -> None:
    """Print the error of neighbouring pairs against two definitions of their true motion.

    Tissue changes from slice to slice, and a change over the whole slice is a motion to any method that compares two
    slices. Compared with the added motion alone, that change counts as error. Compared with the added motion after the motion
    measured between the two original slices, only the error of the pair counts.
    """
    alone, on_top, of_tissue = [], [], []
    for z in range(len(truth) - 1):
        if {z, z + 1} & lost:
            continue
        found, before = (np.array(pairs[f"{z} {z + 1}"]["matrix"]) for pairs in (ledger, own))
        back = invert(truth[z])
        alone.append(float(rms_displacement(found - compose(truth[z + 1], back), shape)))
        whole = compose(truth[z + 1], compose(before, back))
        on_top.append(float(rms_displacement(found - whole, shape)))
        of_tissue.append(float(rms_displacement(before - IDENTITY, shape)))
    print(
        f"  pairs: median error {np.median(on_top):.3f} px against the added motion on top of that of the stack itself, "
        f"{np.median(alone):.3f} px against the added motion alone (the stack itself: {np.median(of_tissue):.3f} px per pair)",
        flush=True,
    )


def draw_sections(
    slices: NDArray[np.uint8], alignment: Alignment, parameters: RegistrationParameters, path: Path
) -> None:
    """Draw sections through the middle, xz above and yz below, before alignment to the left and after to the right."""
    from matplotlib import image

    crop = alignment.crop
    aligned = apply_alignment(slices, alignment, parameters)
    before = slices[:, max(crop.y0, 0) : crop.y1, max(crop.x0, 0) : crop.x1]
    rows = []
    for cut in (lambda v: v[:, v.shape[1] // 2], lambda v: v[:, :, v.shape[2] // 2]):
        left, right = cut(before), cut(aligned)
        width = min(left.shape[1], right.shape[1])
        rows.append(np.hstack([left[:, :width], np.full((len(left), 8), 255, np.uint8), right[:, :width]]))
    width = min(row.shape[1] for row in rows)
    gap = np.full((8, width), 255, np.uint8)
    picture = np.vstack([rows[0][:, :width], gap, rows[1][:, :width]])
    image.imsave(path, np.kron(picture, np.ones((2, 2), np.uint8)), cmap="gray", vmin=0, vmax=255)
    print(f"  sections before and after: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=250, help="slices of the stack to take")
    parser.add_argument("--pictures", type=Path, help="folder for sections before and after")
    options = parser.parse_args()
    if FIBSEM.is_dir():
        real_stack(options.slices, options.pictures)
    else:
        print(f"no real stack at {FIBSEM}: skipped")


if __name__ == "__main__":
    main()
