"""The compact networks that are shipped, without fine-tuning: F1 on phantoms with scenes, and on slices of real tissue.

    python benchmarks/compact_networks.py [--networks phantom-compact em-compact] [--seeds 901] [--scenes NAME ...] [--threads 2]

Phantoms are segmented in 3D, F1 at IoU 0.5, with seeds and sizes that no network was trained on; their slices lie in place. The
real slices are of ``../shared/data/fibsem_drosophila`` (none if it is not there): 18 in the three planes, at 10 and 20 nm, in 2D.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from _fibsem import DATA, LEAST_PIXELS, read_stack, section_truth
from fine_tuning import STRAIGHT
from numpy.typing import NDArray

from spherovem_core.execution import Execution
from spherovem_core.parameters import FineTuningParameters, ObjectParameters
from spherovem_core.segmentation import load_network, match_labels, segment_volume
from spherovem_core.segmentation.fine_tuning import LabelledSlice, evaluate_network
from spherovem_core.spacing import voxel_volume_um3
from spherovem_core.store.layout import OBJECT_KINDS
from spherovem_core.synthetic.phantom import make_phantom
from spherovem_core.utils.torch_device import torch_threads

SHAPE, SPACING = (60, 200, 200), (100.0, 60.0, 60.0)
SCENES = (
    "",
    "resin",
    "dark-resin",
    "lumina",
    "droplets",
    "dark-lysosomes",
    "dark-heterochromatin",
    "heterochromatin",
    "dead-cells",
    "dividing-cells",
    "many-nuclei",
    "contrast-drift",
    "shading",
    "curtains",
    "halos",
    "thickness",
    "correlated",
    "inverted",
    "low-contrast",
    "small-cells",
)
OWN = {
    "": {},
    "inverted": {"inverted": True},
    "low-contrast": {"contrast": 0.5},
    "small-cells": {"cell_diameter_um": 3.0},
}
"""Cases that are no scenes of a phantom, and their settings."""
SMALLEST_UM = {"cells": 1.5, "nuclei": 1.0}


def phantom_scores(case: str, seed: int, networks: Sequence[str], threads: int) -> list[float]:
    """Return the F1 of cells and of nuclei of each network."""
    settings = {"cell_diameter_um": 4.5, **STRAIGHT, **OWN.get(case, {})}
    phantom = make_phantom(
        scenes=() if case in OWN else (case,), shape=SHAPE, spacing_nm=SPACING, seed=seed, **settings
    )
    scores = []
    for network in networks:
        for kind in OBJECT_KINDS:
            smallest = SMALLEST_UM[kind]
            parameters = ObjectParameters(network=network, flow_spacing_nm=110.0, min_diameter_um=smallest)
            found = segment_volume(
                phantom.image, SPACING, kind, parameters, execution=Execution(workers=threads)
            )
            least = int(np.pi / 6 * smallest**3 / voxel_volume_um3(SPACING))
            scores.append(match_labels(getattr(phantom, kind), found, min_voxels=least).f1)
    return scores


def real_slices(side_nm: int) -> Iterator[LabelledSlice]:
    """Cut slices of z, y, x from 172 on; a body's pieces in a slice are objects of their own."""
    image, bodies = read_stack()
    step = side_nm // 10
    black, white = np.percentile(image, (1, 99))
    for position in range(172, 250, 13):
        for axis, plane in enumerate(("xy", "xz", "yz")):
            pixels = means(np.take(image, position, axis), step)
            plane_bodies = np.take(bodies, position, axis)[::step, ::step]
            pieces = section_truth(plane_bodies, LEAST_PIXELS // step**2).astype(np.uint32)
            normalised = ((pixels - black) / (white - black)).astype(np.float32)
            yield LabelledSlice(f"{plane}-{position}", plane, normalised, pieces, ("", ""))


def means(image: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
    """Average squares of pixels."""
    rows, columns = (n // step for n in image.shape)
    cut = image[: rows * step, : columns * step].astype(np.float32)
    return np.asarray(cut.reshape(rows, step, columns, step).mean(axis=(1, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["phantom-compact", "em-compact"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[901])
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    heads = [f"{network} {kind}" for network in options.networks for kind in OBJECT_KINDS]
    print(f"{'phantom':22} seed  " + "  ".join(heads))
    with torch_threads(options.threads):
        every = []
        for case in options.scenes:
            for seed in options.seeds:
                every.append(phantom_scores(case, seed, options.networks, options.threads))
                print(line(f"{case or 'plain':22} {seed:4d}", every[-1], heads), flush=True)
        print(line(f"{'mean':27}", np.mean(every, axis=0), heads))
        print(line(f"{'worst':27}", np.min(every, axis=0), heads))
        if not DATA.is_dir():
            print(f"no real slices: {DATA} is not there")
            return
        for side_nm in (10, 20):
            slices = list(real_slices(side_nm))
            scores = []
            for network in options.networks:
                for kind in OBJECT_KINDS:
                    parameters = FineTuningParameters(network=network, kind=kind)
                    loaded = load_network(network, kind, "cpu")
                    evaluation, _ = evaluate_network(loaded, slices, parameters, boundary_error=False)
                    scores.append(float(evaluation.figures["f1"]))
            print(line(f"{f'real tissue, {side_nm} nm':27}", scores, heads), flush=True)


def line(title: str, scores: Sequence[float], heads: Sequence[str]) -> str:
    """Return a row of scores below their heads."""
    return f"{title}  " + "  ".join(
        f"{score:{len(head)}.3f}" for score, head in zip(scores, heads, strict=True)
    )


if __name__ == "__main__":
    main()
