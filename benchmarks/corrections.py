"""Measurement after corrections: seconds of shape, spatial and output against those of a full measurement of the same labels.

    python benchmarks/corrections.py [RESULTS/NAME] [--merges 20] [--splits 20] [--kinds cells] [--workers 2] [--tiles 1 1 1]

A copy of a finished acquisition is measured, so that what was measured is known. Then neighbours are merged and objects are
split, at random places, and the steps run again: once with what is known, and once without, in another copy. Every table and the
distance map must be the same. `--tiles` repeats all arrays along z, y, x, for a volume with many more objects than corrections.
Seconds are those of the processor, of all threads; those of the clock stand behind. The last line of them is all steps together:
shape, spatial, review and the report.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from spherovem_core.blocks import block_grid
from spherovem_core.execution import Execution, ExecutionSettings, open_executor
from spherovem_core.parameters import PipelineParameters
from spherovem_core.references import Acquisition, ArtifactRef
from spherovem_core.registry import PIPELINE
from spherovem_core.stages import StageName
from spherovem_core.steps.nanoparticles import LABELS as PARTICLE_LABELS
from spherovem_core.steps.nanoparticles import PARTICLES
from spherovem_core.steps.segmentation import LABELS
from spherovem_core.store import (
    ArrayWriter,
    Layout,
    StoredArray,
    finish_multiscale,
    open_array,
    read_table,
    write_table,
)
from spherovem_core.store.layout import DISTANCE, OBJECT_KINDS, ObjectKind, array_path
from spherovem_core.store.tables import table_marker
from spherovem_core.workflow import ArrayOutput, RunRequest, TableOutput, plan_step
from spherovem_core.workflow.artifacts import find_artifact, stored_digest
from spherovem_core.workflow.compute import compute_step
from spherovem_core.workflow.run import array_spec

MAP = array_path(DISTANCE, 0)
WRITTEN = ("complete", "fingerprint", "history", "content", "checksum", "levels", "level_factors")
"""What a writer states of an array; the rest are details of its step."""
DEMO = Path(__file__).parents[1] / "results" / "demo"
MEASURED: tuple[StageName, ...] = ("shape", "spatial", "output")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results", type=Path, nargs="?", default=DEMO, help="results folder of a finished acquisition"
    )
    parser.add_argument("--merges", type=int, default=20)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", choices=OBJECT_KINDS, default=["cells"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiles", type=int, nargs=3, default=[1, 1, 1])
    options = parser.parse_args()
    if not options.results.is_dir():
        print(
            f"{options.results} is not there; run make demo, or name the results folder of a finished acquisition"
        )
        return
    with tempfile.TemporaryDirectory(prefix="corrections-", dir=options.results.parent) as temporary:
        known, full = (Path(temporary) / name / options.results.name for name in ("known", "full"))
        shutil.copytree(options.results, known)
        if options.tiles != [1, 1, 1]:
            tile(Layout(known), options.tiles)
        print_times("first measurement", measure(known, MEASURED, options.workers))
        rng = np.random.default_rng(0)
        for kind in options.kinds:
            correct(Layout(known), kind, options.merges, options.splits, rng)
        shutil.copytree(known, full)
        shutil.rmtree(Layout(full).scratch)
        shutil.rmtree(Layout(full).volume / DISTANCE)
        slow = print_times("full measurement", measure(full, MEASURED, options.workers))
        fast = print_times("after corrections", measure(known, MEASURED, options.workers))
        for name in slow:
            cpu, clock = fast[name] / slow[name]
            print(
                f"{name:>14}: {fast[name][0]:6.2f} s of {slow[name][0]:6.2f} s, {cpu:4.0%}; clock {clock:4.0%}"
            )
        compare(Layout(known), Layout(full), MEASURED)


def measure(folder: Path, stages: Sequence[StageName], workers: int) -> dict[str, Any]:
    """Run the steps of some stages; return the seconds and the figures of each."""
    layout, found = Layout(folder), {}
    acquisition = Acquisition(name=folder.name, source=folder, results_root=folder.parent)
    request = RunRequest(acquisition, PipelineParameters())
    settings = ExecutionSettings(workers=workers, device="cpu")
    done: dict[str, ArtifactRef] = {}
    with open_executor(settings) as executor:
        for step in PIPELINE.steps:
            if step.stage not in stages:
                digest = stored_digest(layout, step.main_output)
                newest = find_artifact(layout, step.main_output, digest or "")
                if newest is not None:
                    done[step.name] = newest
                continue
            plan = plan_step(PIPELINE, step, request, {}, done)
            started, busy = time.perf_counter(), time.process_time()
            done[step.name], quality = compute_step(plan, settings, executor)
            cost = (time.process_time() - busy, time.perf_counter() - started)
            found[step.name] = (*cost, quality.figures)
    return found


def print_times(title: str, found: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Print seconds and counts; return the seconds of the processor and of the clock, by step and together."""
    print(title)
    for name, (cpu, clock, figures) in found.items():
        counts = [f"{key}: {value}" for key, value in figures.items() if "taken over" in f"{key} {value}"]
        counts += [f"{key}: {value}" for key, value in figures.items() if key == "measured"]
        print(f"{name:>14}: {cpu:6.2f} s ({clock:6.2f} s)  {', '.join(counts)}", flush=True)
    seconds = {name: np.array(cost[:2]) for name, cost in found.items()}
    return {**seconds, "together": np.sum(list(seconds.values()), axis=0)}


