"""Slices for labelling: ten chosen by uncertainty against twenty spread at random.

    python benchmarks/slice_places.py [--seeds 31 41 51 61 71] [--cases inverted noisy] [--epochs 5] [--threads N]

The contrast of a phantom is changed, the shipped network predicts its field, slices are chosen by it, labelled with the truth,
and the network is trained on them; F1 is that of 21 slices of another phantom. Both trainings take the same number of steps. The
command counts the seeds in which ten chosen slices did worse than twenty random ones.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from fine_tuning import SHAPE, SPACING, STRAIGHT, changed, labels_at
from numpy.typing import NDArray

from spherovem_core.blocks import MemorySink
from spherovem_core.execution import Execution
from spherovem_core.parameters import CellParameters, FineTuningParameters, SliceCuttingParameters
from spherovem_core.segmentation import Grid, load_network
from spherovem_core.segmentation.fine_tuning import (
    LabelledSlice,
    SplitSlices,
    cut_slices,
    cutting_grid,
    evaluate_network,
    fine_tune,
    spread_places,
    uncertain_places,
    uncertainty_tiles,
)
from spherovem_core.segmentation.fine_tuning.places import Place
from spherovem_core.segmentation.grid import PlacedVolume
from spherovem_core.segmentation.scratch import MemoryScratch
from spherovem_core.segmentation.segmenters import segmenter_named
from spherovem_core.synthetic.phantom import Phantom, make_phantom
from spherovem_core.utils.torch_device import torch_threads

SOURCE = Grid(SHAPE, SPACING)
CUTTING = SliceCuttingParameters(side_px=128)
GRID = cutting_grid(SOURCE, CUTTING)


def phantom_of(seed: int) -> Phantom:
    return make_phantom(shape=SHAPE, spacing_nm=SPACING, seed=seed, **STRAIGHT)


def labelled(phantom: Phantom, image: NDArray[np.uint8], places: Sequence[Place]) -> list[LabelledSlice]:
    """Cut slices and label them with the truth."""
    found = []
    for pixels, origin in cut_slices(image, SOURCE, "phantom", CUTTING, places):
        seen = ((pixels - origin.black) / (origin.white - origin.black)).astype(np.float32)
        labels = labels_at(phantom.cells, origin, pixels.shape)
        found.append(LabelledSlice(origin.name, origin.plane, seen, labels, ("", "")))
    return found


def field_of(image: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Predict the field of the shipped network, as the pipeline does."""
    segmenter = segmenter_named("cellpose")
    field = np.zeros((len(segmenter.channels), *GRID.shape), np.float16)
    parameters = CellParameters(network="phantom-compact", flow_spacing_nm=CUTTING.flow_spacing_nm)
    volume, sink = PlacedVolume(image, SPACING), MemorySink(field)
    segmenter.predict("cells", volume, GRID, sink, parameters, Execution(), MemoryScratch())
    return field


def f1_after(training: list[LabelledSlice], held_out: list[LabelledSlice], epochs: int) -> float:
    """Train the shipped network and return its F1 on other slices."""
    parameters = FineTuningParameters(
        network="phantom-compact", epochs=max(1, epochs), learning_rate=1e-3, batch_size=4, crop_px=128
    )
    network = load_network("phantom-compact", "cells", "cpu")
    if epochs:
        # Without slices to choose by, both trainings take the same steps.
        network.load_state_dict(fine_tune(SplitSlices(training, [], []), parameters, "cpu").weights)
    return float(evaluate_network(network, held_out, parameters, boundary_error=False)[0].figures["f1"])


def bench(case: str, seed: int, epochs: int) -> bool:
    """Print the scores of a seed; return whether ten chosen slices did at least as well."""
    phantom, other = phantom_of(seed), phantom_of(seed + 1000)
    image = changed(phantom.image, case)
    held_out = labelled(other, changed(other.image, case), spread_places(GRID.shape, CUTTING))
    random = spread_places(GRID.shape, CUTTING.model_copy(update={"seed": seed}))[:20]
    chosen = uncertain_places(uncertainty_tiles(field_of(image)), GRID.shape, CUTTING)
    before = f1_after([], held_out, 0)
    twenty = f1_after(labelled(phantom, image, random), held_out, epochs)
    ten = f1_after(labelled(phantom, image, chosen), held_out, epochs)
    planes = "".join("zyx"[axis] for axis, _ in chosen)
    print(
        f"{case} {seed}: before {before:.3f}, twenty random {twenty:.3f}, ten chosen ({planes}) {ten:.3f}",
        flush=True,
    )
    return ten >= twenty


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 41, 51, 61, 71])
    parser.add_argument(
        "--cases", nargs="+", choices=("inverted", "noisy", "faint"), default=["inverted", "noisy"]
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with torch_threads(options.threads):
        for case in options.cases:
            well = sum(bench(case, seed, options.epochs) for seed in options.seeds)
            print(f"{case}: ten chosen slices at least as good in {well} of {len(options.seeds)} seeds")


if __name__ == "__main__":
    main()
