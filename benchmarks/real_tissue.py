"""Real tissue: bodies of neuropil in 3D from twenty labelled slices of FIB-SEM, by the command line as a user would.

    python benchmarks/real_tissue.py [--splits first last] [--seeds 0 1 2] [--slices 20 10 5] [--epochs N] [--network NAME]
                                     [--page docs/validation]

With `--page`, rows are added to those of earlier runs and the page of the documentation is written again; `--splits` without a
name only writes it.

Split `first` trains on xy slices z 2 to 150 and tests on z 170 to 250, `last` trains on z 101 to 247 and tests on z 0 to 80.
Labels are the connected pieces of each body in a slice, from 100 pixels. Each row is scored on bodies of 3,000 voxels and more:

- `today`: the fine-tuned network, objects where flows converge, merged by the strength of their boundary,
- `learned`: the same network with boundaries and merging learned from the same slices,
- `baseline`: no network. A random forest on filters of the image gives the probability of a membrane; watershed, and
  agglomeration by the mean probability at contacts, with the threshold that is best on the training slices.

"VI of cuts" is that of the true bodies' connected pieces in the test region: what joins outside it cannot be seen in it.
F1 in 2D is that of sections of the test region: of the network alone for `today`, of the result in 3D for the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import tifffile
from _fibsem import DATA, read_stack, section_truth
from _real_tissue_page import PAGE, PICTURE, add_rows, page, picture
from numpy.typing import NDArray

from deployments.command_line.finetune import usage
from spherovem_core.intensity_ranges import volume_percentile_range
from spherovem_core.label_overlaps import count_overlaps, pool
from spherovem_core.parameters import EvaluationParameters
from spherovem_core.segmentation import load_network
from spherovem_core.segmentation.evaluation import as_rows, evaluate_labels, variation_of_information
from spherovem_core.segmentation.evaluation.matching import count_scores, match_objects
from spherovem_core.segmentation.fine_tuning import SliceOrigin, labels_path, segment_section, write_slice
from spherovem_core.segmentation.fine_tuning.prediction import SectionSettings
from spherovem_core.segmentation.overlays import as_png
from spherovem_core.segmentation.voxel_features import SCALES, voxel_features
from spherovem_core.segmentation.watershed_supervoxels import watershed_supervoxels
from spherovem_core.store import Layout, open_array
from spherovem_core.store.layout import labels_group

NM = 10.0
TRAINED = {"first": (2, 150), "last": (101, 247)}
TESTED = {"first": (170, 250), "last": (0, 80)}
LEAST_VOXELS = 3000
SEGMENTATION = (
    "segmentation.cells.mask_spacing_nm=10",
    "segmentation.nuclei.segmenter=none",
)
SIZE_LIMITS_UM3 = [0.003, 0.01, 0.03, 0.1]
"""Limits between classes of size. The lowest one is the volume of `LEAST_VOXELS`; the class below it is left out."""
SECTION_STEP = 8
"""Every eighth section of the test region is scored in 2D."""
Scores = dict[str, float]


@dataclass(frozen=True)
class Result:
    """Scores, those by size, and labels of one method."""

    scores: Scores
    sizes: list[dict[str, Any]]
    labels: NDArray[Any]


def command(*arguments: object) -> float:
    """Run the command line; return its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "deployments.command_line", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(
            f"spherovem {' '.join(map(str, arguments))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return time.perf_counter() - start


def process(source: Path, results: Path, *options: object) -> float:
    sets = [part for one in SEGMENTATION for part in ("--set", one)]
    return command(
        "process", source, "--results-root", results, "--spacing-nm", NM, NM, NM, "--start-at", "segmentation",
        "--already", "aligned", "denoised", *sets, *options,
    )  # fmt: skip


def write_training(
    folder: Path, image: NDArray[np.uint8], bodies: NDArray[np.uint16], places: NDArray[np.int64]
) -> None:
    """Write slices and labels as ``spherovem cut-slices`` and a person would."""
    low, high = volume_percentile_range(image, (1.0, 99.0))
    folder.mkdir(parents=True)
    (folder / "labels").mkdir()
    for z in places.tolist():
        path = write_slice(folder, image[z], SliceOrigin("tissue", "xy", z * NM, (0.0, 0.0), NM, low, high))
        tifffile.imwrite(labels_path(path, "cells"), section_truth(bodies[z]))


def judge(truth: NDArray[Any], found: NDArray[Any], **more: float) -> Result:
    """Score a result in 3D, by size, and in its sections."""
    scores = score(truth, found)
    if "F1 in 2D" not in more:
        truths = [section_truth(plane) for plane in truth[::SECTION_STEP]]
        scores["F1 in 2D"] = section_f1(truths, [section_truth(plane) for plane in found[::SECTION_STEP]])
    plain = EvaluationParameters(boundary_error=False, worst_errors=0, size_limits_um3=SIZE_LIMITS_UM3)
    sizes = evaluate_labels(truth, found, (NM, NM, NM), plain).sizes[1:]
    return Result({**scores, **more}, as_rows(sizes), found)


def section_f1(truths: list[NDArray[Any]], found: list[NDArray[Any]]) -> float:
    """Return F1 at an IoU of 0.5 over the objects of all sections."""
    table = pool([count_overlaps(*pair) for pair in zip(truths, found, strict=True)])
    return count_scores(table, match_objects(table, 0.5)).f1


def network_f1(network: Path, image: NDArray[np.uint8], truth: NDArray[Any], split: str) -> float:
    """Return F1 in 2D of a fine-tuned network on sections of the test region."""
    manifest = json.loads((network / "manifest.json").read_text())
    chosen = manifest["chosen"]
    settings = SectionSettings(
        chosen["probability_threshold"], chosen["flow_smoothing"], chosen["min_pixels"]
    )
    low, high = volume_percentile_range(image, (1.0, 99.0))
    first, last = TESTED[split]
    places = range(first, last, SECTION_STEP)
    model = load_network(str(network / "weights.pt"), "cells", "cpu")
    found = [
        segment_section(((image[z] - low) / (high - low)).astype(np.float32), model, settings) for z in places
    ]
    return section_f1([section_truth(truth[z]) for z in places], found)


def score(truth: NDArray[Any], found: NDArray[Any]) -> Scores:
    table = count_overlaps(truth.astype(np.uint32), found.astype(np.uint32))
    scores = count_scores(table, match_objects(table, 0.5, LEAST_VOXELS))
    split, merge = variation_of_information(table)
    pieces = cc3d.connected_components(truth.astype(np.uint32), connectivity=6, out_dtype=np.uint32)
    return {
        "F1": scores.f1,
        "recall": scores.recall,
        "VI split": split,
        "VI merge": merge,
        "VI": split + merge,
        "VI of cuts": variation_of_information(count_overlaps(truth.astype(np.uint32), pieces))[0],
    }


def baseline(
    image: NDArray[np.uint8], bodies: NDArray[np.uint16], split: str, places: NDArray[np.int64], seed: int
) -> NDArray[np.uint32]:
    """Segment without a network; return the objects of the test region."""
    from sklearn.ensemble import RandomForestClassifier

    low, high = np.percentile(image, (1, 99))
    scaled = ((image - low) / (high - low)).astype(np.float32)
    features = voxel_features(scaled, np.zeros((4, *image.shape), np.float32))[: 5 * len(SCALES)]
    samples, classes, generator = [], [], np.random.default_rng(seed)
    for z in places.tolist():
        labels = bodies[z]
        edge = np.zeros(labels.shape, bool)
        for axis in (0, 1):
            edge |= labels != np.roll(labels, 1, axis)
        chosen = generator.permutation(labels.size)[:5000]
        samples.append(features[:, z].reshape(len(features), -1)[:, chosen].T)
        classes.append(edge.ravel()[chosen])
    forest = RandomForestClassifier(50, min_samples_leaf=10, random_state=seed, n_jobs=2).fit(
        np.concatenate(samples), np.concatenate(classes)
    )

    def pieces_and_contacts(low: int, high: int) -> tuple[Any, ...]:
        part = features[:, low:high]
        probability = forest.predict_proba(part.reshape(len(part), -1).T)[:, 1].reshape(part.shape[1:])
        probability = probability.astype(np.float32)
        pieces = watershed_supervoxels(probability, np.ones(probability.shape, bool))
        return pieces, *mean_contacts(pieces, probability)

    first, last = int(places.min()), int(places.max()) + 1
    pieces, pairs, sums, counts = pieces_and_contacts(first, last)
    best, chosen_threshold = np.inf, 0.0
    for threshold in np.arange(0.1, 0.8, 0.05).tolist():
        merged = agglomerate(pairs, sums, counts, int(pieces.max()) + 1, threshold)[pieces]
        tables = [
            count_overlaps(
                section_truth(bodies[z]), cc3d.connected_components(merged[z - first], connectivity=4)
            )
            for z in places.tolist()
        ]
        bits = sum(variation_of_information(pool(tables), objects_only=True))
        if bits < best:
            best, chosen_threshold = bits, threshold
    low_z, high_z = TESTED[split]
    pieces, pairs, sums, counts = pieces_and_contacts(low_z, high_z)
    return agglomerate(pairs, sums, counts, int(pieces.max()) + 1, chosen_threshold)[pieces]


def mean_contacts(
    pieces: NDArray[np.uint32], probability: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return pairs of touching pieces, the sums of the probability over their faces, and the numbers of faces."""
    keys, values = [], []
    for axis in range(3):
        ahead = tuple(slice(1, None) if n == axis else slice(None) for n in range(3))
        behind = tuple(slice(None, -1) if n == axis else slice(None) for n in range(3))
        a, b = pieces[ahead].astype(np.int64), pieces[behind].astype(np.int64)
        between = (a != b) & (a > 0) & (b > 0)
        keys.append(np.stack([np.minimum(a, b)[between], np.maximum(a, b)[between]]))
        values.append(((probability[ahead] + probability[behind]) / 2)[between])
    pairs, index = np.unique(np.concatenate(keys, axis=1), axis=1, return_inverse=True)
    index = index.ravel()
    return pairs.T, np.bincount(index, np.concatenate(values)), np.bincount(index)


def agglomerate(
    pairs: NDArray[np.int64],
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    size: int,
    threshold: float,
) -> NDArray[np.uint32]:
    """Merge the pair with the least mean probability, up to a threshold (average linkage); return the object of each piece."""
    import heapq

    contacts: list[dict[int, tuple[float, int]]] = [{} for _ in range(size)]
    for (a, b), total, count in zip(pairs.tolist(), sums.tolist(), counts.tolist(), strict=True):
        contacts[a][b] = contacts[b][a] = (total, count)
    waiting = [
        (t / n, a, b)
        for a in range(size)
        for b, (t, n) in contacts[a].items()
        if a < b and t / n <= threshold
    ]
    heapq.heapify(waiting)
    parent = np.arange(size)
    while waiting:
        mean, a, b = heapq.heappop(waiting)
        known = contacts[a].get(b)
        if known is None or known[0] / known[1] != mean:
            continue
        parent[b] = a
        del contacts[a][b]
        for other, (total, count) in contacts[b].items():
            if other == a:
                continue
            del contacts[other][b]
            before = contacts[a].get(other, (0.0, 0))
            joined = (before[0] + total, before[1] + count)
            contacts[a][other] = contacts[other][a] = joined
            if joined[0] / joined[1] <= threshold:
                heapq.heappush(waiting, (joined[0] / joined[1], min(a, other), max(a, other)))
        contacts[b] = {}
    while (parent[parent] != parent).any():
        parent = parent[parent]
    return parent.astype(np.uint32)


def bench(split: str, seed: int, slices: int, options: argparse.Namespace, folder: Path) -> dict[str, Result]:
    image, bodies = (each[:, : options.side, : options.side] for each in read_stack(options.data))
    places = np.linspace(*TRAINED[split], slices).round().astype(int)
    source, results, network = folder / "tissue", folder / "results", folder / "network"
    source.mkdir(parents=True)
    for z, plane in enumerate(image):
        tifffile.imwrite(source / f"slice_{z:04d}.tif", plane)
    write_training(folder / "slices", image, bodies, places)
    # Only the registered image is wanted, from which slices are cut.
    process(source, results, "--stop-after", "segmentation", "--set", "segmentation.cells.segmenter=none")
    chosen = () if options.epochs == "auto" else ("--epochs", options.epochs, "--learning-rate", "2e-3")
    trained = command(
        "finetune", folder / "slices", network, "--network", options.network, "--flow-spacing-nm", NM, *chosen,
        "--seed", seed, "--volume", results / "tissue",
    )  # fmt: skip
    # The options that the command prints.
    use = usage(json.loads((network / "manifest.json").read_text()), network / "weights.pt").split()
    low, high = TESTED[split]
    truth = bodies[low:high]
    found: dict[str, Result] = {}
    for name, merging in (("today", "boundary_strength"), ("learned", "auto")):
        # Both in one folder: flows do not depend on how objects are merged.
        seconds = process(
            source, folder / "tested", "--roi", f"{low}:{high}", f"0:{options.side}", f"0:{options.side}",
            "--stop-after", "segmentation", *use, "--set", f"segmentation.cells.merging={merging}",
        )  # fmt: skip
        results = next(p for p in (folder / "tested").iterdir() if (p / "volume.zarr").is_dir())
        labels = np.asarray(open_array(Layout(results), labels_group("cells"))[:])
        own = {"F1 in 2D": network_f1(network, image, bodies, split)} if name == "today" else {}
        found[name] = judge(truth, labels, seconds=seconds, **own)
    found["learned"].scores["training seconds"] = trained
    start = time.perf_counter()
    forest = baseline(image, bodies, split, places, seed)
    found["baseline"] = judge(truth, forest, seconds=time.perf_counter() - start)
    return found


def add_to_page(folder: Path, rows: list[dict[str, Any]], drawn: NDArray[np.uint8] | None) -> None:
    """Add rows and the picture to the page."""
    if drawn is not None:
        (folder / PICTURE).write_bytes(as_png(drawn))
    text = page(add_rows(folder, rows), (folder / PICTURE).is_file())
    (folder / PAGE).write_text(text)
    print(folder / PAGE, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", nargs="*", choices=tuple(TRAINED), default=list(TRAINED))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--slices", nargs="+", type=int, default=[20])
    parser.add_argument("--network", default="phantom-compact", help="Network to start from.")
    parser.add_argument(
        "--epochs", default="auto", help="Passes over the training slices, at a learning rate of 0.002."
    )
    parser.add_argument(
        "--side", type=int, default=250, help="Side of the used corner in pixels; smaller only for a trial."
    )
    parser.add_argument("--page", type=Path, help="Folder of the page to which rows are added.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--keep", type=Path, help="Folder in which all files are kept.")
    options = parser.parse_args()
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is not there; give the folder of the FIB-SEM data with --data")
    for split, slices, seed in product(options.splits, options.slices, options.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.keep or Path(temporary)) / f"{split}-{slices}-{seed}"
            found = bench(split, seed, slices, options, folder)
        named = {
            "split": split,
            "slices": slices,
            "seed": seed,
            "network": options.network,
            "epochs": options.epochs,
        }
        rows = []
        for name, result in found.items():
            figures = ", ".join(f"{key} {value:.3g}" for key, value in result.scores.items())
            print(f"{split}, seed {seed}, {slices} slices, {name}: {figures}", flush=True)
            rows.append(named | {"method": name, "scores": result.scores, "sizes": result.sizes})
        if options.page:
            drawn = None
            if (split, slices) == ("first", max(options.slices)):
                low, high = TESTED[split]
                image, bodies = (
                    each[low:high, : options.side, : options.side] for each in read_stack(options.data)
                )
                drawn = picture(image, bodies, {name: found[name].labels for name in ("today", "learned")})
            add_to_page(options.page, rows, drawn)
    if options.page and not options.splits:
        add_to_page(options.page, [], None)


if __name__ == "__main__":
    main()