def correct(layout: Layout, kind: ObjectKind, merges: int, splits: int, rng: np.random.Generator) -> None:
    """Merge neighbours and split objects along their longest axis, each object at most once."""
    before = open_array(layout, LABELS[kind].group)
    labels = before[:]
    boxes = ndimage.find_objects(labels)
    numbers = [n for n in range(1, len(boxes) + 1) if boxes[n - 1] is not None]
    free = set(rng.permutation(numbers).tolist())
    merged = split = 0
    for label in rng.permutation(numbers).tolist():
        if merged == merges or label not in free:
            continue
        box = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in boxes[label - 1])
        near = labels[box][ndimage.binary_dilation(labels[box] == label, iterations=2)]
        partners = [n for n in np.unique(near).tolist() if n in free and n != label]
        if partners:
            other = partners[0]
            labels[boxes[other - 1]][labels[boxes[other - 1]] == other] = label
            free -= {label, other}
            merged += 1
    for label in rng.permutation(numbers).tolist():
        if split == splits or label not in free:
            continue
        own = labels[boxes[label - 1]]
        places = np.nonzero(own == label)
        axis = int(np.argmax([np.ptp(index) for index in places]))
        far = places[axis] > np.median(places[axis])
        if far.any():
            own[tuple(index[far] for index in places)] = labels.max() + 1
            free -= {label}
            split += 1
    print(f"{kind}: {len(numbers)} objects, {merged} merges, {split} splits")
    replace(layout, LABELS[kind], before, labels)


def replace(
    layout: Layout, output: ArrayOutput, before: StoredArray, values: NDArray[Any], digest: str = ""
) -> None:
    """Write an array in place of another, as the result of another computation unless its digest is given."""
    sides = {"origin_nm": before.origin_nm, "by_slice": before.array.chunks[0] == 1}
    spec = array_spec(output.group, output.content, values.shape, values.dtype, before.spacing_nm, **sides)
    kept = {key: value for key, value in before.details.items() if key not in (*WRITTEN, *spec.identity)}
    writer = ArrayWriter(layout, spec, digest or sha256(values.tobytes()).hexdigest())
    for block in block_grid(values.shape, spec.shards):
        writer.write(block, values[block.core])
    finish_multiscale(writer, Execution(), before.history, **kept)


def tile(layout: Layout, counts: Sequence[int]) -> None:
    """Repeat all arrays and the particles along each axis, objects with numbers of their own."""
    outputs = [output for step in PIPELINE.steps for output in step.outputs if output.path != MAP]
    given = [each for each in outputs if isinstance(each, ArrayOutput) and layout.path(each.path).exists()]
    # Read before all are written: an image that is replaced takes the labels drawn on it along.
    before = {output: open_array(layout, output.group) for output in given}
    read = {output: stored[:] for output, stored in before.items()}
    for output in sorted(given, key=lambda each: each.group.count("/")):
        one, digest = read[output], before[output].own_digest
        many = np.tile(one, [1] * (one.ndim - 3) + list(counts))
        for number, low in places(counts, one.shape) if "/labels/" in output.group else ():
            part = many[tuple(slice(a, a + n) for a, n in zip(low, one.shape, strict=True))]
            part[part > 0] += np.uint32(number * one.max())
        replace(layout, output, before[output], many, digest)
    one, spacing = read[PARTICLE_LABELS], np.array(before[PARTICLE_LABELS].spacing_nm) / 1000
    table, marker = read_table(layout, PARTICLES.path), table_marker(layout.path(PARTICLES.path)) or {}
    tables = []
    for number, low in places(counts, one.shape):
        moved = table.assign(label=(table["label"] + number * one.max()).astype(table["label"].dtype))
        for axis, name in enumerate("zyx"):
            moved[f"centroid_{name}_um"] += low[axis] * spacing[axis]
        tables.append(moved)
    whole = pd.concat(tables, ignore_index=True)
    write_table(layout, PARTICLES.path, whole, marker["fingerprint"], marker["history"])


def places(counts: Sequence[int], shape: Sequence[int]) -> list[tuple[int, NDArray[np.int64]]]:
    """Number the tiles, and name the first voxel of each."""
    return [(number, np.array(index) * shape) for number, index in enumerate(np.ndindex(*counts))]


def compare(known: Layout, full: Layout, stages: Sequence[StageName]) -> None:
    """Compare every table and the distance map bit for bit."""
    outputs = [output for step in PIPELINE.of_stages(stages) for output in step.outputs]
    for output in outputs:
        if isinstance(output, TableOutput):
            own, other = (read_table(layout, output.path) for layout in (known, full))
            pd.testing.assert_frame_equal(own, other, check_exact=True, obj=output.path)
    np.testing.assert_array_equal(*(open_array(layout, DISTANCE)[:] for layout in (known, full)))
    print("all tables and the distance map are the same, bit for bit")


if __name__ == "__main__":
    main()
