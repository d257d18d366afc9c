"""Slices for labelling: ten chosen by uncertainty against twenty spread at random.

    python benchmarks/slice_places.py [--parts training uncertainty] [--seeds 31 41 51 61 71] [--cases inverted noisy faint]
        [--epochs 6] [--repeats 1] [--threads N]

The contrast of a phantom is changed, the shipped network predicts its field, slices are chosen by it, labelled with the truth,
and the network is trained on them; F1 is that of 21 slices of another phantom, with the settings that the training gives. Both
trainings take the same number of steps, and slices of a plane have the same size in both. `--repeats` trains each several times
with other seeds, which tells the noise of a single training. All seeds are printed, and in how many of them ten chosen slices did
at least as well as twenty random ones.

`--parts uncertainty` changes a quarter of the phantom alone, where y and x lie in their first halves, and prints the mean
uncertainty there and elsewhere: that of the foreground's entropy alone, and that by which places are chosen.
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


def f1_before(held_out: list[LabelledSlice]) -> float:
    """Return the F1 of the shipped network, with the usual settings."""
    network = load_network("phantom-compact", "cells", "cpu")
    parameters = FineTuningParameters(network="phantom-compact")
    return float(evaluate_network(network, held_out, parameters, False)[0].figures["f1"])


def f1_after(
    training: list[LabelledSlice], held_out: list[LabelledSlice], epochs: int, repeats: int
) -> NDArray[np.float64]:
    """Train the shipped network several times and return its F1 on other slices after each."""
    found = []
    for seed in range(repeats):
        parameters = FineTuningParameters(
            network="phantom-compact",
            epochs=epochs,
            learning_rate=1e-3,
            batch_size=4,
            crop_px=128,
            seed=seed,
        )
        network = load_network("phantom-compact", "cells", "cpu")
        # Without slices to choose by, both trainings take the same steps.
        tuned = fine_tune(SplitSlices(training, [], []), parameters, "cpu")
        network.load_state_dict(tuned.weights)
        evaluation, _ = evaluate_network(network, held_out, parameters, False, tuned.settings)
        found.append(float(evaluation.figures["f1"]))
    return np.array(found)


def bench(case: str, seed: int, epochs: int, repeats: int) -> tuple[float, float]:
    """Print the scores of a seed; return those of twenty random and of ten chosen slices."""
    phantom, other = phantom_of(seed), phantom_of(seed + 1000)
    image = changed(phantom.image, case)
    held_out = labelled(other, changed(other.image, case), spread_places(GRID.shape, CUTTING))
    random = spread_places(GRID.shape, CUTTING.model_copy(update={"seed": seed}))[:20]
    chosen = uncertain_places(uncertainty_tiles(field_of(image)), GRID.shape, CUTTING)
    before = f1_before(held_out)
    texts, means = [], []
    for name, places in (("random", random), ("chosen", chosen)):
        slices = labelled(phantom, image, places)
        scores = f1_after(slices, held_out, epochs, repeats)
        planes = "".join("zyx"[axis] for axis, _ in places)
        objects = sum(len(np.unique(one.labels[one.labels > 0])) for one in slices)
        each = "" if repeats == 1 else f" ({', '.join(f'{score:.3f}' for score in scores)})"
        texts.append(f"{len(places)} {name} ({planes}, {objects} objects) {scores.mean():.3f}{each}")
        means.append(float(scores.mean()))
    print(
        f"{case} {seed}: before {before:.3f}, {', '.join(texts)}, difference {means[1] - means[0]:+.3f}",
        flush=True,
    )
    return means[0], means[1]


def bench_uncertainty(case: str, seed: int) -> None:
    """Print how uncertain the network is where a phantom was changed, and where not."""
    image = phantom_of(seed).image
    quarter = (slice(None), slice(SHAPE[1] // 2), slice(SHAPE[2] // 2))
    image[quarter] = changed(image, case)[quarter]
    field = field_of(image)
    texts = []
    for name, tiles in (("entropy", uncertainty_tiles(field[-1:])), ("with flows", uncertainty_tiles(field))):
        across = tiles.mean(axis=0)
        half = [extent // 2 for extent in across.shape]
        inside = across[: half[0], : half[1]]
        # The tiles between hold both.
        elsewhere = np.concatenate([across[half[0] + 1 :].ravel(), across[: half[0], half[1] + 1 :].ravel()])
        texts.append(f"{name} {inside.mean():.4f} against {elsewhere.mean():.4f}")
    print(f"{case} {seed}: uncertainty where changed against elsewhere: {', '.join(texts)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=("training", "uncertainty"), default=["training"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 41, 51, 61, 71])
    parser.add_argument(
        "--cases", nargs="+", choices=("inverted", "noisy", "faint"), default=["inverted", "noisy"]
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with torch_threads(options.threads):
        for case in options.cases if "uncertainty" in options.parts else ():
            for seed in options.seeds:
                bench_uncertainty(case, seed)
        for case in options.cases if "training" in options.parts else ():
            scores = np.array([bench(case, seed, options.epochs, options.repeats) for seed in options.seeds])
            random, chosen = scores.T
            print(
                f"{case}: mean F1 of twenty random slices {random.mean():.3f}, of ten chosen {chosen.mean():.3f}; ten "
                f"chosen at least as good in {(chosen >= random).sum()} of {len(options.seeds)} seeds"
            )


if __name__ == "__main__":
    main()
