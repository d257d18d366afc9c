"""Fine-tuning: gain of the compact network from 20 labelled slices of an unknown contrast, and its time.

    python benchmarks/fine_tuning.py [--epochs N] [--learning-rate RATE] [--threads N] [--cases inverted noisy faint]

The contrast of phantoms is changed, slices are cut from one of them, and the shipped network is trained on
20, of which a quarter is held out. It is evaluated before and after on that quarter and on 21 slices of another phantom.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from spherovem_core.parameters import FineTuningParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid, load_network
from spherovem_core.segmentation.fine_tuning import (
    LabelledSlice,
    SliceOrigin,
    cut_slices,
    evaluate_network,
    fine_tune,
    split_slices,
)
from spherovem_core.synthetic.phantom import make_phantom
from spherovem_core.utils.torch_device import torch_threads

SHAPE, SPACING = (40, 260, 260), (120.0, 50.0, 50.0)
STRAIGHT = {"jitter_shift_px": 0, "drift_shift_px": 0, "jitter_rotation_deg": 0, "jitter_scale": 0}


def changed(image: NDArray[np.uint8], case: str) -> NDArray[np.uint8]:
    """Change the contrast of an acquisition to that of another microscope."""
    generator = np.random.default_rng(0)
    values = image.astype(np.float32)
    if case == "inverted":
        values = 255 - values
    elif case == "noisy":
        values += generator.normal(0, 40, values.shape)
    else:
        values = 0.15 * values + 60 + generator.normal(0, 6, values.shape)
    return np.clip(values, 0, 255).astype(np.uint8)


def slices_of(seed: int, case: str) -> list[LabelledSlice]:
    phantom = make_phantom(shape=SHAPE, spacing_nm=SPACING, seed=seed, **STRAIGHT)
    grid = Grid(SHAPE, SPACING)
    found = []
    for image, origin in cut_slices(
        changed(phantom.image, case), grid, str(seed), SliceCuttingParameters(side_px=128)
    ):
        seen = ((image - origin.black) / (origin.white - origin.black)).astype(np.float32)
        labels = labels_at(phantom.cells, origin, image.shape)
        found.append(LabelledSlice(origin.name, origin.plane, seen, labels, ("", "")))
    return found


def labels_at(labels: NDArray[np.uint32], origin: SliceOrigin, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Sample true labels at the pixel centres of a slice."""
    axis = next(n for n, name in enumerate("zyx") if name not in origin.plane)
    rows, columns = (n for n in range(3) if n != axis)
    places = {axis: np.array([origin.position_nm])}
    for n, corner, extent in zip((rows, columns), origin.corner_nm, shape, strict=True):
        places[n] = corner + origin.pixel_nm * np.arange(extent)
    index = [np.clip(np.rint(places[n] / SPACING[n]).astype(int), 0, SHAPE[n] - 1) for n in range(3)]
    return labels[np.ix_(*index)].squeeze(axis)


def bench(case: str, parameters: FineTuningParameters) -> None:
    slices, others = slices_of(31, case)[1:], slices_of(32, case)
    split = split_slices(slices, parameters)
    network = load_network("phantom-compact", "cells", "cpu")
    evaluated = {"held out": split.held_out, "other phantom": others}
    before = {
        name: evaluate_network(network, group, parameters)[0].figures for name, group in evaluated.items()
    }
    start = time.perf_counter()
    tuned = fine_tune(split, parameters, "cpu")
    seconds = time.perf_counter() - start
    network.load_state_dict(tuned.weights)
    print(
        f"{case}: {len(split.training)} training slices, {len(tuned.rows)} epochs in {seconds:.0f} s, loss "
        f"{tuned.rows[0]['training_loss']:.2f} to {tuned.rows[-1]['training_loss']:.2f}, learning rate "
        f"{tuned.chosen['learning_rate']:g}, epoch {tuned.chosen['epoch']}, {tuned.settings}"
    )
    for name, group in evaluated.items():
        after = evaluate_network(network, group, parameters, settings=tuned.settings)[0].figures
        print(
            f"  {name:14} {len(group):3d} slices, {after['true_count']:4d} cells: F1 {before[name]['f1']:.3f} -> "
            f"{after['f1']:.3f}, panoptic quality {before[name]['panoptic_quality']:.3f} -> "
            f"{after['panoptic_quality']:.3f}, boundary {before[name]['boundary_mean_nm']:.0f} -> "
            f"{after['boundary_mean_nm']:.0f} nm",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cases = ("inverted", "noisy", "faint")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=cases, default=list(cases))
    options = parser.parse_args()
    parameters = FineTuningParameters(
        network="phantom-compact",
        epochs=options.epochs or "auto",
        learning_rate=options.learning_rate or "auto",
        held_out_fraction=0.25,
    )
    with torch_threads(options.threads):
        for case in options.cases:
            bench(case, parameters)


if __name__ == "__main__":
    main()
